"""Draws screenshots/deploy-story.svg: ``python -m tests.story [FOLDER]``. The explorer plays a story on a driven clock.

The same story, the same keys, the same pictures; one SVG of them that moves (`tests.moving`).
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_tui import wiring
from gpu_tui.clock import ManualClock
from gpu_tui.telemetry.scenario import open_scenario
from gpu_tui.tui.app import GpuTuiApp
from tests.moving import Frame, animate
from tests.pictures import own_font, rest

SCENARIO = "deploy"
SIZE = (104, 32)
TITLE = "gpu-tui on a simulated machine: the slider, and a vLLM that is restarted twice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One frame: the second of the story, the keys pressed then, what they do in words, how long it stands."""

    at_s: int
    keys: str = ""
    words: str = ""
    """Not given: the story's caption."""
    shows: str = ""
    """What must be on the screen then, or the words are not true any more."""
    seconds: float = 3.0
    still: bool = False


SCENES = (
    Scene(at_s=4, words="0.84 is what runs: it starts, beside both tenants", shows="VALID, STARTS"),
    Scene(
        at_s=5,
        keys="0 full_stop 9 6 enter",
        words="0.96 typed: more than is free",
        shows="INVALID, WILL NOT START",
        seconds=4,
        still=True,
    ),
    Scene(at_s=6, keys="f", words="f goes to the nearest that starts", shows="VALID, STARTS"),
    Scene(
        at_s=7,
        keys="0 full_stop 7 5 enter",
        words="0.75 typed: too close to call",
        shows="TOO CLOSE TO CALL",
        seconds=4,
    ),
    Scene(at_s=8, keys="o", words="o goes back to what runs"),
    Scene(at_s=13),
    Scene(at_s=18),
    Scene(at_s=34),
    Scene(at_s=44, keys="D", words="D shows the start: what is behind it and to come", shows="to come", seconds=4),
    Scene(at_s=60, words="It profiles: hands off the tenants", shows="HANDS OFF"),
    Scene(at_s=75, keys="escape"),
    Scene(at_s=100, words="It serves"),
    Scene(at_s=121),
    Scene(at_s=137),
    Scene(at_s=152),
    Scene(at_s=160),
    Scene(at_s=166, keys="D", words="D says why, in vLLM's words and in ours", shows="max_len_too_long", seconds=5),
    Scene(at_s=184, keys="escape"),
    Scene(at_s=215, seconds=4),
)


async def _until(app: GpuTuiApp, pilot: Any, clock: ManualClock, second: float) -> None:
    """Second by second, as if somebody watched."""
    began = app.explorer.snapshot.taken_monotonic if app.explorer.snapshot else 0.0
    while clock.monotonic() < second:
        clock.advance(1.0)
        for _ in range(2000):
            app.telemetry.poke()  # the poller may not have been waiting yet
            await pilot.pause(0.01)
            seen = app.explorer.snapshot
            if seen is not None and seen.taken_monotonic == clock.monotonic():
                break
        else:
            raise SystemExit(f"No reading of second {clock.monotonic() - began:g} came.")
    await rest(app, pilot)
    app.clear_notifications()  # they go by the wall's clock, not by the story's
    await pilot.pause(0.05)


async def play(scenes: tuple[Scene, ...] = SCENES) -> list[Frame]:
    """The frames."""
    clock = ManualClock()
    options = wiring.Options(scenario=SCENARIO)
    app = GpuTuiApp(options, wiring.load_settings(options), source=open_scenario(SCENARIO, clock), clock=clock)
    frames = []
    async with app.run_test(size=SIZE) as pilot:
        while app.explorer.snapshot is None:
            await pilot.pause(0.01)
        for number, scene in enumerate(scenes, start=1):
            await _until(app, pilot, clock, scene.at_s)
            await pilot.press(*scene.keys.split())
            await rest(app, pilot)
            caption = app.explorer.snapshot.caption
            words = scene.words or caption
            title = f"gpu-tui, simulated, {number}/{len(scenes)}" + (f": {scene.words}" if scene.words else "")
            svg = own_font(app.export_screenshot(title=title, simplify=False))
            frames.append(Frame(svg=svg, seconds=scene.seconds, words=words))
    return frames


def main() -> None:
    """Draw it, with a journal of its own."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots")
    folder.mkdir(exist_ok=True)
    os.environ["XDG_DATA_HOME"] = os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="gpu-tui-story-")
    os.environ["TZ"] = "UTC"
    time.tzset()
    still = next(number for number, scene in enumerate(SCENES) if scene.still)
    svg = animate(asyncio.run(play()), title=TITLE, still=still)
    (folder / f"{SCENARIO}-story.svg").write_text(svg, encoding="utf-8", newline="\n")
    print(f"{folder}/{SCENARIO}-story: {len(svg.encode()) // 1024} KiB")  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main()
