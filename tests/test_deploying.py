"""Servers followed beside the readings: the shipped stories, and real processes with a real log and a real port."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpu_tui import wiring
from gpu_tui.clock import ManualClock, SystemClock
from gpu_tui.core.deployment import Deployment, DeployPhase, Evidence
from gpu_tui.core.deployment_causes import cause
from gpu_tui.core.deployments import Told
from gpu_tui.core.races import RaceKind
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.telemetry.scenario import load_scenario, snapshot_at
from gpu_tui.telemetry.start_watch import Ask
from gpu_tui.wiring.deploying import DeploymentWatch, News
from gpu_tui.wiring.deployments import open_deployments
from tests.standin import Device, Process, Sleepers, StandIn, State

DATA = Path(__file__).parent / "core" / "data" / "start_logs"
D = DeployPhase


def story(name: str, seconds: int, step: float = 1.0) -> tuple[DeploymentWatch, list[tuple[float, News]]]:
    scenario = load_scenario(name)
    watch = DeploymentWatch(wiring.load_settings(wiring.Options(scenario=name)), ManualClock())
    told, at = [], 0.0
    while at < seconds:
        told.append((at, watch.see(snapshot_at(scenario, at))))
        at += step
    return watch, [(at, news) for at, news in told if news]


def moves(told: list[tuple[float, News]]) -> list[tuple[int, str, int, DeployPhase]]:
    return [
        (round(at), change.kind.value, change.deployment.who.pid, change.deployment.phase)
        for at, news in told
        for change in news.changes
    ]


def test_deploy_goes_through_all_phases_fails_and_comes_back() -> None:
    watch, told = story("deploy", 239)
    assert moves(told)[:6] == [
        (1, "phase", 5102, D.SERVING),
        (10, "phase", 5102, D.GONE),
        (16, "began", 6204, D.STARTING),
        (22, "phase", 6204, D.LOADING),
        (50, "phase", 6204, D.PROFILING),
        (78, "phase", 6204, D.CAPTURING),
    ]
    first, failed = (next(one for one in watch.shown.watched.past if one.who.pid == pid) for pid in (6204, 7301))
    assert [span.phase for span in first.spans] == [
        D.STOPPED,
        D.STARTING,
        D.LOADING,
        D.PROFILING,
        D.CAPTURING,
        D.SERVING,
        D.GONE,
    ]
    assert (first.outcome, first.name) == ("started", "judge")
    assert first.took_s(239) == 74
    assert failed.outcome == "max_len_too_long"
    told_cause = cause(failed)
    assert told_cause is not None
    assert "5.63 GiB, 2.94 GiB were left" in told_cause[0]
    assert "--max-model-len 21392" in told_cause[1]
    assert watch.shown.watched.now[0].phase is D.SERVING


def test_race_is_said_while_it_happens() -> None:
    watch, told = story("race", 179)
    found = [(round(at), race.kind, race.tenant) for at, news in told for race in news.races]
    assert found == [
        (14, RaceKind.TWO_ENGINES, "vllm:8002"),
        (48, RaceKind.TENANT_FREED, "judge"),  # by its own name, though the books call the survivor so now
        (110, RaceKind.TENANT_FREED, "kloros"),
    ]
    assert [round(at) for at, news in told if news.over] == [48, 60, 118]
    died = next(one for one in watch.shown.watched.past if one.who.pid == 6204)
    assert died.outcome == "no_cache_blocks"
    assert len(watch.shown.raced[died.who]) == 1
    assert all(one.phase is D.SERVING for one in watch.shown.watched.now)


def test_night_and_day_fails_at_nine_with_what_fitted_all_night() -> None:
    watch, _ = story("night-and-day", 239)
    outcomes = {one.who.pid: one.outcome for one in (*watch.shown.watched.past, *watch.shown.watched.now)}
    assert outcomes == {5102: "started", 6204: "not_enough_free", 7301: "started"}


@pytest.mark.parametrize("name", ["deploy", "race", "night-and-day"])
def test_a_story_that_begins_anew_is_followed_anew(name: str) -> None:
    once, _ = story(name, 100)
    loop = load_scenario(name).file.story.loop_s
    assert loop is not None
    again, _ = story(name, round(loop) + 100)

    def outcomes(watch: DeploymentWatch) -> list[tuple[int, str | None]]:
        watched = watch.shown.watched
        return [(one.who.pid, one.outcome) for one in (*watched.past, *watched.now)][-2:]

    assert outcomes(again) == outcomes(once)


def test_other_tick_rates_see_the_same_story() -> None:
    for step in (0.5, 2.0, 5.0):
        watch, _ = story("deploy", 115, step)
        (one,) = watch.shown.watched.now
        starts = {span.phase: span.start_s for span in one.spans}
        for phase, since in ((D.LOADING, 22), (D.PROFILING, 50), (D.CAPTURING, 78), (D.SERVING, 90)):
            assert since <= starts[phase] <= since + step


def test_a_recording_that_is_turned_back_is_followed_anew() -> None:
    scenario = load_scenario("deploy")
    watch = DeploymentWatch(wiring.load_settings(wiring.Options(scenario="deploy")), ManualClock())
    for at in (20.0, 30.0, 5.0):
        watch.see(snapshot_at(scenario, at))
    assert [one.who.pid for one in watch.shown.watched.now] == [5102]
    assert watch.shown.watched.past == ()


# --- what is asked --------------------------------------------------------------------------------------------------


class Asked:
    """Keeps what it was asked."""

    def __init__(self) -> None:
        self.asks: list[Ask] = []

    def look(self, ask: Ask) -> Told:
        self.asks.append(ask)
        return Told(health=True)


def settle(done: Callable[[], object], within_s: float = 20) -> None:
    until = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.02)


def here(seen: Snapshot, at: float) -> Snapshot:
    return replace(seen, simulated=False, source="nvml", taken_at=1e9 + at, taken_monotonic=at, logs={})


def test_while_nothing_moves_nothing_is_asked() -> None:
    asked = Asked()
    watch = DeploymentWatch(wiring.load_settings(wiring.Options()), ManualClock(), reader=asked)
    machine = snapshot_at(load_scenario("kloros"), 0)
    watch.see(here(machine, 0))
    settle(lambda: asked.asks)
    for at in range(1, 200):
        watch.see(here(machine, at))
    assert len(asked.asks) == 1
    assert watch.shown.watched.now[0].phase is D.SERVING
    watch.close()


# --- real processes, a real log, a real port ------------------------------------------------------------------------


class _Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def answering(port: int) -> Iterator[None]:
    server = http.server.HTTPServer(("127.0.0.1", port), _Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    with http.server.HTTPServer(("127.0.0.1", 0), _Health) as server:
        return int(server.server_port)


class Machine:
    """A stand-in machine, its real processes, and the watch over it."""

    def __init__(self, standin: StandIn, sleepers: Sleepers, tmp_path: Path) -> None:
        self.standin, self.sleepers = standin, sleepers
        self.log = tmp_path / "vllm.log"
        self.log.touch()
        options = wiring.Options(overrides={"journal": ("--journal", str(tmp_path / "j.db"))})
        self.settings = wiring.load_settings(options)
        self.told: list[str] = []
        self.watch = DeploymentWatch(self.settings, SystemClock(), tell=self.told.append)
        self.source = standin.live()
        self.holds: dict[int, float] = {}

    def hold(self, pid: int, mib: float | None) -> None:
        self.holds.pop(pid, None)
        if mib is not None:
            self.holds[pid] = mib
        rows = [Process(pid, used) for pid, used in self.holds.items()]
        self.standin.write(State(devices=[Device(processes=rows)]))

    def serve(self, port: int) -> Any:
        with self.log.open("a") as file:
            return self.sleepers.vllm("/models/none", port, 0.5, 1, log=file.fileno())

    def say(self, *lines: str) -> None:
        with self.log.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def until(self, phase: DeployPhase) -> Deployment:
        found: list[Deployment] = []

        def look() -> bool:
            self.watch.see(self.source.read())
            watched = self.watch.shown.watched
            found[:] = [one for one in (*watched.past, *watched.now) if one.phase is phase]
            time.sleep(0.1)
            return bool(found)

        settle(look, 40)
        return found[-1]


@pytest.fixture
def machine(standin: StandIn, sleepers: Sleepers, tmp_path: Path) -> Iterator[Machine]:
    made = Machine(standin, sleepers, tmp_path)
    yield made
    made.watch.close()
    made.source.close()


def lines_of(name: str, server: Any) -> list[str]:
    """A real start's log, with the pids of these processes."""
    pids = {"pid=1)": f"pid={server.server})", "pid=241)": f"pid={server.engine})", "pid=15916": f"pid={server.engine}"}
    text = (DATA / name).read_text()
    for old, new in pids.items():
        text = text.replace(old, new)
    return text.splitlines()


