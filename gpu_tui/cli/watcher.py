"""The process of `gpu-tui watch`: reads on the poller's thread, prints on its own, heeds signals."""

from __future__ import annotations

import queue
import signal
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from gpu_tui import wiring
from gpu_tui.cli import exit_codes, output
from gpu_tui.clock import Clock, SystemClock
from gpu_tui.config import Settings
from gpu_tui.errors import GpuTuiError
from gpu_tui.telemetry.poller import Poller
from gpu_tui.wiring.deploying import DeploymentWatch
from gpu_tui.wiring.peak_log import PeakLog
from gpu_tui.wiring.telling import news_objects
from gpu_tui.wiring.watching import Watch, recorded

if TYPE_CHECKING:
    from gpu_tui.core.events import Event
    from gpu_tui.core.observation import Observation
    from gpu_tui.core.snapshot import Snapshot
    from gpu_tui.ports import TelemetrySource

TICK_S = 0.5
"""How often a driver that hangs and a signal are looked for."""
MOST_WAITING = 4096
"""Lines that wait for whoever reads the output; more are dropped, and how many is told. Readings never wait for it."""
PATIENCE_S = 2.0
"""How long alerts may still take to go out at the end."""


class Lines(Protocol):
    """Whoever prints."""

    def event(self, event: Event) -> None:
        """One thing that happened."""
        ...

    def state(self, now: Observation, alerts: Sequence[Any]) -> None:
        """How it is."""
        ...

    def deployment(self, told: dict[str, Any]) -> None:
        """A server that went on, or a race, as `wire_deployments` has it."""
        ...

    def note(self, kind: str, wall_s: float, message: str, *, simulated: bool) -> None:
        """Something about the watch itself."""
        ...


class Watcher:
    """Watches until SIGTERM.

    Args:
        options: which machine.
        settings: the settings at the start.
        lines: prints.
        send_simulated: let alerts of a machine that is not this one leave the process.
        clock: the time.
        source: read instead of what `options` name; for tests.
    """

    def __init__(
        self,
        options: wiring.Options,
        settings: Settings,
        lines: Lines,
        *,
        send_simulated: bool = False,
        clock: Clock | None = None,
        source: TelemetrySource | None = None,
    ) -> None:
        self._options = options
        self._settings = settings
        self._lines = lines
        self._clock = clock or SystemClock()
        self._work: queue.Queue[Callable[[], None]] = queue.Queue(maxsize=MOST_WAITING)
        self._signals: list[int] = []
        self.dropped = 0
        deliver = options.live or send_simulated
        self.watch = Watch(settings, self._clock, self._event, self._trouble, deliver=deliver, also=self._follow)
        self.deployments = DeploymentWatch(settings, self._clock, tell=self._kept)
        self.peaks = PeakLog(settings, self._clock, lambda sentence: self._put(lambda: self._note("peaks", sentence)))
        self._source = source

    def run(self, *, state_every_s: float = 0.0, for_s: float | None = None) -> int:
        """Watch.

        Args:
            state_every_s: seconds between lines about the state; 0: at the start alone.
            for_s: end after so many seconds; None: only by a signal.

        Returns:
            The exit code.
        """
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, lambda number, _frame: self._signals.append(number))
        if self._options.replay is not None:
            return self._replay(self._options.replay)
        if self._options.simulated:
            output.note("SIMULATED: this is not about this machine, and every line says so.")
        poller = Poller(
            self._source or wiring.open_source(self._options, self._settings, self._clock),
            self.watch.take,
            interval_s=self._settings.interval_s,
            clock=self._clock,
        )
        began = self._clock.monotonic()
        poller.start()
        next_state: float | None = None
        while signal.SIGTERM not in self._signals:
            self._print_next()
            now = self._clock.monotonic()
            self.watch.stalled(poller.stalled_for(now))
            self._heed_signals(poller)
            if self.watch.last is not None and (next_state is None or now >= next_state):
                self._lines.state(self.watch.last, self.watch.shown)
                next_state = now + state_every_s if state_every_s else float("inf")
            if for_s is not None and now - began >= for_s:
                break
        poller.close()
        return self._end(timed=for_s is not None and signal.SIGTERM not in self._signals)

    def _replay(self, text: str) -> int:
        """What happened in a recording, as fast as it can be read."""
        output.note("REPLAY: what happened in the recording, not now.")
        first = True
        for step in recorded(text, self._clock):
            step(self.watch)
            self._print_waiting()
            if first and self.watch.last is not None:
                self._lines.state(self.watch.last, self.watch.shown)
                first = False
            if signal.SIGTERM in self._signals:
                break
        return self._end(timed=False)

    def _print_next(self) -> None:
        try:
            self._work.get(timeout=TICK_S)()
        except queue.Empty:
            return  # nothing has happened
        self._print_waiting()

    def _print_waiting(self) -> None:
        while not self._work.empty():
            self._work.get_nowait()()
        if self.dropped:
            count, self.dropped = self.dropped, 0
            self._note("dropped", f"The output was read too slowly: {count} lines were dropped.")

    def _heed_signals(self, poller: Poller) -> None:
        while self._signals and self._signals[0] != signal.SIGTERM:
            if self._signals.pop(0) == signal.SIGHUP:
                self._reload(poller)
            else:
                self.watch.acknowledge()

    def _reload(self, poller: Poller) -> None:
        try:
            settings = wiring.load_settings(self._options)
        except GpuTuiError as error:
            self._note("reload_failed", f"The old configuration stays: {error}")
            return
        self.watch.reload(settings)
        self.deployments.reload(settings)
        self.peaks.reload(settings)
        poller.set_interval(settings.interval_s)
        self._note("reloaded", f"The configuration was read again: {len(settings.alerts)} alert rules.")

    def _end(self, *, timed: bool) -> int:
        self.watch.close(PATIENCE_S)
        self.deployments.close()
        self.peaks.close(PATIENCE_S)
        self._print_waiting()
        self._note("stopped", "The watch has ended.")
        if not timed:
            return exit_codes.OK
        if self.watch.last is None or self.watch.last.fault is not None:
            return exit_codes.UNAVAILABLE
        return exit_codes.INVALID if self.watch.shown else exit_codes.OK

    def _note(self, kind: str, message: str) -> None:
        self._lines.note(kind, self._clock.wall(), message, simulated=not self._options.live)

    def _event(self, event: Event) -> None:
        self._put(lambda: self._lines.event(event))

    def _trouble(self, sentence: str) -> None:
        self._put(lambda: self._note("delivery_failed", sentence))

    def _follow(self, snapshot: Snapshot) -> None:
        self.peaks.see(snapshot)
        news = self.deployments.see(snapshot)
        for told in news_objects(news, self.deployments.shown, snapshot) if news else ():
            self._put(partial(self._lines.deployment, told))

    def _kept(self, sentence: str) -> None:
        self._put(lambda: self._note("journal", sentence))

    def _put(self, work: Callable[[], None]) -> None:
        try:
            self._work.put_nowait(work)
        except queue.Full:
            self.dropped += 1
