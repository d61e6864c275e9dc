"""Every reading is taken or replaced, and a UI that stands still holds one of them at most."""

from __future__ import annotations

import asyncio
import gc

from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.snapshot import Snapshot
from gpu_tui.telemetry.poller import Reading
from gpu_tui.tui.messages import Letterbox
from tests.factories import kloros
from tests.tui.harness import make_app


def reading(seq: int, snapshot: Snapshot | None = None) -> Reading:
    return Reading(seq=seq, snapshot=snapshot or kloros(), error=None, started=float(seq), finished=float(seq))


@given(st.lists(st.booleans(), max_size=60))
def test_what_was_put_in_was_taken_or_replaced_and_the_newest_is_what_is_taken(puts: list[bool]) -> None:
    box, seq, seen, told = Letterbox(), 0, KLOROS, 0
    for put in puts:
        if put:
            seq += 1
            told += box.put(reading(seq, seen), 1)
        else:
            taken = box.take()
            assert taken is None or taken[0].seq == seq
        waits = box.put_in - box.taken - box.replaced
        assert waits in (0, 1)
        assert box.put_in == seq
        assert told == box.taken + waits, "the UI is told once for each one that it takes"


async def test_readings_do_not_pile_up_while_the_screen_stands_still() -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        for _ in range(100):
            await pilot.pause(0.02)
            if app.explorer.snapshot is not None:
                break
        generation = app.telemetry.generation
        before = app.letterbox.put_in

        def deliver() -> None:
            for seq in range(1000):
                app._deliver(reading(seq), generation)

        # On the UI's own thread: nothing is taken until it is done.
        deliver()
        gc.collect()
        assert sum(isinstance(one, Reading) for one in gc.get_objects()) < 10
        await pilot.pause(0.1)
        await asyncio.sleep(0)
        box = app.letterbox
        assert box.put_in == before + 1000
        assert box.taken + box.replaced == box.put_in
        assert app.telemetry.last_seen == 999.0


KLOROS = kloros()