def test_a_start_is_followed_by_memory_log_and_health(machine: Machine) -> None:
    machine.hold(0, None)
    machine.watch.see(machine.source.read())
    port = free_port()
    server = machine.serve(port)
    machine.hold(server.engine, 300)
    begun = machine.until(D.STARTING)
    assert begun.from_birth
    machine.hold(server.engine, 2500)
    assert machine.until(D.LOADING).span.evidence is Evidence.MEMORY
    lines = lines_of("v1_0.30_consumed.txt", server)
    machine.say(*lines[:4])
    assert machine.until(D.PROFILING).span.evidence is Evidence.LOG
    machine.say(*lines[4:6])
    machine.hold(server.engine, 6100)
    machine.until(D.CAPTURING)
    with answering(port):
        serving = machine.until(D.SERVING)
    assert serving.span.evidence is Evidence.HEALTH
    assert serving.peak_bytes == 6100 * 2**20
    settle(lambda: machine.told)
    assert "Kept as deployment 1 (started)" in machine.told[0]
    with open_deployments(machine.settings) as journal:
        (kept,) = journal.starts()
    told = kept.deployment.watched
    assert told is not None
    assert [one["phase"] for one in told["phases"]] == ["starting", "loading", "profiling", "capturing"]
    assert (kept.deployment.outcome, kept.deployment.server_pid) == ("started", server.server)


