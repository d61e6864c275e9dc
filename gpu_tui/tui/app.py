"""The app: owns the poller and the runner, routes what they say to the screen, computes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.driver import Driver
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.worker import WorkerFailed

from gpu_tui import wiring
from gpu_tui.clock import Clock, SystemClock
from gpu_tui.config import Settings
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.ports import TelemetrySource
from gpu_tui.telemetry.poller import Reading
from gpu_tui.tui.advice import Advice
from gpu_tui.tui.alarms import Alarms
from gpu_tui.tui.deploying import Deploying
from gpu_tui.tui.host import Host
from gpu_tui.tui.intake import Intake
from gpu_tui.tui.leaving import leave_on_signals
from gpu_tui.tui.letting_go import let_go
from gpu_tui.tui.messages import Letterbox, MachineRead
from gpu_tui.tui.palette import commands_of
from gpu_tui.tui.planner import Models, Planner
from gpu_tui.tui.recorder import Recorder
from gpu_tui.tui.replay import Replay
from gpu_tui.tui.run import Runner
from gpu_tui.tui.screens.main import MainScreen
from gpu_tui.tui.styling import DEFAULTS, THEMES, theme_named
from gpu_tui.tui.telemetry import Telemetry, fault_of
from gpu_tui.tui.tenants import Tenants
from gpu_tui.tui.widgets.header import Header
from gpu_tui.tui.widgets.latency import RunView
from gpu_tui.view.explorer import Explorer
from gpu_tui.view.plots import Level
from gpu_tui.view.text import clean
from gpu_tui.wiring.models import LocalModels
from gpu_tui.wiring.peaks import if_loaded

TICK_S = 1.0
"""How often ages in the header are brought up to date; nothing is read for it."""

STARTED_S = 2.0
"""After so long the first readings are in and what stays is made."""


class GpuTuiApp(App[None]):
    """gpu-tui.

    Args:
        options: what the command line asks for.
        settings: the settings in effect.
        source: read instead of what `options` name; for tests.
        models: asked instead of this machine's files and servers; for tests.
        clock: the time; a driven one in tests.
        started: called once when the start is over.
    """

    CSS_PATH = "app.tcss"
    TITLE = "gpu-tui"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS = [
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True, id="quit.now"),
        Binding("ctrl+c", "interrupt", "Interrupt", show=False, priority=True, id="quit.interrupt"),
    ]

    def __init__(
        self,
        options: wiring.Options,
        settings: Settings,
        *,
        source: TelemetrySource | None = None,
        models: Models | None = None,
        clock: Clock | None = None,
        no_color: bool = False,
        started: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(ansi_color=True if no_color else None)
        self.options, self.settings = options, settings
        self.clock = clock or SystemClock()
        self._source, self._started = source, started
        self.mistake: Exception | None = None
        """What ended the app, when the user did not."""
        self.explorer = Explorer(classifier=wiring.classifier(settings), need=wiring.model_need(settings, None))
        self.explorer.set_permille(round(settings.model.gpu_memory_utilization * 1000))
        self.explorer.restarts = settings.restarts
        self.letterbox = Letterbox()
        self.telemetry = Telemetry(self.clock, settings.interval_s, self._deliver)
        self.planner = Planner(self.explorer, settings, models or LocalModels(self.clock), self.clock, self)
        self.advice = Advice(self, self.show_plan)
        targets = settings.evaluator.targets
        self.host = Host(self)
        self.explorer.if_loaded = if_loaded(settings)
        self.tenants = Tenants(self.explorer, settings, self.clock, self)
        self.runner = Runner(self.host, self.run_worker)
        self.runner.view = RunView(
            levels=(Level("LLM target", targets.llm_ms), Level("STT target", targets.stt_ms)),
        )
        self.replay, self.recorder = Replay(self), Recorder(self.clock)
        self.alarms, self.deploying = Alarms(self), Deploying(self)
        self.paused = False
        self.intake = Intake(self)
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = theme_named(settings, self.available_themes)

    def _handle_exception(self, error: Exception) -> None:
        """Keep our own mistake for whoever called `run`: it is told in a sentence, not as a traceback on the screen."""
        cause = error.error if isinstance(error, WorkerFailed) else error
        if self.mistake is None and isinstance(cause, Exception):
            self.mistake = cause
        super()._handle_exception(error)
        self._exit_renderables.clear()

    def get_driver_class(self) -> type[Driver]:
        """Textual's own, made to leave with its terminal; another platform's and the tests' as they are."""
        usual = super().get_driver_class()
        if usual.__name__ != "LinuxDriver":
            return usual
        from gpu_tui.tui.terminal_file import LastingDriver

        return LastingDriver

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours of ours for themes that do not know them."""
        return DEFAULTS

    def get_default_screen(self) -> MainScreen:
        """The explorer, from the first frame on."""
        self.main = MainScreen(self.explorer)
        return self.main

    def on_mount(self) -> None:
        """Begin to read once the first frame is drawn: the driver's and the processes' libraries take a moment."""
        self.main.call_after_refresh(self._read)
        self.set_interval(TICK_S, self._tick)
        if self._started is not None:
            self.set_timer(STARTED_S, self._started)
        leave_on_signals(lambda code: self.exit(return_code=code), getattr(self._driver, "leave", lambda: None))

    def on_unmount(self) -> None:
        """Stop reading; a call that hangs is left behind."""
        self.telemetry.close()
        self.recorder.close()
        self.alarms.close()
        self.deploying.close()
        self.host.close()
        self.tenants.close()

    # Readings

    def _read(self) -> None:
        source = self._source or wiring.open_source(self.options, self.settings, self.clock)
        self.telemetry.start(self.replay.follow(source) or source)

    def _deliver(self, reading: Reading, generation: int) -> None:
        self.recorder.see(reading, self.planner.evidence.inputs)
        self.alarms.see(reading, generation)
        self.intake.prepare(reading.snapshot)
        if self.letterbox.put(reading, generation):
            self.post_message(MachineRead())
        self.deploying.see(reading, generation)

    def on_machine_read(self) -> None:
        """Take a reading in, unless paused or of a source that was left."""
        reading, generation = self.letterbox.take() or (None, 0)
        if reading is None or generation != self.telemetry.generation:
            return
        self.host.watch.see(reading)  # also while the screen is frozen: a run is not
        if self.paused or not self.replay.news(reading):
            return
        if reading.snapshot is not None:
            self.telemetry.last_error, self.telemetry.last_seen = None, reading.finished
            self.see(reading.snapshot)
        elif reading.error is not None:
            self.telemetry.last_error = fault_of(reading.error)
            self.explorer.fail(self.telemetry.last_error)
        self.show_machine()

    def on_alerts_changed(self) -> None:
        """Alerts were raised or cleared."""
        self.alarms.tell()

    def on_deployments_changed(self) -> None:
        """A server began, went on to its next phase, serves or died; or somebody races it."""
        self.deploying.tell()

    def see(self, snapshot: Snapshot) -> None:
        """Take in one snapshot."""
        self.intake.see(snapshot)

    def _tick(self) -> None:
        let_go()
        self.alarms.tick(self.telemetry.stalled_s)
        hanging = self.telemetry.hanging_fault()
        if hanging is not None and not self.paused:
            self.explorer.fail(hanging)
            self.show_machine()
        else:
            self.show_header()

    @property
    def drawn(self) -> bool:
        """The explorer is on the screen whole: not before the first frame, nor while it is being taken down."""
        return self.main.is_mounted and self.main.query_one_optional("#footer") is not None

    def show_machine(self) -> None:
        """Show the last reading, or what keeps it from being one."""
        self.show_header()
        gpu = self.explorer.gpu
        if self.drawn:
            self.main.show_machine(self.explorer.problem or next(iter(gpu.faults if gpu is not None else ()), None))

    def show_header(self) -> None:
        """Show anew how fresh the figures are."""
        if not self.drawn:
            return
        snapshot = self.explorer.snapshot
        problem = self.explorer.problem
        state = self.replay.show(problem, snapshot) or self.telemetry.liveness(snapshot, problem, self.paused)
        state = self.deploying.told(self.alarms.told(self.recorder.told(state, self)))
        count = len(snapshot.gpus) if snapshot else 0
        self.main.query_one("#header", Header).show(self.explorer.gpu, count, state)

    def show_plan(self) -> None:
        """Show the plan anew."""
        if self.drawn:
            self.main.show_plan()

    def toggle_pause(self) -> None:
        """Freeze what is shown; reading goes on underneath."""
        self.paused = not self.replay.toggle() and not self.paused
        self.show_header()

    # What the dialogs bring about

    def restart_with(self, owner_pid: int | None) -> None:
        """Make this instance the one that restarts."""
        books = self.explorer.books()
        found = [i for i in (books.instances if books else ()) if i.owner_pid == owner_pid]
        if not found:
            self.notify("Only a vLLM instance can restart with the plan.", severity="warning")
            return
        self.explorer.choose_restarts(found[0])
        self.show_machine()

    def offer_demo(self) -> None:
        """Switch to the demo machine, which is labelled simulated; only when asked."""
        snapshot = self.explorer.snapshot
        if snapshot is not None and snapshot.simulated:
            self.notify("This is already a simulated machine.")
            return
        self.options = replace(self.options, scenario=None, replay=None, demo=True)
        self.intake.forget()
        self.tenants.forget()
        self.recorder.end(self)
        self.replay.leave()
        self.explorer.leave()
        self.paused = False
        self.runner.forget()
        self.telemetry.start(wiring.open_source(self.options, self.settings, self.clock))
        self.show_machine()

    def copy(self, text: str) -> None:
        """To the clipboard by OSC 52, which also works over ssh where the terminal allows it."""
        text = "\n".join(map(clean, text.split("\n")))  # it is pasted into a shell
        self.copy_to_clipboard(text)
        self.notify(f"Copied: {text.splitlines()[0]}")

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """A toast. Its words may hold what others wrote (GPU names, paths), so they are never read as markup."""
        super().notify(message, title=title, severity=severity, timeout=timeout, markup=False)

    def action_interrupt(self) -> None:
        """Ctrl-C: leave as a command does that was interrupted."""
        self.exit(return_code=130)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Every action of the explorer, and Textual's own."""
        yield from super().get_system_commands(screen)
        if isinstance(screen, MainScreen):
            yield from commands_of(screen)
