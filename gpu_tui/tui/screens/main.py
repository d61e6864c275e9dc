"""The one working screen: composition, bindings, and the single call that redraws after a key."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Input

from gpu_tui.core.against import Against
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.snapshot import Fault
from gpu_tui.tui import supposing
from gpu_tui.tui.bindings import KEYS, REPLAY_KEYS
from gpu_tui.tui.panels import Panels
from gpu_tui.tui.planner import PickKind
from gpu_tui.tui.screens.actions import ActionsScreen
from gpu_tui.tui.styling import COLOUR_BLIND, content
from gpu_tui.tui.texts import model_line
from gpu_tui.tui.widgets.alerts import AlertLine
from gpu_tui.tui.widgets.bars import Bars
from gpu_tui.tui.widgets.caption import CaptionLine
from gpu_tui.tui.widgets.checks import LARGEST_MIB, CheckBreakdown, MibInput
from gpu_tui.tui.widgets.hands_off import HandsOffLine
from gpu_tui.tui.widgets.header import Header
from gpu_tui.tui.widgets.history import HistoryPanel
from gpu_tui.tui.widgets.keys import Keys
from gpu_tui.tui.widgets.latency import LatencyPanel
from gpu_tui.tui.widgets.replay import ReplayBar
from gpu_tui.tui.widgets.services import ServiceTable
from gpu_tui.tui.widgets.slider import UtilizationSlider
from gpu_tui.tui.widgets.verdict import Verdict
from gpu_tui.view.explorer import Explorer
from gpu_tui.view.spans import Line
from gpu_tui.view.text import clean
from gpu_tui.view.track import legend

_W = TypeVar("_W", bound=Widget)


class MainScreen(ActionsScreen):
    """The explorer."""

    BINDINGS = [*KEYS, *REPLAY_KEYS]

    def __init__(self, explorer: Explorer) -> None:
        super().__init__()
        self.explorer = explorer
        self.utilization_origin = Origin(kind=OriginKind.ASSUMED, source="default")
        self.panels = Panels()
        self._labels: dict[str, Line] = {}

    def compose(self) -> ComposeResult:
        """All panels; the small layouts hide some."""
        yield Header(id="header")
        yield ReplayBar(self.replay_to, id="replay")
        yield AlertLine(id="alerts")
        yield HandsOffLine(id="hands-off")
        yield CaptionLine(id="caption")
        with Horizontal(id="top"):
            yield _titled(ServiceTable(id="services"), "Production services")
            yield _titled(HistoryPanel(id="history"), "Memory, last 5 min")
            yield _titled(LatencyPanel(id="latency-tab"), "Latency")
        with Vertical(id="slider-box") as box:
            box.border_title = "vLLM --gpu-memory-utilization"
            yield UtilizationSlider(self.explorer.permille, self._moved, id="slider")
            yield Bars(id="bars")
        yield Verdict(id="verdict")
        with Horizontal(id="bottom"):
            yield _titled(CheckBreakdown(id="checks"), "Checks")
            yield _titled(LatencyPanel(id="latency"), "Latency")
        yield Keys(id="footer")

    def on_mount(self) -> None:
        """The slider has the focus."""
        self.query_one(UtilizationSlider).focus()

    def on_resize(self, event: events.Resize) -> None:
        """Choose the layout for this size."""
        self.panels.fit(self, event.size)
        self.query_one(Verdict).max_rows = 4 if event.size.height >= 30 else 3
        self._show_caption()
        self.show_plan()

    def show_plan(self) -> None:
        """Redraw slider, bars, verdict and checks: all that one key press changes, in one call."""
        if not self.is_mounted:
            return
        explorer = self.explorer
        judgement = explorer.judgement()
        report = judgement.report if judgement is not None else None
        zones = explorer.bands()
        self.query_one("#slider", UtilizationSlider).show(explorer.permille, explorer.feasible_permille(), zones)
        raised = explorer.view() if explorer.against is not Against.NOW and explorer.problem is None else None
        self.query_one("#bars", Bars).show(report, raised.now if raised is not None else None)
        self.query_one("#verdict", Verdict).show(self.gpu_app.advice.verdict(explorer, judgement))
        self.query_one("#checks", CheckBreakdown).show(report, explorer.plan_need, explorer.problem)
        self.query_one("#history", HistoryPanel).plan(report.allocation_bytes if report else None)
        told = legend(zones, predicted=explorer.start() is not None)
        self._label("#slider-box", supposing.shrunk_line(self.gpu_app, self.size.width - 6) or told)
        self._title(*supposing.titles(self.gpu_app))
        self._label("#checks", model_line(self.gpu_app.planner, explorer))

    def _title(self, services: str, slider: str) -> None:
        """Titles of the boxes whose content is supposed."""
        for selector, words in (("#services", services), ("#slider-box", slider)):
            box = self.query_one(selector)
            if box.border_title != words:
                box.border_title = words

    def _label(self, selector: str, words: Line) -> None:
        """Words in a box's lower edge; nothing is drawn anew while they stay the same."""
        if self._labels.get(selector) != words:
            self._labels[selector] = words
            self.query_one(selector).border_subtitle = content([words])

    def show_machine(self, fault: Fault | None) -> None:
        """Redraw what a reading changes, then the plan over it."""
        if not self.is_mounted:
            return
        books = self.explorer.books()
        table = self.query_one("#services", ServiceTable)
        view = self.explorer.view()
        table.show(view.now if view is not None else books, fault, view.levels if view is not None else ())
        self._show_caption()
        history = self.gpu_app.intake.history_of(self.explorer.gpu)
        report = self.explorer.report()
        self.query_one("#history", HistoryPanel).show(history, books, report.allocation_bytes if report else None)
        self.show_plan()

    def _show_caption(self) -> None:
        """A line of its own where there is room, else the lower edge of whichever box stands on top."""
        caption = self.explorer.snapshot.caption if self.explorer.snapshot else ""
        self.query_one("#caption", CaptionLine).show(caption)
        edge: Line = [(clean(caption, 200), "")] if caption and self.has_class("-compact") else []
        for box in ("#services", "#history", "#latency-tab"):
            self._label(box, edge)

    def _moved(self, permille: int) -> None:
        self.explorer.set_permille(permille)
        self.utilization_origin = Origin(kind=OriginKind.ASSUMED, source="the slider")
        self.show_plan()

    # Keys of the slider reach it from everywhere but a text field.

    @property
    def slider(self) -> UtilizationSlider:
        """The slider."""
        return self.query_one("#slider", UtilizationSlider)

    def on_key(self, event: events.Key) -> None:
        """Digits and the point type a utilization."""
        character = event.character or ""
        if isinstance(self.focused, Input) or len(character) != 1:
            return
        if character in "0123456789.":
            event.stop()
            event.prevent_default()
            if not self.slider.has_focus:
                self.slider.focus()
            self.slider.type_key(character)

    def action_nudge(self, steps: int) -> None:
        """Move by steps of 0.001."""
        self.slider.move_to(self.explorer.permille + steps)

    def action_move(self, permille: int) -> None:
        """Go to a value."""
        self.slider.move_to(permille)

    def action_edge(self, end: int) -> None:
        """Go to an end of the feasible range."""
        steps = self.explorer.feasible_permille()
        if steps is None:
            self.notify("No utilization fits now; the verdict says what to free.", severity="warning")
        else:
            self.slider.move_to(steps[end])

    def action_feasible(self) -> None:
        """Go to the nearest feasible value."""
        nearest = self.explorer.nearest_feasible()
        if nearest is None:
            self.notify("No utilization fits now; the verdict says what to free.", severity="warning")
        else:
            self.slider.move_to(nearest)

    def action_own(self) -> None:
        """Go to the running server's own value."""
        own = self.gpu_app.host.own_utilization()
        if own is None:
            self.notify("The running server's command line names no utilization.", severity="warning")
        else:
            self.slider.move_to(round(own * 1000))

    def action_commit(self) -> None:
        """Take the typed utilization; where a plot is on show and nothing was typed, enlarge it."""
        if not self.slider.typed and self.panels.tab == "plot":
            self.action_big_plot()
        elif self.slider.typed and (text := self.slider.commit()) is not None:
            self.notify(f"{text!r} is no utilization. Type 0.45, or 45 for 45 %.", severity="warning")

    def action_erase(self) -> None:
        """Take back a typed digit."""
        if self.slider.typed:
            self.slider.erase()

    def action_edit(self, field: str) -> None:
        """Edit a figure of the model."""
        if self.has_class("-tiny"):
            self.panels.show_tab(self, "")
        target = self.query_one(f"#{field}", MibInput)
        target.focus()
        target.select_all()

    def action_escape(self) -> None:
        """The nearest thing to leave: a typed number, then a run, then a panel's focus."""
        if self.slider.typed:
            self.slider.drop()
        elif not self.gpu_app.runner.cancel():
            self.slider.focus()

    def action_panels(self) -> None:
        """Next panel in the services' place."""
        if not self.panels.cycle(self):
            self.notify("All panels are on the screen.")

    def action_run(self) -> None:
        """Measure, or cancel a measurement by its button."""
        if not (self.gpu_app.runner.view.state == "running" and self.gpu_app.runner.cancel()):
            self.gpu_app.runner.start()

    def action_copy_flag(self) -> None:
        """Copy the flag."""
        self.gpu_app.copy(f"--gpu-memory-utilization {self.explorer.utilization:.3f}")

    def action_theme(self) -> None:
        """Switch the colour-blind-safe theme."""
        self.app.theme = "gpu-tui" if self.app.theme == COLOUR_BLIND else COLOUR_BLIND

    @on(ServiceTable.DetailsRequested)
    def _details(self, event: ServiceTable.DetailsRequested) -> None:
        if event.service is None:
            supposing.show_driver(self.gpu_app)
        else:
            supposing.show_service(self.gpu_app, event.service)

    @on(ServiceTable.Supposed)
    def _supposed(self, event: ServiceTable.Supposed) -> None:
        supposing.suppose(self.gpu_app, event.service)

    @on(ServiceTable.RestartsChosen)
    def _restarts(self, event: ServiceTable.RestartsChosen) -> None:
        self.gpu_app.restart_with(event.service.instance_pid)

    @on(CheckBreakdown.NeedChanged)
    def _need(self, event: CheckBreakdown.NeedChanged) -> None:
        typed = Origin(kind=OriginKind.ASSUMED, source="typed in the explorer")
        need = self.explorer.need
        planner = self.gpu_app.planner
        if event.model_bytes is not None:
            need = replace(need, model_bytes=event.model_bytes, model_origin=typed)
            if self.explorer.start() is not None:
                self.notify("Planned with the typed figure; M goes back to the model's own terms.")
            planner.choose(replace(planner.pick, kind=PickKind.HAND_SET))
        if event.min_kv_cache_bytes is not None:
            need = replace(need, min_kv_cache_bytes=event.min_kv_cache_bytes, min_kv_cache_origin=typed)
            planner.type_floor(event.min_kv_cache_bytes)
        self.explorer.set_need(need)
        self.slider.focus()
        self.show_plan()

    @on(CheckBreakdown.Refused)
    def _refused(self, event: CheckBreakdown.Refused) -> None:
        self.notify(f"{event.text!r} is no size in MiB: above 0, at most {LARGEST_MIB}.", severity="warning")

    @on(MibInput.GivenUp)
    def _given_up(self) -> None:
        self.query_one(CheckBreakdown).restore()
        self.slider.focus()


def _titled(widget: _W, title: str) -> _W:
    widget.border_title = title
    return widget
