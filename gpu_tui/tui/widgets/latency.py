"""The latency panel: what was measured, at which utilization, and the button that measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.geometry import Size
from textual.widgets import Button, Label

from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.tui.widgets.plot import AnyPlot, LatencyPlot
from gpu_tui.view.latency import errors, figure, gaps_name, heading, ms, progress_bar
from gpu_tui.view.machine import MachinePlot, phase_lines
from gpu_tui.view.modes import TurnsPlot, interference_lines, voice_summary
from gpu_tui.view.plots import PLOTS, Level, Plot
from gpu_tui.view.spans import Line, wrap
from gpu_tui.view.text import clean

if TYPE_CHECKING:
    from gpu_tui.bench.events import Progress, RequestDone, Summary
    from gpu_tui.bench.shapes import VoiceTurn, WhisperSize


@dataclass(frozen=True)
class RunView:
    """What a run has told so far."""

    state: str = "idle"
    """``idle``, ``asking``, ``running``, ``done``, ``cancelled``, ``refused`` or ``failed``."""
    message: str = ""
    progress: Progress | None = None
    requests: tuple[RequestDone, ...] = ()
    turns: tuple[VoiceTurn, ...] = ()
    mode: str = "both"
    summary: Summary | None = None
    planned: float | None = None
    """The slider's utilization when the run was asked for."""
    simulated: bool = False
    levels: tuple[Level, ...] = ()
    """Targets drawn into the plots."""
    kept: str = ""
    """Where the journal has it: ``kept as run 12``."""
    runs: tuple[Summary, ...] = field(default=())
    """Finished runs of this session, oldest first."""

    @property
    def busy(self) -> bool:
        """Whether a run is being asked for or under way."""
        return self.state in ("asking", "running")


def run_plots(run: RunView) -> list[AnyPlot]:
    """What a run's plots show, what it is about first; empty ones are left out."""
    voice = run.summary.voice if run.summary is not None else None
    turns = TurnsPlot(run.turns, voice.budget_ms if voice is not None else None, simulated=run.simulated)
    requests = [replace(make(run.requests, run.levels), simulated=run.simulated) for make in PLOTS]
    plots: list[AnyPlot] = [turns] if run.turns else []
    plots += [plot for plot in requests if not plot.empty]
    summary = run.summary
    if summary is not None and summary.machine_series is not None:
        machine = MachinePlot(summary.machine_series, simulated=summary.machine_series.simulated)
        plots.insert(0 if summary.interference is not None else len(plots), machine)
    return plots


def progress_line(run: RunView) -> Line:
    """One line for the footer or the panel; empty when idle."""
    progress = run.progress
    if run.state != "running":
        return []
    if progress is None or progress.phase == "resolve":
        return [(" ▓ looking for endpoints, esc cancels ", "key")]
    what = (progress.kind or "").upper()
    phase = " warm-up" if progress.phase == "warmup" else ""
    left = f"  {progress.left_s:.0f} s left" if progress.left_s is not None else ""
    bar = progress_bar(progress.done, progress.total)
    return [(f" {bar} {what}{phase} {progress.done}/{progress.total}{left}, esc cancels ", "key")]


class LatencyLines(Panel):
    """Figures of the run, live or done."""

    def __init__(self) -> None:
        super().__init__(classes="latency-lines")
        self._run = RunView()

    def show(self, run: RunView) -> None:
        """Show this run; the layout is done anew only when its height changes."""
        rows = self._rows(self.size.width)
        self._run = run
        if self._rows(self.size.width) != rows:
            self.refresh(layout=True)
        self.redraw()

    def _rows(self, width: int) -> int:
        return len(self.draw(width, 0)) if width else 0

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Rows needed; the plot below takes the rest."""
        return max(1, self._rows(width))

    def draw(self, width: int, height: int) -> list[Line]:
        """Message, figures, whose utilization they belong to."""
        run = self._run
        lines: list[Line] = []
        if run.message:
            tone = "bad" if run.state in ("failed", "refused") else "dim"
            lines += wrap([(clean(run.message, 400), tone)], width)
        if run.summary is not None:
            for line in summary_lines(run.summary, width, run.kept):
                lines += wrap(line, width, indent=2)
        elif run.state == "running":
            lines += self._live(run, width)
        elif not run.message:
            words = "r measures the live services: LLM (TTFT, ITL, end-to-end), then STT (latency, RTF)."
            lines += wrap([(words, "dim")], width)
        return lines

    def _live(self, run: RunView, width: int) -> list[Line]:
        done = [r for r in run.requests if r.error is None]
        failed = len(run.requests) - len(done)
        last = done[-1] if done else None
        words = "no answer yet"
        if run.turns and run.turns[-1].total_ms is not None:
            words = f"last turn: {ms(run.turns[-1].total_ms)} ms from the end of speech to the first sentence"
        if last is not None and last.kind == "llm" and last.ttft_ms is not None:
            words = f"last: TTFT {ms(last.ttft_ms)} ms" + (f", end-to-end {ms(last.e2e_ms)} ms" if last.e2e_ms else "")
        elif last is not None and last.latency_ms is not None:
            words = f"last: STT {ms(last.latency_ms)} ms"
        lines = wrap([(words, "")], width)
        if failed:
            lines += wrap([(f"! {failed} failed, last: {clean(run.requests[-1].message, 200)}", "warn")], width)
        return lines


def summary_lines(summary: Summary, width: int, kept: str = "") -> list[Line]:
    """A finished run in words."""
    if summary.interference is not None:
        series = summary.machine_series
        machine = [[("GPU over the run: unknown, it was not read", "dim")]] if series is None else phase_lines(series)
        return [*interference_lines(summary.interference), *machine, *_closing(summary, kept)]
    if summary.voice is not None:
        return [*voice_summary(summary.voice), *_closing(summary, kept)]
    lines: list[Line] = [heading(width)]
    llm, stt = summary.llm, summary.stt
    if llm is not None:
        lines.append(figure(f"LLM TTFT  n={llm.n}", llm.ttft_ms, llm.n, width=width))
        lines.append(figure(f"    {gaps_name(llm.itl_basis)}", llm.itl_ms, llm.n, width=width))
        lines.append(figure("    end-to-end", llm.e2e_ms, llm.n, width=width))
    if stt is not None:
        lines.append(figure(f"STT latency n={stt.n}", stt.latency_ms, stt.n, width=width))
        lines.append(figure(f"    RTF{_whisper(stt.size)}", stt.rtf, stt.n, unit="", width=width))
    return [*lines, *_closing(summary, kept)]


def _whisper(size: WhisperSize | None) -> str:
    """Which Whisper it was, short enough for a row's name; a label that nobody has borne out bears a question mark."""
    return "" if size is None else f", {clean(size.name, 10)}{'?' if size.origin == 'assumed' else ''}"


