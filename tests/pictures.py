"""Draws screenshots/: ``python -m tests.pictures [FOLDER [NAME …]]``. Same machine, same clock, same pictures.

SVG by Textual, PNG from it by resvg with the system's DejaVu Sans Mono (Debian: fonts-dejavu-core).
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from gpu_tui import wiring
from gpu_tui.bench.events import Utilization
from gpu_tui.clock import ManualClock
from gpu_tui.tui.app import GpuTuiApp
from gpu_tui.wiring.models import OfferedModel
from tests.tui.harness import (
    fill_history,
    finished_run,
    follow_story,
    interference_run,
    make_app,
    make_replay,
    no_driver,
    scaled,
    scenario_at,
    voice_run,
)
from tests.tui.models import FakeModels

FONT = "DejaVu Sans Mono"
FONT_FOLDERS = ("/usr/share/fonts/truetype/dejavu", "/usr/share/fonts/dejavu", "/usr/share/fonts/TTF")

Prepare = Callable[[GpuTuiApp, Any], Awaitable[None]]


async def valid(app: GpuTuiApp, pilot: Any) -> None:
    """The plan that runs."""


async def invalid(app: GpuTuiApp, pilot: Any) -> None:
    """The plan that once broke production."""
    await pilot.press("0", "full_stop", "4", "enter")
    await rest(app, pilot)


async def measured(app: GpuTuiApp, pilot: Any) -> None:
    """A finished run."""
    app.host.show_run(finished_run())


async def interference(app: GpuTuiApp, pilot: Any) -> None:
    """What STT and LLM cost each other."""
    app.host.show_run(interference_run())


async def voice(app: GpuTuiApp, pilot: Any) -> None:
    """Voice turns against a budget."""
    app.host.show_run(voice_run())


async def compared(app: GpuTuiApp, pilot: Any) -> None:
    """Two runs of the journal side by side."""
    for seed, planned in ((1, 0.5), (2, 0.6)):
        view = finished_run(seed=seed)
        assert view.summary is not None
        shares = Utilization(actual=planned, planned=planned)
        summary = msgspec.structs.replace(view.summary, gpu_memory_utilization=shares)
        machine = (app.explorer.snapshot, app.explorer.books(), None)
        wiring.record_run(app.settings, app.options, *machine, summary, requests=view.requests)
    await pilot.press("H")
    await pilot.pause(0.5)
    await pilot.press("space", "down", "c")
    await pilot.pause(0.5)


async def runs_plotted(app: GpuTuiApp, pilot: Any) -> None:
    """Runs of the journal against utilization, with the target."""
    for seed, share in enumerate((0.45, 0.5, 0.5, 0.55, 0.6, 0.65, 0.7)):
        summary = finished_run(seed=seed).summary
        assert summary is not None
        by = 2.1 - 1.9 * share
        llm = msgspec.structs.replace(summary.llm, e2e_ms=scaled(summary.llm and summary.llm.e2e_ms, 1.3 * by))
        shares = Utilization(actual=share, planned=share)
        summary = msgspec.structs.replace(summary, llm=llm, gpu_memory_utilization=shares)
        wiring.record_run(app.settings, app.options, app.explorer.snapshot, app.explorer.books(), None, summary)
    await pilot.press("H")
    await pilot.pause(0.5)
    await pilot.press("p", *["right"] * 5)
    await pilot.pause(0.5)


async def rest(app: GpuTuiApp, pilot: Any) -> None:
    """Until the best way out is told."""
    await pilot.pause()
    while app.advice.pending:
        await pilot.pause(0.02)
    await pilot.pause()


async def too_close(app: GpuTuiApp, pilot: Any) -> None:
    """A plan that is too close to call."""
    await pilot.press("0", "full_stop", "7", "3", "enter")
    await rest(app, pilot)


async def explained(app: GpuTuiApp, pilot: Any) -> None:
    """The same, every term of it."""
    await too_close(app, pilot)
    await pilot.press("e", *["down"] * 17)


class Cached(FakeModels):
    """A machine with two models in its cache."""

    def offered(self) -> tuple[OfferedModel, ...]:
        names = ("Qwen/Qwen2.5-7B-Instruct-AWQ", "Qwen/Qwen3-8B")
        return tuple(OfferedModel(name=name, where="the Hugging Face cache") for name in names)


async def picking(app: GpuTuiApp, pilot: Any) -> None:
    """The model to plan with."""
    await pilot.press("M")
    await pilot.pause(0.5)


async def to_type(app: GpuTuiApp, pilot: Any) -> None:
    """What to type for a plan that starts."""
    await pilot.press("0", "full_stop", "8", "enter", "t")
    await pilot.pause(0.5)


async def held_then(app: GpuTuiApp, pilot: Any) -> None:
    """A plan judged on the past."""
    await pilot.press("0", "full_stop", "8", "0", "enter")
    await rest(app, pilot)


async def gpu_list(app: GpuTuiApp, pilot: Any) -> None:
    """The list of GPUs."""
    await pilot.press("g", "down", "down")


def followed(scenario: str, until_s: float, *keys: str) -> Prepare:
    """A story up to a second, seen in the list of deployments."""

    async def prepare(app: GpuTuiApp, pilot: Any) -> None:
        await pilot.press("D")
        follow_story(app, scenario, until_s)
        await pilot.pause()
        await pilot.press(*keys)
        app.telemetry.last_seen = app.clock.monotonic()
        app.show_machine()
        app.clear_notifications()
        await rest(app, pilot)

    return prepare


@dataclass(frozen=True)
class Picture:
    """One picture: name, size, machine, what is done first."""

    name: str
    title: str
    prepare: Prepare = valid
    scenario: str = "kloros"
    size: tuple[int, int] = (120, 40)
    source: Callable[[], Any] | None = None
    replay: str | None = None
    """A time of a recording of the known machine, instead of a scenario."""
    keys: tuple[str, ...] = field(default=())


PICTURES = (
    Picture("explorer-valid", "gpu-tui: 0.50 fits"),
    Picture("explorer-invalid", "gpu-tui: 0.40 does not fit", invalid),
    Picture("run-finished", "gpu-tui: a finished run", measured),
    Picture("interference", "gpu-tui: interference", interference),
    Picture("voice-turn", "gpu-tui: voice turns", voice),
    Picture("history-compare", "gpu-tui: two runs compared", compared),
    Picture("runs-plotted", "gpu-tui: runs against utilization", runs_plotted),
    Picture("predicted", "gpu-tui: a predicted start", too_close, scenario="predict"),
    Picture("explained", "gpu-tui: every term of a start", explained, scenario="predict"),
    Picture("model-picker", "gpu-tui: the model to plan with", picking, scenario="predict"),
    Picture("what-to-type", "gpu-tui: what to type", to_type, scenario="predict"),
    Picture("predicted-80x24", "gpu-tui: a predicted start at 80×24", too_close, scenario="predict", size=(80, 24)),
    Picture("replay", "gpu-tui: would 0.80 have held at 14:03?", held_then, replay="14:03"),
    Picture("replay-80x24", "gpu-tui: a replay at 80×24", held_then, replay="14:03", size=(80, 24)),
    Picture("deploy-loading", "gpu-tui: a deployment", followed("deploy", 60), scenario="deploy"),
    Picture("deploy-died", "gpu-tui: a deployment that died", followed("deploy", 165), scenario="deploy"),
    Picture("race", "gpu-tui: two engines at once", followed("race", 30, "down"), scenario="race"),
    Picture("several-gpus", "gpu-tui: several GPUs", gpu_list, scenario="h100x8"),
    Picture("driver-missing", "gpu-tui: no driver", source=no_driver),
    Picture("small-80x24", "gpu-tui: 80×24", invalid, size=(80, 24)),
)


def app_of(picture: Picture) -> GpuTuiApp:
    """The app before its first reading."""
    clock = ManualClock()
    if picture.replay is not None:
        return make_replay(Path(tempfile.mkdtemp(prefix="gpu-tui-pictures-")), picture.replay)
    options = wiring.Options() if picture.source else wiring.Options(scenario=picture.scenario)
    answer = picture.source or (lambda: scenario_at(picture.scenario, clock))
    return make_app(answer, options=options, clock=clock, models=Cached())


async def draw(picture: Picture) -> str:
    """The picture as SVG."""
    app = app_of(picture)
    async with app.run_test(size=picture.size) as pilot:
        while app.explorer.snapshot is None and app.explorer.failure is None:
            await pilot.pause(0.02)
        await pilot.pause()
        if picture.source is None and picture.replay is None:
            app.telemetry.close()
            fill_history(app, picture.scenario, 280)
        await picture.prepare(app, pilot)
        await pilot.pause(0.1)
        svg = app.export_screenshot(title=picture.title, simplify=False)
    return own_font(svg)


def own_font(svg: str) -> str:
    """Use the reader's own monospaced font instead of one fetched from the network."""
    svg = re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", FONT)


