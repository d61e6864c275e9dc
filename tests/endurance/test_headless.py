"""A day of readings through everything that needs no screen: books, histories, peaks, events, alerts, the recorder."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_tui.config import Settings
from gpu_tui.core.alert_rules import Rule, When
from gpu_tui.core.books import keep_books
from gpu_tui.core.events import Event
from gpu_tui.core.history import History
from gpu_tui.core.peaks import PeakKeeper, series_of
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.telemetry.poller import Poller, Reading
from gpu_tui.telemetry.recording.header import Header
from gpu_tui.telemetry.recording.reader import Recording
from gpu_tui.telemetry.recording.writer import RecordingWriter
from gpu_tui.view.explorer import Explorer
from gpu_tui.wiring.watching import Watch
from tests.endurance.machine import Churning, FastClock
from tests.endurance.measuring import Held, flat, grown, held, kinds, tell
from tests.factories import need

THREAD = "gpu-tui-telemetry"
RULES = (
    Rule(name="hot", when=When.TEMPERATURE, above=85, clear=80),
    Rule(name="gone", when=When.SERVICE_GONE, service="ollama"),
    Rule(name="grows", when=When.GROWTH, above=512, clear=256, window_s=600),
    Rule(name="full", when=When.MEMORY_ABOVE, above=60000, clear=50000, for_s=30),
    Rule(name="plan", when=When.PLAN_INVALID, for_s=10, latch=True),
    Rule(name="lost", when=When.TELEMETRY_LOST, for_s=5, clear_for_s=5),
)
PIDS_A_DAY = 10_000


class Day:
    """All that takes readings, as the commands and the explorer put it together."""

    def __init__(self, path: Path, clock: FastClock) -> None:
        header = Header(version="test", interval_s=1.0, started_at=clock.wall(), host="box")
        self.clock = clock
        self.writer = RecordingWriter(path, header)
        self.events = 0
        self.told: list[str] = []
        self.watch = Watch(replace(Settings(), alerts=RULES), clock, self._count, self.told.append, deliver=False)
        self.rules = Classifier()
        self.explorer = Explorer(classifier=self.rules, need=need())
        self.histories: dict[str, History] = {}
        self.peaks: dict[str, PeakKeeper] = {}
        self.stamps = array("d")
        self.unbalanced = 0

    def _count(self, event: Event) -> None:
        assert event.words
        self.events += 1

    def take(self, reading: Reading) -> None:
        self.watch.take(reading)
        if reading.snapshot is not None:
            self.writer.snapshot(reading.snapshot)
            self.stamps.append(reading.snapshot.taken_monotonic)
            self._see(reading.snapshot)
        elif reading.error is not None:
            self.writer.error(reading.error, self.clock.wall(), reading.finished)
            self.stamps.append(reading.finished)

    def _see(self, snapshot: Snapshot) -> None:
        self.explorer.see(snapshot)
        for gpu in snapshot.gpus:
            books = keep_books(snapshot, gpu, self.rules)
            if books.processes_bytes is not None and books.free_bytes is not None:
                parts = books.processes_bytes + (books.unattributed_bytes or 0) + books.free_bytes
                self.unbalanced += parts + (books.reserved_bytes or 0) != books.total_bytes
            held_now = {series_of(service, books): service.used_bytes for service in books.services}
            self.histories.setdefault(gpu.key, History()).add(snapshot.taken_monotonic, held_now)
            self.peaks.setdefault(gpu.key, PeakKeeper()).add(snapshot.taken_at, books)


def run_until(clock: FastClock, marks: Sequence[float], at_mark: Callable[[float], None], poller: Poller) -> None:
    for mark in marks:
        while clock.monotonic() < mark and not clock.over.is_set():
            assert poller.callback_error is None, poller.callback_error
            time.sleep(0.02)
        at_mark(mark)


@pytest.mark.parametrize(
    "hours", [2, pytest.param(24, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])], ids=lambda h: f"{h} h"
)
def test_a_day_without_a_screen(hours: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = hours * 3600
    clock = FastClock(THREAD, until=seconds, pause_every=64)
    # The short form has the same number of processes to a second as a day of 10,000, times six.
    source = Churning(clock, seconds, PIDS_A_DAY if hours == 24 else PIDS_A_DAY // 2)
    day = Day(tmp_path / "day.rec", clock)
    poller = Poller(source, day.take, interval_s=1.0, clock=clock)
    figures: list[Held] = []
    counted = []
    begun = time.monotonic()

    def at_mark(mark: float) -> None:
        figures.append(held(mark))
        counted.append(kinds())

    poller.start()
    run_until(clock, [s * 3600 for s in (0.5, 1, 1.5, 2, 6, 12, 18, 24) if s <= hours], at_mark, poller)
    assert clock.over.wait(10)
    poller.close()
    day.writer.close()
    day.watch.close()
    took = time.monotonic() - begun
    tell(
        capsys,
        f"{hours} h without a screen in {took:.0f} s: {source.reads} readings, {source.born} processes,",
        f"{source.resets} resets, {source.jumps} clock jumps, {source.errors} faults, {day.events} events",
        figures=figures,
    )
    assert day.unbalanced == 0
    assert not day.told
    assert source.born > 0.9 * (PIDS_A_DAY if hours == 24 else PIDS_A_DAY // 2)
    # By the first hour every window is full; what remembers processes is so after some 4,000 of them.
    for since, most_mib, most_objects in ((1, 16, 30_000), (len(figures) // 2, 8, 6_000)):
        why = flat(figures[since:], most_mib, most_objects)
        assert not why, f"{why}: {grown(counted[since], counted[-1])}"
    complete(tmp_path / "day.rec", day.stamps, source)


def complete(path: Path, stamps: array[float], source: Churning) -> None:
    """Every reading is in the file, in its place."""
    recording = Recording(path)
    try:
        assert len(recording) == source.reads == len(stamps)
        errors = 0
        for number, stamp in enumerate(stamps):
            one = recording[number]
            errors += one.snapshot is None
            if one.snapshot is not None:
                assert one.snapshot.taken_monotonic == stamp
        assert errors == source.errors
        assert not recording.notes
    finally:
        recording.close()
