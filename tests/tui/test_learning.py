"""What past starts teach, on the screen: looked up beside it, offered, applied and taken back by one key."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpu_tui import wiring
from gpu_tui.clock import ManualClock
from gpu_tui.config import Settings
from gpu_tui.core.books import Books
from gpu_tui.core.learned import Learned
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.start_setup import Setup
from gpu_tui.tui.app import GpuTuiApp
from gpu_tui.wiring.deployments import Notice, open_deployments, remember
from gpu_tui.wiring.evidence import Evidence
from gpu_tui.wiring.learning import PastStarts
from tests.core.layouts import facts_of
from tests.factories import books_of
from tests.test_deployments import FACTS, METRICS, evidence, machine
from tests.tui.harness import make_app
from tests.tui.models import FakeModels
from tests.tui.test_planning import label, settle, shown, until

SIZE = (120, 40)
FILES_ALONE = Evidence(inputs=StartInputs(facts=FACTS, model="org/m", version="0.10.2", max_model_len=4096))


def journal_of(tmp_path: Path, starts: int = 2) -> Path:
    """A journal with so many starts of `machine`'s server."""
    path = tmp_path / "j.db"
    for n in range(starts):
        seen = machine(started_at=1_766_000_000.0 + 1000 * n)
        assert remember(evidence(cache=METRICS), seen, books_of(seen), Settings(journal=str(path))) is not None
    return path


def app_of(seen: Snapshot, journal: Path | str, models: FakeModels | None = None, **told: Any) -> GpuTuiApp:
    options = wiring.Options(overrides={"journal": ("--journal", str(journal)), **told})
    models = models or FakeModels()
    return make_app(lambda: seen, options=options, models=models, clock=ManualClock())


def told(app: GpuTuiApp) -> str:
    return " ".join(one.message for one in app._notifications)


def title(app: GpuTuiApp) -> str:
    return str(app.main.query_one("#slider-box").border_title)


async def test_a_correction_is_offered_applied_and_taken_back(tmp_path: Path) -> None:
    models = FakeModels()
    models.evidence = FILES_ALONE
    app = app_of(machine(), journal_of(tmp_path), models)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await until(pilot, lambda: app.planner.lessons.offered is not None, "the lesson")
        await pilot.pause()
        plain = app.explorer.plan()
        assert plain is not None
        assert plain.inputs is not None
        assert plain.inputs.learned is None, "offered, not applied"
        assert label(app, "#checks").startswith("L learned from 2 starts")
        assert "learned" not in title(app)
        await pilot.press("e")
        assert "Learned from 2 starts of m: " in shown(app)
        assert "L applies it." in shown(app)
        await pilot.press("escape", "L")
        assert "Applied: learned from 2 starts of m" in told(app)
        assert ", learned from 2 starts" in title(app)
        assert label(app, "#checks").startswith("learned from 2 starts (L takes it back)")
        corrected = app.explorer.plan()
        assert corrected is not None
        assert corrected.inputs is not None
        assert corrected.inputs.learned
        assert corrected.judge() != plain.judge()
        await pilot.press("e")
        assert "measured: learned from 2 starts: " in shown(app)
        await pilot.press("escape", "L")
        assert app.explorer.plan() == plain
        assert "learned" not in title(app)


async def test_another_model_takes_nothing_of_this_one(tmp_path: Path) -> None:
    models = FakeModels()
    models.evidence = FILES_ALONE
    app = app_of(machine(), journal_of(tmp_path), models)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await until(pilot, lambda: app.planner.lessons.offered is not None, "the lesson")
        await pilot.press("L")
        assert app.planner.lessons.applied
        await pilot.press("M", "tab", *"tiny", "enter")
        await until(pilot, lambda: app.planner.pick.name == "tiny", "the other model")
        assert not app.planner.lessons.applied
        await until(pilot, lambda: not app.planner.lessons.reading, "its lesson")
        await pilot.press("L")
        assert "Nothing is learned of tiny yet" in told(app)


async def test_another_gpu_takes_nothing_of_this_one(tmp_path: Path) -> None:
    seen = machine()
    twins = replace(seen, gpus=(seen.gpus[0], replace(seen.gpus[0], uuid="GPU-1", index=1, processes=())))
    app = app_of(twins, journal_of(tmp_path))
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await until(pilot, lambda: app.planner.lessons.offered is not None, "the lesson")
        app.telemetry.close()
        await pilot.press("L")
        assert app.planner.lessons.applied
        await pilot.press("g", "down", "enter")
        assert app.explorer.gpu is twins.gpus[1]
        assert not app.planner.lessons.applied, "before any reading of it"
        assert app.planner.lessons.offered is None
        assert "learned" not in title(app)
        await pilot.press("g", "up", "enter")
        app.see(twins)
        await until(pilot, lambda: app.planner.lessons.applied, "where it was asked for")