def to_png(svg: str) -> bytes:
    """The picture as PNG."""
    import resvg_py

    folders = [folder for folder in FONT_FOLDERS if Path(folder).is_dir()]
    if not folders:
        raise SystemExit(f"{FONT} was not found. Install it (Debian: fonts-dejavu-core) and run this again.")
    drawn: Any = resvg_py.svg_to_bytes(
        svg_string=svg, font_dirs=folders, font_family=FONT, monospace_family=FONT, skip_system_fonts=True
    )
    return bytes(drawn)


def main() -> None:
    """Draw them all, each with a journal of its own."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots")
    folder.mkdir(exist_ok=True)
    os.environ["TZ"] = "UTC"  # the same times of day wherever it is drawn
    time.tzset()
    known = {picture.name: picture for picture in PICTURES}
    for name in sys.argv[2:] or known:
        if name not in known:
            raise SystemExit(f"There is no picture {name!r}. There are {', '.join(known)}.")
        picture = known[name]
        # The journal and the peaks of whoever draws are nobody's business here.
        os.environ["XDG_DATA_HOME"] = os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="gpu-tui-pictures-")
        svg = asyncio.run(draw(picture))
        (folder / f"{picture.name}.svg").write_text(svg, encoding="utf-8", newline="\n")
        (folder / f"{picture.name}.png").write_bytes(to_png(svg))
        print(f"{folder}/{picture.name}")  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main()
