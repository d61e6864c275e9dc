"""Servers that come and go and race by the hundred: what is remembered of them is that of the latest."""

from __future__ import annotations

import threading
from contextlib import suppress

from gpu_tui.core.deployments import MOST_PAST
from gpu_tui.errors import SourceUnavailable
from gpu_tui.telemetry.poller import Reading
from tests.endurance.machine import MOST_AT_ONCE, Churning, FastClock
from tests.tui.harness import make_app

SECONDS, PIDS = 500, 2000
MOST = MOST_PAST + 2 * MOST_AT_ONCE
"""Servers that are followed or were lately: no more are on the two GPUs at once."""


async def test_races_of_servers_long_gone_are_forgotten() -> None:
    app, never = make_app(), threading.Event()
    clock = FastClock(threading.current_thread().name, until=SECONDS, pause_every=SECONDS)
    source = Churning(clock, SECONDS, PIDS)
    raced: set[object] = set()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        deploying, generation = app.deploying, app.telemetry.generation
        for seq in range(1, SECONDS):
            clock.wait(1.0, never)
            at = clock.monotonic()
            with suppress(SourceUnavailable):
                deploying.see(Reading(seq=seq, snapshot=source.read(), error=None, started=at, finished=at), generation)
            shown = deploying.shown
            if shown is not None:
                raced |= {race.key for race in shown.races}
                assert len(shown.raced) <= MOST
        watch = deploying._watch
        assert watch is not None
        for held in (watch._raced, watch._looked_after, watch._last_seen, watch._keepers, watch._scripted):
            assert len(held) <= MOST
        assert len(deploying._raced) < len(raced) - MOST
    assert len(raced) > 4 * MOST, "so many that forgetting none would be seen"
