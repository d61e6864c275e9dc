"""The one thread that reads a source again and again, and a single reading that cannot outlast its welcome.

A driver call may hang for ever. So the thread is a daemon and never an executor's: nobody waits for it at exit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from gpu_tui.clock import Clock
from gpu_tui.core.snapshot import FaultKind, Snapshot
from gpu_tui.errors import GpuTuiError, SourceUnavailable
from gpu_tui.ports import TelemetrySource

JOIN_S = 0.2
"""How long `Poller.close` waits for the thread; ours to choose, well below what a person notices at quitting."""
INTERVAL_MIN_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One finished call of the source. Exactly one of `snapshot` and `error` is set."""

    seq: int
    """1 for the first reading of a poller."""
    snapshot: Snapshot | None
    error: SourceUnavailable | None
    started: float
    """Monotonic seconds, as `finished`."""
    finished: float


class Poller:
    """Reads `source` every `interval_s` seconds on a daemon thread of its own.

    Readings never overlap nor pile up: after one that took longer than the interval, a whole interval passes.
    """

    def __init__(
        self,
        source: TelemetrySource,
        on_reading: Callable[[Reading], None],
        *,
        interval_s: float,
        clock: Clock,
    ) -> None:
        """Nothing is read before `start`.

        Args:
            source: closed by the thread when it ends.
            on_reading: called on the poller's thread, after every reading.
            interval_s: seconds from the start of one reading to the start of the next.
            clock: the time.
        """
        self._source = source
        self._on_reading = on_reading
        self._interval_s = max(interval_s, INTERVAL_MIN_S)
        self._clock = clock
        self._wake = threading.Event()
        self._closed = False
        self._in_flight_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="gpu-tui-telemetry", daemon=True)
        self.callback_error: Exception | None = None
        """What `on_reading` last raised; the poller goes on all the same."""
        self.close_error: Exception | None = None
        """What the source raised when it was closed."""

    def start(self) -> None:
        """Begin; the first reading is made at once."""
        self._thread.start()

    def poke(self) -> None:
        """Read now instead of at the end of the interval."""
        self._wake.set()

    def set_interval(self, interval_s: float) -> None:
        """Another interval, in seconds, from now on; at least `INTERVAL_MIN_S`."""
        self._interval_s = max(interval_s, INTERVAL_MIN_S)
        self._wake.set()

    def stalled_for(self, now: float) -> float:
        """Seconds that the call in flight has lasted at the monotonic time `now`; 0 when none is in flight."""
        since = self._in_flight_since
        return 0.0 if since is None else max(0.0, now - since)

    def close(self) -> None:
        """End the thread. A call that hangs is left behind; this returns within `JOIN_S`."""
        self._closed = True
        self._wake.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(JOIN_S)

    def _run(self) -> None:
        seq = 0
        while not self._is_closed():
            self._wake.clear()
            seq += 1
            reading = self._read(seq)
            if self._is_closed():
                break
            try:
                self._on_reading(reading)
            except Exception as error:  # noqa: BLE001 - the listener's fault must not silence the machine
                self.callback_error = error
            due = reading.started + self._interval_s
            left = due - self._clock.monotonic()
            self._clock.wait(left if left > 0 else self._interval_s, self._wake)
        try:
            self._source.close()
        except Exception as error:  # noqa: BLE001 - nobody is left to hear it but who asks
            self.close_error = error

    def _is_closed(self) -> bool:
        return self._closed

    def _read(self, seq: int) -> Reading:
        started = self._clock.monotonic()
        self._in_flight_since = started
        snapshot, error = None, None
        try:
            snapshot = self._source.read()
        except Exception as raised:  # noqa: BLE001 - told to the user as a reading's error
            error = as_unavailable(raised)
        finally:
            self._in_flight_since = None
        return Reading(seq=seq, snapshot=snapshot, error=error, started=started, finished=self._clock.monotonic())


def as_unavailable(error: Exception) -> SourceUnavailable:
    """`error` as a reading's error; an unexpected one keeps its type and text."""
    if isinstance(error, SourceUnavailable):
        return error
    if isinstance(error, GpuTuiError):
        told = SourceUnavailable(error.message, error.remedy, kind=FaultKind.OTHER.value)
    else:
        told = SourceUnavailable(
            f"Reading the machine failed unexpectedly ({type(error).__name__}: {error}).",
            "Please report this; the next reading tries again.",
            kind=FaultKind.OTHER.value,
        )
    told.__cause__ = error
    return told


def read_with_timeout(source: TelemetrySource, timeout_s: float, clock: Clock) -> Snapshot:
    """One reading, given up after `timeout_s` seconds. The thread that hangs then stays behind until the process ends.

    Raises:
        SourceUnavailable: the source's own, or kind ``timeout``. A caller that gets the latter must leave by
            `os._exit`, since a driver that hangs may hang at exit as well.
    """
    snapshots: list[Snapshot] = []
    errors: list[Exception] = []
    done = threading.Event()

    def read() -> None:
        try:
            snapshots.append(source.read())
        except Exception as error:  # noqa: BLE001 - handed to the caller below
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=read, name="gpu-tui-read", daemon=True).start()
    if not clock.wait(timeout_s, done):
        raise SourceUnavailable(
            f"The NVIDIA driver has not answered for {timeout_s:g} s.",
            "Look for Xid lines in dmesg; a driver in this state often needs a reboot.",
            kind=FaultKind.TIMEOUT.value,
        )
    if errors:
        raise as_unavailable(errors[0]) from errors[0]
    return snapshots[0]