async def test_hand_set_figures_and_a_typed_one_that_stands_before_them(tmp_path: Path) -> None:
    app = app_of(machine(), journal_of(tmp_path))
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await until(pilot, lambda: app.planner.lessons.offered is not None, "the lesson")
        before = app.explorer.plan_need
        await pilot.press("L")
        need = app.explorer.plan_need
        assert need.model_origin.source == "learned from 2 starts of org/m: the most it took"
        assert need.min_kv_cache_bytes != before.min_kv_cache_bytes
        assert "learned from 2 starts of org/m" in label(app, "#checks")
        await pilot.press("m", "ctrl+u", *"9000", "enter")
        assert app.explorer.plan_need.model_bytes == 9000 << 20
        assert app.explorer.plan_need.min_kv_cache_bytes == before.min_kv_cache_bytes
        assert not app.planner.lessons.applied


class Past(PastStarts):
    """Says who asked, and waits until it may answer."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.threads: list[threading.Thread] = []
        self.go = threading.Event()

    def learned(self, planned: Setup, gpu: Gpu) -> Learned | None:
        self.threads.append(threading.current_thread())
        self.go.wait(10)
        return super().learned(planned, gpu)

    def remember(self, evidence: Evidence, snapshot: Snapshot, books: Books, gpu: Gpu) -> Notice | None:
        self.threads.append(threading.current_thread())
        return super().remember(evidence, snapshot, books, gpu)


async def test_the_journal_is_never_read_where_the_screen_is_drawn(tmp_path: Path) -> None:
    models = FakeModels()
    models.evidence = evidence(cache=METRICS, facts=replace(facts_of("llama-3.1-8b"), name="org/m"))
    path = journal_of(tmp_path)
    app = app_of(machine(), path, models)
    past = app.planner.lessons.past = Past(app.settings)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("L")
        assert "Past starts are just being read." in told(app)
        past.go.set()
        await until(pilot, lambda: app.planner.notice is not None, "the start is kept")
        await until(pilot, lambda: not app.planner.lessons.reading, "the lesson")
        assert app.planner.notice is not None
        assert app.planner.notice.kept == 3
        assert len(past.threads) >= 2
        assert threading.main_thread() not in past.threads
        await pilot.press("e")
        assert "Kept as deployment 3, predicted against measured" in shown(app)
        await pilot.press("escape", "L")
        assert "there is nothing to correct" in told(app), "all terms are measured"
    with open_deployments(Settings(journal=str(path))) as journal:
        assert len(journal.starts()) == 3


@pytest.mark.parametrize("fields", [{"simulated": True}, {"source": "replay"}])
async def test_of_another_machine_nothing_is_learned_and_nothing_kept(tmp_path: Path, fields: dict[str, Any]) -> None:
    models = FakeModels()
    models.evidence = evidence(cache=METRICS)
    path = journal_of(tmp_path)
    app = app_of(replace(machine(), **fields), path, models)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await until(pilot, lambda: not app.planner.reading, "the evidence")
        assert app.planner.lessons.offered is None
        await pilot.press("L")
        assert "Past starts are this machine's" in told(app)
    with open_deployments(Settings(journal=str(path))) as journal:
        assert len(journal.starts()) == 2


async def test_a_journal_that_cannot_be_read_costs_no_verdict(tmp_path: Path) -> None:
    models = FakeModels()
    models.evidence = evidence(cache=METRICS)
    path = tmp_path / "j.db"
    path.write_bytes(b"something else")
    app = app_of(machine(), path, models)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await until(pilot, lambda: app.planner.notice is not None, "the refusal")
        await until(pilot, lambda: bool(app.planner.lessons.problem), "the refusal")
        await until(pilot, lambda: "was not kept" in told(app), "it is told")
        assert app.explorer.start() is not None
        await pilot.press("e")
        assert "! Nothing could be learned from past starts." in shown(app)
        await pilot.press("escape", "L")
        assert "Nothing could be learned from past starts." in told(app)


async def test_without_a_journal_the_key_says_so() -> None:
    app = app_of(machine(), "off")
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("L")
        assert "No journal is kept here" in told(app)