def test_a_start_that_dies_is_told_with_the_cause_its_log_gave(machine: Machine) -> None:
    machine.hold(0, None)
    machine.watch.see(machine.source.read())
    server = machine.serve(free_port())
    machine.hold(server.engine, 900)
    machine.until(D.LOADING)
    failing = (DATA / "failed_0.32_too_long.txt").read_text().splitlines()
    # Written at the very end: only what is read after the process is gone tells it.
    machine.say(*[line.replace("pid=15916", f"pid={server.engine}") for line in failing])
    machine.hold(server.engine, None)
    machine.sleepers.kill(server.server)
    failed = machine.until(D.FAILED)
    assert failed.outcome == "max_len_too_long"
    settle(lambda: any("max_len_too_long" in words for words in machine.told))
    with open_deployments(machine.settings) as journal:
        (kept,) = journal.starts()
    assert kept.deployment.outcome == "max_len_too_long"
    assert (kept.deployment.watched or {})["remedy"].startswith("Give it ")


def test_a_restart_does_not_inherit_the_failure_in_the_log_it_appends_to(machine: Machine) -> None:
    machine.say(*(DATA / "failed_0.32_too_long.txt").read_text().splitlines())
    machine.hold(0, None)
    machine.watch.see(machine.source.read())
    time.sleep(1.1)
    server = machine.serve(free_port())
    machine.hold(server.engine, 900)
    machine.until(D.LOADING)
    for _ in range(30):
        machine.watch.see(machine.source.read())
        time.sleep(0.1)
    (one,) = machine.watch.shown.watched.now
    assert one.failure is None
    machine.say(*lines_of("v1_0.30_consumed.txt", server)[:4])
    assert machine.until(D.PROFILING).failure is None
