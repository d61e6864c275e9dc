"""The explorer left open for a day: it shows or replaces every reading, records all of them, and grows by nothing."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest
from textual.events import Key
from textual.pilot import Pilot

from gpu_tui import wiring
from gpu_tui.telemetry.recording.reader import Recording
from gpu_tui.tui.app import GpuTuiApp
from tests.endurance.machine import Churning, FastClock
from tests.endurance.measuring import Held, flat, grown, held, kinds, tell

THREAD = "gpu-tui-telemetry"
SIZES = [(120, 40), (80, 24), (200, 60), (100, 30), (60, 20), (40, 12)]
KEYS = ["right", "left", "shift+right", "f", "l", "p p", "e escape", "question_mark escape", "g escape", "y", "home"]


async def meddle(pilot: Pilot[None], dice: random.Random) -> None:
    """What a person does meanwhile: keys, dialogs, another size of the window."""
    if dice.random() < 0.3:
        await pilot.resize_terminal(*dice.choice(SIZES))
    for key in dice.choice(KEYS).split():
        pilot.app.post_message(Key(key, None))
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "hours", [1, pytest.param(24, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])], ids=lambda h: f"{h} h"
)
async def test_a_day_with_the_explorer_open(hours: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seconds, file = hours * 3600, tmp_path / "day.rec"
    clock = FastClock(THREAD, until=seconds, pause_every=2 if hours == 1 else 16)
    source = Churning(clock, seconds, 10_000 if hours == 24 else 2_000)
    options = wiring.Options(scenario="kloros")
    app = GpuTuiApp(options, wiring.load_settings(options), source=source, clock=clock)
    assert app.recorder.start(file, 1.0) == []
    dice, begun, acts = random.Random(1), time.monotonic(), 0
    figures: list[Held] = []
    counted = []
    async with app.run_test(size=SIZES[0]) as pilot:
        for mark in [m * 3600 for m in (0.25, 0.5, 1, 6, 12, 18, 24) if m <= hours]:
            while clock.monotonic() < mark and not clock.over.is_set():
                await meddle(pilot, dice)
                await asyncio.sleep(0.05)
                acts += 1
            app.post_message(Key("escape", None))
            await pilot.resize_terminal(*SIZES[0])
            await asyncio.sleep(0.2)
            figures.append(held(mark))
            counted.append(kinds())
        assert await asyncio.to_thread(clock.over.wait, 30)
        await pilot.pause(0.2)
        box, took = app.letterbox, time.monotonic() - begun
        assert app.mistake is None
        feed = app.telemetry._feed
        assert feed is not None
        assert feed.poller.callback_error is None
    tell(
        capsys,
        f"{hours} h with the explorer open in {took:.0f} s: {source.reads} readings, {box.taken} shown and "
        f"{box.replaced} replaced by newer ones;",
        f"{source.born} processes, {source.resets} resets, {source.jumps} clock jumps, {source.errors} faults, "
        f"{acts} times keys or another size",
        figures=figures,
    )
    assert box.put_in == source.reads == box.taken + box.replaced
    assert box.taken > 50
    assert source.closed
    # Who processes are is remembered of the latest 4,096, three times over: full after ten to sixteen of these hours.
    assert flat(figures[1:], 24, 60_000) == "", grown(counted[1], counted[-1])
    if hours == 24:
        assert flat(figures[4:], 8, 30_000) == "", grown(counted[4], counted[-1])
        assert flat(figures[5:], 6, 15_000) == "", grown(counted[5], counted[-1])
    recording = Recording(file)
    try:
        assert len(recording) == source.reads
        assert sum(recording[i].snapshot is None for i in range(len(recording))) == source.errors
    finally:
        recording.close()
