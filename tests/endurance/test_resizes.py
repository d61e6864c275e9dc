"""A window that is resized thousands of times: every reading is shown or replaced, and the last one stays."""

from __future__ import annotations

import asyncio
import random

from textual.events import Resize
from textual.geometry import Size

from gpu_tui.tui.app import GpuTuiApp
from tests.endurance.test_letterbox import reading
from tests.tui.harness import make_app

SIZES = [Size(*size) for size in ((80, 24), (60, 20), (40, 12), (20, 5), (1, 1), (120, 40))]
BURSTS, IN_A_BURST, RESIZES_TO_A_READING = 12, 50, 5


def resize(app: GpuTuiApp, size: Size) -> None:
    """As the terminal tells it: the pilot's own way waits after each one, and then measures itself."""
    app._driver._size = size  # type: ignore[union-attr]
    app.post_message(Resize(size, size))


async def test_thousands_of_resizes_lose_no_reading() -> None:
    app, dice = make_app(), random.Random(7)
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in range(200):
            await pilot.pause(0.02)
            if app.explorer.snapshot is not None:
                break
        box, generation = app.letterbox, app.telemetry.generation
        seq = before = box.put_in
        for _ in range(BURSTS):
            for _ in range(IN_A_BURST):
                for _ in range(RESIZES_TO_A_READING):
                    resize(app, dice.choice(SIZES))
                seq += 1
                app._deliver(reading(seq), generation)
            for _ in range(500):
                await asyncio.sleep(0.01)
                if box.taken + box.replaced == seq:
                    break
            assert box.taken + box.replaced == box.put_in == seq
            assert app.telemetry.last_seen == float(seq), "the newest reading is what is shown"
        assert box.put_in - before == BURSTS * IN_A_BURST
        assert box.taken - before >= BURSTS, "one of each burst at least was shown"
        resize(app, Size(80, 24))
        for _ in range(500):
            await asyncio.sleep(0.01)
            if app.main.size == Size(80, 24):
                break
        assert app.main.size == Size(80, 24)
        assert app.mistake is None