def _closing(summary: Summary, kept: str) -> list[Line]:
    """What failed, what was not measured and why, whose utilization the figures belong to."""
    lines: list[Line] = []
    loads = [("LLM", summary.llm), ("STT", summary.stt), ("voice", summary.voice)]
    together = summary.interference.together if summary.interference is not None else None
    if together is not None:
        loads += [("LLM beside STT", together.llm), ("STT beside LLM", together.stt)]
    for kind, result in loads:
        if result is not None:
            lines += _failures(kind, result.errors)
    for kind, why in sorted(summary.reason.items()):
        lines.append([(f"{kind.upper()} {clean(why, 200)}", "warn")])
    if summary.oom_events:
        lines.append([(f"✗ {summary.oom_events} CUDA out-of-memory answers", "bad")])
    lines += [[(f"! {clean(note, 200)}", "dim")] for note in summary.notes[:2]]
    lines.append([*_where(summary), (_cost(summary), "dim"), (f"; {kept}" if kept else "", "dim")])
    return lines


def _cost(summary: Summary) -> str:
    """What measuring itself took, of one request."""
    cost = summary.generator
    if cost is None or cost.cpu_ms_per_request is None:
        return ""
    part = "" if cost.request_share is None else f", {cost.request_share:.1%} of a request"
    return f"; cost {ms(cost.cpu_ms_per_request)} ms CPU{part}"


def _failures(kind: str, counts: dict[str, int]) -> list[Line]:
    told = errors(counts)
    return [[(f"! {kind} errors: {clean(told, 200)}", "warn")]] if told else []


def _where(summary: Summary) -> Line:
    actual, planned = summary.gpu_memory_utilization.actual, summary.gpu_memory_utilization.planned
    running = "an unknown utilization" if actual is None else f"{actual:.3f}"
    rate = summary.llm.output_tokens_per_s if summary.llm is not None else None
    words = "" if rate is None else f"{rate:.0f} tokens/s; "
    words += f"the server runs at {running}"
    if planned is not None and planned != actual:
        words += f", the plan was {planned:.3f}"
    few = any(result is not None and 0 < result.n < 20 for result in (summary.llm, summary.stt))
    label: Line = [("SIMULATED ", "warn")] if summary.simulated else []
    return [*label, (words + ("; * p95 of few samples" if few else ""), "dim")]


class LatencyPanel(Vertical):
    """Figures, plot, button."""

    HELP = (
        "r measures the services that run now, in a process of its own: the LLM by streamed chat completions, then STT "
        "by a shipped clip. R chooses how: interference (alone, then both together), voice turns, or one kind. The "
        "figures belong to the utilization the server really runs at, not to the slider's. Warm-ups are excluded. esc "
        "cancels; B turns to the next plot, among them percentiles of all runs against utilization and KV cache; b or "
        "enter shows it large. SIMULATED marks the demo's own endpoints."
    )

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._run = RunView()
        self._runs: tuple[Plot, ...] = ()
        self._which = 0

    def compose(self) -> ComposeResult:
        """Figures, plot, button row."""
        yield LatencyLines()
        plot = LatencyPlot()
        plot.can_focus = True
        yield plot
        with Horizontal(classes="run-row"):
            yield Button("Run measurements", compact=True, classes="run-button", action="screen.run")
            yield Label("", classes="run-progress")

    def show(self, run: RunView) -> None:
        """Show this run; the lines take the height they need, the plot the rest."""
        if run.state != self._run.state:
            self._which = 0
        self._run = run
        self.query_one(LatencyLines).show(run)
        self._plot()
        words = "".join(text for text, _ in progress_line(run)).replace(", esc cancels", "").strip()
        self.query_one(".run-progress", Label).update(words)
        button = self.query_one(Button)
        button.label = "Cancel (esc)" if run.state == "running" else "Run measurements"

    def turn(self, runs: Sequence[Plot]) -> None:
        """The next plot: those of the run, then these of the runs in the journal."""
        self._runs = tuple(runs)
        self._which += 1
        self._plot()

    @property
    def shown(self) -> str:
        """Title of the plot on show; empty when there is none."""
        plots = self._plots()
        plot = plots[self._which % len(plots)] if plots else None
        return "" if plot is None else plot.title

    def _plots(self) -> list[AnyPlot]:
        return [*run_plots(self._run), *(plot for plot in self._runs if not plot.empty)]

    def _plot(self) -> None:
        plots = self._plots()
        plot = plots[self._which % len(plots)] if plots else None
        self.query_one(LatencyPlot).show(plot)
