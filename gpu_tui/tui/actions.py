"""What the keys of the explorer open: dialogs over what the app knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.binding import Binding

from gpu_tui import wiring
from gpu_tui.core.books import keep_books
from gpu_tui.core.what_to_type import what_to_type
from gpu_tui.tui import explaining, plots, texts
from gpu_tui.tui.background import aside
from gpu_tui.tui.palette import offered
from gpu_tui.tui.planner import Pick, PickKind
from gpu_tui.tui.screens.command import CommandDialog
from gpu_tui.tui.screens.dialogs import ChoiceDialog, TextDialog
from gpu_tui.tui.screens.model import ModelDialog
from gpu_tui.view.explain import age_words, reading_origin
from gpu_tui.view.modes import MODES
from gpu_tui.view.rows import check_lines, mib
from gpu_tui.view.spans import Line, plain
from gpu_tui.view.text import clean
from gpu_tui.view.typed import lay_out

if TYPE_CHECKING:
    from gpu_tui.tui.app import GpuTuiApp


def show_help(app: GpuTuiApp) -> None:
    """Help for the focused panel first."""
    named = {
        "services": "Production services",
        "history": "Memory",
        "slider": "Utilization",
        "bars": "Bars",
        "verdict": "Verdict",
        "checks": "Checks",
        "latency": "Latency",
        "replay": "Replay",
    }
    panels = [(title, getattr(app.main.query_one(f"#{id_}"), "HELP", "")) for id_, title in named.items()]
    focused = app.main.focused
    ids = [node.id for node in focused.ancestors_with_self] if focused is not None else []
    current = next((named[id_] for id_ in ids if id_ in named), "Utilization")
    bindings = [b for b in app.main.BINDINGS if isinstance(b, Binding) and offered(app.main, b)]
    app.push_screen(TextDialog("Help", texts.help_lines(current, panels, bindings)))


def explain(app: GpuTuiApp) -> None:
    """Every figure with its source."""
    explaining.explain(app)


def choose_model(app: GpuTuiApp) -> None:
    """Choose the model to plan with."""
    explorer, planner = app.explorer, app.planner
    need = explorer.need
    dialog = ModelDialog(
        planner.models,
        planner.pick,
        running=texts.running_line(planner.evidence, explorer.snapshot, reading=planner.reading),
        hand_set=[
            ("hand-set figures  ", ""),
            (f"{mib(need.model_bytes)} MiB: {clean(need.model_origin.source, 60)}", "dim"),
        ],
        effective=explorer.known,
    )

    def chosen(pick: Pick | None) -> None:
        if pick is not None:
            planner.choose(pick)

    app.push_screen(dialog, chosen)


def toggle_learned(app: GpuTuiApp) -> None:
    """Apply what past starts taught, or take it back."""
    snapshot = app.explorer.snapshot
    told = app.planner.lessons.toggle(here=snapshot is not None and snapshot.here)
    app.show_machine()
    app.notify(told)


def show_what_to_type(app: GpuTuiApp) -> None:
    """What to type for the plan."""
    app.run_worker(_what_to_type(app), group="type", exclusive=True)


async def _what_to_type(app: GpuTuiApp) -> None:
    explorer, planner = app.explorer, app.planner
    one, plan, snapshot = explorer.judgement(), explorer.plan(), explorer.snapshot
    if one is None or plan is None or snapshot is None:
        app.notify("Nothing can be planned while the machine is not read.", severity="warning")
        return
    server = None
    if planner.pick.kind is not PickKind.FOUND:
        server = await aside(lambda: planner.models.server(snapshot, plan.books))
    call = one.prediction.call.value if explorer.predicts else one.report.status.value
    laid = lay_out(what_to_type(plan, one, server), call, running=server is not None)
    title = f"What to type for {plan.gpu_memory_utilization:.3f}"
    app.push_screen(CommandDialog(title, laid, app.copy))


def choose_mode(app: GpuTuiApp) -> None:
    """Choose what a run measures, and run."""
    rows: list[tuple[str, Line]] = [(mode, [(f"{name:<16}", "strong"), (told, "")]) for mode, name, told in MODES]

    def chosen(mode: str | None) -> None:
        if mode is not None:
            app.runner.start(mode)

    app.push_screen(ChoiceDialog("What to measure", rows, app.runner.view.mode), chosen)


def show_history(app: GpuTuiApp) -> None:
    """The journal's runs."""
    from gpu_tui.tui.screens.history import HistoryScreen, Work

    def with_journal(work: Work, writable: bool) -> Any:
        with wiring.open_journal(app.settings, writable=writable) as journal:
            return work(journal)

    app.push_screen(HistoryScreen(with_journal, plots.targets_of(app.settings)))


def show_alerts(app: GpuTuiApp) -> None:
    """The alerts."""
    from gpu_tui.tui.screens.alerts import AlertsScreen

    app.push_screen(AlertsScreen())


def show_deployments(app: GpuTuiApp) -> None:
    """The starts of vLLM servers."""
    from gpu_tui.tui.screens.deployments import DeploymentsScreen

    app.push_screen(DeploymentsScreen())


def show_plots(app: GpuTuiApp) -> None:
    """The plots of the run and of the journal's runs, as large as the screen."""
    app.run_worker(plots.show_plots(app), group="plots", exclusive=True)


def next_plot(app: GpuTuiApp) -> None:
    """The latency panel's next plot."""
    app.run_worker(plots.next_plot(app), group="plots", exclusive=True)


def choose_gpu(app: GpuTuiApp) -> None:
    """Choose among several GPUs."""
    snapshot = app.explorer.snapshot
    if snapshot is None or len(snapshot.gpus) < 2:
        app.notify("This machine has one GPU.")
        return
    rows = [(g.key, texts.gpu_line(g, keep_books(snapshot, g, app.explorer.classifier))) for g in snapshot.gpus]
    current = app.explorer.gpu

    def chosen(key: str | None) -> None:
        if key is not None:
            app.explorer.choose_gpu(key)
            app.show_machine()

    app.push_screen(ChoiceDialog("GPU", rows, current.key if current else None), chosen)


def choose_restarts(app: GpuTuiApp) -> None:
    """Choose which vLLM instance restarts."""
    books = app.explorer.books()
    if books is None or not books.instances:
        app.notify("No vLLM instance runs on this GPU; nothing restarts.")
        return
    rows = [(str(i.owner_pid), texts.instance_line(i)) for i in books.instances]
    current = str(books.chosen.owner_pid) if books.chosen else None

    def chosen(pid: str | None) -> None:
        if pid is not None:
            app.restart_with(int(pid))

    app.push_screen(ChoiceDialog("Which vLLM instance restarts with the plan?", rows, current), chosen)


def copy_verdict(app: GpuTuiApp) -> None:
    """Copy sentence, breakdown and where the figures are from."""
    report, snapshot, gpu = app.explorer.report(), app.explorer.snapshot, app.explorer.gpu
    if report is None or snapshot is None or gpu is None:
        app.notify("Nothing has been read yet.", severity="warning")
        return
    origin = reading_origin(snapshot, app.telemetry.age_s())
    lines = [
        app.host.sentence(report),
        f"--gpu-memory-utilization {report.gpu_memory_utilization:.3f} on GPU {gpu.index} {gpu.name} ({gpu.uuid})",
        *(plain(line) for line in check_lines(report)),
        ", ".join(filter(None, (f"{origin.kind.value}: {origin.source}", age_words(origin)))),
    ]
    app.copy("\n".join(lines))
