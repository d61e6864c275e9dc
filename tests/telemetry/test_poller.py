"""The polling thread: it never dies silently, never piles up, and nobody has to wait for it."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from gpu_tui.clock import Clock, ManualClock, SystemClock
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import ConfigError, SourceUnavailable
from gpu_tui.telemetry.poller import Poller, Reading, read_with_timeout
from tests.standin import HANG, StandIn, State

PATIENCE_S = 20.0


def snapshot() -> Snapshot:
    return Snapshot(taken_at=0.0, taken_monotonic=0.0, source="demo", simulated=True, gpus=())


class Source:
    """Answers as it is told; a gate holds the reading back."""

    def __init__(self, *answers: Exception | Snapshot) -> None:
        self.answers = list(answers)
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.closed = threading.Event()
        self.inside = 0

    def read(self) -> Snapshot:
        self.inside += 1
        assert self.inside == 1, "two readings at once"
        self.entered.set()
        self.gate.wait()
        self.inside -= 1
        answer = self.answers.pop(0) if self.answers else snapshot()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed.set()


@contextmanager
def polling(
    source: Source, clock: Clock, callback: Callable[[Reading], None], interval_s: float = 10.0
) -> Iterator[Poller]:
    poller = Poller(source, callback, interval_s=interval_s, clock=clock)
    poller.start()
    yield poller
    source.gate.set()
    poller.close()
    assert source.closed.wait(PATIENCE_S)


def wait_for(clock: ManualClock, readings: queue.SimpleQueue[Reading], step: float) -> Reading:
    """Move time on by steps, until the poller, which may not wait yet, has read again."""
    for _ in range(2000):
        clock.advance(step)
        try:
            return readings.get(timeout=0.01)
        except queue.Empty:
            continue
    raise AssertionError("no reading came")


def test_the_first_reading_is_made_at_once_and_the_next_after_the_interval() -> None:
    clock, readings = ManualClock(), queue.SimpleQueue[Reading]()
    with polling(Source(), clock, readings.put):
        first = readings.get(timeout=PATIENCE_S)
        assert (first.seq, first.error, first.started) == (1, None, 0.0)
        with pytest.raises(queue.Empty):
            readings.get(timeout=0.1)
        second = wait_for(clock, readings, 1.0)
        assert second.seq == 2
        assert second.started >= 10.0


def test_poke_reads_now_and_set_interval_counts_at_once() -> None:
    clock, readings = ManualClock(), queue.SimpleQueue[Reading]()
    with polling(Source(), clock, readings.put) as poller:
        readings.get(timeout=PATIENCE_S)
        poller.poke()
        assert readings.get(timeout=PATIENCE_S).seq == 2
        poller.set_interval(1.0)
        assert readings.get(timeout=PATIENCE_S).started == 0.0
        assert wait_for(clock, readings, 0.5).started < 10.0


def test_errors_are_readings_and_the_thread_goes_on() -> None:
    lost = SourceUnavailable("The GPU was lost.", "Reboot.", kind="gpu_lost")
    readings = queue.SimpleQueue[Reading]()
    source = Source(lost, ZeroDivisionError("by zero"), ConfigError("Bad file.", "Mend it."))
    with polling(source, ManualClock(), readings.put) as poller:
        first = readings.get(timeout=PATIENCE_S)
        assert first.error is lost
        assert first.snapshot is None
        poller.poke()
        second = readings.get(timeout=PATIENCE_S).error
        assert second is not None
        assert (second.kind, "ZeroDivisionError: by zero" in second.message) == ("other", True)
        assert second.remedy
        poller.poke()
        third = readings.get(timeout=PATIENCE_S).error
        assert third is not None
        assert (third.message, third.remedy) == ("Bad file.", "Mend it.")
        poller.poke()
        assert readings.get(timeout=PATIENCE_S).snapshot is not None


def test_a_listener_that_fails_does_not_stop_the_readings() -> None:
    readings = queue.SimpleQueue[Reading]()

    def listen(reading: Reading) -> None:
        readings.put(reading)
        if reading.seq == 1:
            raise RuntimeError("no app")

    with polling(Source(), ManualClock(), listen) as poller:
        readings.get(timeout=PATIENCE_S)
        poller.poke()
        assert readings.get(timeout=PATIENCE_S).seq == 2
        assert repr(poller.callback_error) == "RuntimeError('no app')"


def test_stalled_for_says_how_long_the_call_in_flight_lasts() -> None:
    clock, source = ManualClock(), Source()
    source.gate.clear()
    readings = queue.SimpleQueue[Reading]()
    with polling(source, clock, readings.put) as poller:
        assert source.entered.wait(PATIENCE_S)
        clock.advance(7.0)
        assert poller.stalled_for(clock.monotonic()) == 7.0
        source.gate.set()
        reading = readings.get(timeout=PATIENCE_S)
        assert (reading.started, reading.finished) == (0.0, 7.0)
        assert poller.stalled_for(clock.monotonic()) == 0.0


def test_close_does_not_wait_for_a_call_that_hangs() -> None:
    source = Source()
    source.gate.clear()
    poller = Poller(source, lambda _: None, interval_s=1.0, clock=SystemClock())
    poller.start()
    assert source.entered.wait(PATIENCE_S)
    begun = time.monotonic()
    poller.close()
    assert time.monotonic() - begun < 5.0
    assert not source.closed.is_set()
    source.gate.set()
    assert source.closed.wait(PATIENCE_S)


def test_nothing_is_told_after_close() -> None:
    source, readings = Source(), queue.SimpleQueue[Reading]()
    source.gate.clear()
    poller = Poller(source, readings.put, interval_s=1.0, clock=SystemClock())
    poller.start()
    assert source.entered.wait(PATIENCE_S)
    poller.close()
    source.gate.set()
    assert source.closed.wait(PATIENCE_S)
    assert readings.empty()


def test_after_a_reading_slower_than_its_interval_a_whole_interval_passes() -> None:
    clock, readings = ManualClock(), queue.SimpleQueue[Reading]()

    class Slow(Source):
        def read(self) -> Snapshot:
            clock.advance(3.0)
            return super().read()

    with polling(Slow(), clock, readings.put, interval_s=1.0):
        first = readings.get(timeout=PATIENCE_S)
        second = wait_for(clock, readings, 0.125)
        assert second.started - first.finished >= 1.0


def test_read_with_timeout_hands_on_the_snapshot_and_the_error() -> None:
    assert read_with_timeout(Source(), PATIENCE_S, SystemClock()).source == "demo"
    lost = SourceUnavailable("The GPU was lost.", "Reboot.", kind="gpu_lost")
    with pytest.raises(SourceUnavailable) as caught:
        read_with_timeout(Source(lost), PATIENCE_S, SystemClock())
    assert caught.value is lost
    with pytest.raises(SourceUnavailable) as caught:
        read_with_timeout(Source(KeyError("x")), PATIENCE_S, SystemClock())
    assert caught.value.kind == "other"


def test_read_with_timeout_gives_up() -> None:
    source = Source()
    source.gate.clear()
    with pytest.raises(SourceUnavailable) as caught:
        read_with_timeout(source, 0.05, SystemClock())
    assert caught.value.kind == "timeout"
    assert "0.05 s" in caught.value.message
    source.gate.set()


HEADLESS = """
import os, sys
from gpu_tui.clock import SystemClock
from gpu_tui.errors import SourceUnavailable
from gpu_tui.telemetry.live import LiveSource
from gpu_tui.telemetry.poller import read_with_timeout
try:
    read_with_timeout(LiveSource(), 0.5, SystemClock())
except SourceUnavailable as error:
    print(error.kind, flush=True)
    os._exit(3)
"""


@pytest.mark.parametrize("call", ["nvmlInitWithFlags", "nvmlDeviceGetMemoryInfo_v2"])
def test_a_driver_that_hangs_for_ever_does_not_keep_a_headless_command(standin: StandIn, call: str) -> None:
    standin.write(State(calls={call: HANG}))
    command = [sys.executable, "-c", HEADLESS]
    done = subprocess.run(command, env=standin.env(), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (3, "timeout\n")
