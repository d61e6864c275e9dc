"""A machine that is watched: readings become observations, those events and alerts, which go where they are wanted.

`gpu-tui watch` and the explorer's alerts are both made of this.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from gpu_tui.alerting.carriers import Command, LogFile, Webhook
from gpu_tui.alerting.outbox import Carrier, Outbox
from gpu_tui.clock import Clock
from gpu_tui.config import Settings
from gpu_tui.core import events
from gpu_tui.core.alert_rules import When
from gpu_tui.core.alerts import Alert, Alerts
from gpu_tui.core.events import Event, EventKind, Seen
from gpu_tui.core.observation import Observation, observe
from gpu_tui.core.snapshot import Fault, FaultKind, Snapshot
from gpu_tui.errors import GpuTuiError, SourceUnavailable
from gpu_tui.telemetry.poller import Reading
from gpu_tui.wire_events import event_object
from gpu_tui.wiring.assessing import Assessor
from gpu_tui.wiring.latencies import Latencies
from gpu_tui.wiring.machine import classifier
from gpu_tui.wiring.prober import Prober

HANGING_S = 8.0
"""A driver call in flight for so long is a fault; as in the explorer."""
_ALERTS = (EventKind.ALERT_RAISED, EventKind.ALERT_CLEARED)


def carriers_of(settings: Settings) -> list[Carrier]:
    """Who carries alerts on, as configured."""
    alerting = settings.alerting
    made: list[Carrier] = []
    if alerting.log is not None:
        made.append(LogFile(Path(alerting.log).expanduser()))
    if alerting.command is not None:
        made.append(Command(alerting.command, alerting.timeout_s))
    if alerting.webhook is not None:
        made.append(Webhook(alerting.webhook, alerting.timeout_s))
    return made


class Watch:
    """Takes readings, gives events. May be called from several threads.

    Args:
        settings: the plan, the rules and where alerts go.
        clock: the time.
        emit: takes every event; called on the thread that brought the reading, so it must not wait.
        tell: takes a sentence when an alert could not be delivered.
        deliver: False: nothing leaves this process, whatever is configured (a simulated machine, a recording).
        prober: asked of the running vLLM; None: this machine's files and servers.
        latencies: asked of the last runs; None: the journal.
        also: takes every snapshot before its events are told, on the same thread; it must not wait either.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        emit: Callable[[Event], None],
        tell: Callable[[str], None],
        *,
        deliver: bool,
        prober: Prober | None = None,
        latencies: Latencies | None = None,
        also: Callable[[Snapshot], None] = lambda _: None,
    ) -> None:
        self._clock, self._also = clock, also
        self._emit = emit
        self._tell = tell
        self._deliver = deliver
        self._prober = prober or Prober(clock)
        self._given_latencies = latencies
        self._lock = threading.Lock()
        self._seen = Seen()
        self.alerts = Alerts()
        self.last: Observation | None = None
        """What was last seen; None before the first reading."""
        self._outbox = Outbox([], tell)
        self._use(settings)

    @property
    def shown(self) -> tuple[Alert, ...]:
        """The alerts that stand, the newest first; for any thread."""
        with self._lock:
            return self.alerts.shown

    def _use(self, settings: Settings) -> None:
        self.settings = settings
        kinds = {rule.when for rule in settings.alerts}
        self._prober.watch_cache = When.KV_CACHE_FULL in kinds
        self._latencies = self._given_latencies or (
            Latencies(settings, self._clock) if When.LATENCY in kinds and self._deliver else None
        )
        self._assessor = Assessor(settings, classifier(settings), self._prober.known)
        self._outbox.close()
        self._outbox = Outbox(carriers_of(settings) if self._deliver else [], self._tell)
        for event in self.alerts.reload(settings.alerts):
            self._give(event)

    def reload(self, settings: Settings) -> None:
        """Other settings from now on; alerts of rules that stay as they are stay."""
        with self._lock:
            self._use(settings)

    def take(self, reading: Reading) -> None:
        """One reading has finished."""
        if reading.snapshot is not None:
            self.see(reading.snapshot)
        elif reading.error is not None:
            self.fail(fault_of(reading.error), self._clock.monotonic(), self._clock.wall())

    def fail(self, fault: Fault, at_s: float, wall_s: float) -> None:
        """The machine could not be read at this monotonic and wall instant."""
        simulated = self.last is not None and self.last.simulated
        self._take_in(Observation(at_s=at_s, wall_s=wall_s, fault=fault, simulated=simulated))

    def see(self, snapshot: Snapshot) -> None:
        """One snapshot."""
        self._also(snapshot)
        try:
            self._take_in(self._observed(snapshot))
        except GpuTuiError as error:
            # The GPU that was chosen is not there now; it may come back.
            fault = Fault(kind=FaultKind.OTHER, message=error.message, remedy=error.remedy)
            self.fail(fault, snapshot.taken_monotonic, snapshot.taken_at)

    def stalled(self, seconds: float) -> None:
        """The driver call in flight has lasted so long; once it is too long, that is a fault like any other."""
        if seconds >= HANGING_S:
            message = f"The NVIDIA driver has not answered for {HANGING_S:g} s."
            remedy = "Look for Xid lines in dmesg; readings go on when it returns."
            fault = Fault(kind=FaultKind.TIMEOUT, message=message, remedy=remedy)
            self.fail(fault, self._clock.monotonic(), self._clock.wall())

    def acknowledge(self, key: tuple[str, str] | None = None) -> None:
        """Somebody has seen this alert (`Alert.key`); None: all that stand."""
        with self._lock:
            for event in self.alerts.acknowledge(key):
                self._give(event)

    def close(self, patience_s: float = 0.0) -> None:
        """Nothing more is taken.

        Args:
            patience_s: how long alerts that wait may still take to go out.
        """
        self._prober.close()
        self._outbox.close(patience_s)

    def _observed(self, snapshot: Snapshot) -> Observation:
        seen = self._assessor.assess(snapshot)
        shares: dict[str, float] = {}
        for one in seen.gpus:
            share = self._prober.kv_usage(snapshot, one.books) if self._prober.watch_cache else None
            if share is not None:
                shares[one.gpu.key] = share
        now = observe(seen, shares)
        return now if self._latencies is None else replace(now, latency_ms=self._latencies.now())

    def _take_in(self, now: Observation) -> None:
        with self._lock:
            self.last = now
            self._seen, found = events.step(self._seen, now)
            for event in (*found, *self.alerts.see(now)):
                self._give(event)

    def _give(self, event: Event) -> None:
        self._emit(event)
        if event.kind in _ALERTS:
            self._outbox.put(json.dumps(event_object(event), allow_nan=False).encode())


def recorded(text: str, clock: Clock) -> Iterator[Callable[[Watch], None]]:
    """What a recording saw from ``FILE[@TIME]`` on, without a time from its beginning: each item is for one watch.

    Raises:
        ConfigError: the file cannot be read, is no recording, or is of a newer gpu-tui.
        UsageError: the time means nothing, or is outside of it.
    """
    from gpu_tui.wiring.replaying import open_replay

    source = open_replay(text, clock, playing=True)
    try:
        for number in range(source.position().number, len(source.recording)):
            one = source.recording[number]
            if one.error is not None:
                yield partial(Watch.fail, fault=fault_of(one.error), at_s=one.t, wall_s=one.at)
            else:
                yield partial(Watch.see, snapshot=source.shown(one))
    finally:
        source.close()


def fault_of(error: SourceUnavailable) -> Fault:
    """An error of the source as a fault."""
    known = error.kind in {kind.value for kind in FaultKind}
    return Fault(kind=FaultKind(error.kind) if known else FaultKind.OTHER, message=error.message, remedy=error.remedy)
