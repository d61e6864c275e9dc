"""A start is followed through its phases: by its log, by its port, by memory alone; and never back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.deployment import Deployment, DeployPhase, Evidence, Identity, Look, Span, rank
from gpu_tui.core.deployment_steps import DYING_S, born, step
from gpu_tui.core.deployments import ChangeKind, Server, Told, Watched, follow
from gpu_tui.core.start_log import parse_start_log
from gpu_tui.core.start_values import Phase, StartLog
from gpu_tui.units import GIB, MIB

LINES = (
    "INFO 11-23 20:00:00 [api_server.py:1] vLLM API server version 0.14.1",
    "INFO 11-23 20:00:05 [gpu_model_runner.py:1] Starting to load model m...",
    "INFO 11-23 20:00:15 [gpu_worker.py:1] Available KV cache memory: 6.9 GiB",
    "Capturing CUDA graphs: 10%",
    "INFO:     Application startup complete.",
)
TOO_LONG = (
    "ValueError: To serve at least one request with the model's max seq len (2048), (0.04 GiB KV cache is needed, which"
    " is larger than the available KV cache memory (0.02 GiB). Based on the available memory, the estimated maximum "
    "model length is 1024. Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing."
)
D = DeployPhase


def log(count: int, *more: str) -> StartLog:
    return parse_start_log([*LINES[:count], *more])


def base(**fields: object) -> Deployment:
    told: dict[str, object] = {
        "slot": "judge:8001",
        "name": "judge",
        "who": Identity(pid=42, started_at=1000.0),
        "gpus": ("GPU-0",),
        "planned_bytes": 6 * GIB,
        "spans": (),
        "from_birth": True,
    }
    return Deployment(**(told | fields))  # type: ignore[arg-type]


def look(at_s: float, used_mib: float | None = 300, **fields: object) -> Look:
    used = None if used_mib is None else round(used_mib * MIB)
    told: dict[str, object] = {"at_s": at_s, "wall_s": 1000 + at_s, "alive": True, "used_bytes": used}
    return Look(**(told | fields))  # type: ignore[arg-type]


def phases(one: Deployment) -> list[DeployPhase]:
    return [span.phase for span in one.spans]


def run(*looks: Look, **fields: object) -> Deployment:
    one = born(base(**fields), looks[0])
    for each in looks[1:]:
        one = step(one, each)
    return one


def test_a_log_tells_every_phase_and_health_that_it_serves() -> None:
    one = run(
        look(2),
        look(5, 800, log=log(2)),
        look(15, 5000, log=log(3)),
        look(20, 6000, log=log(4)),
        look(25, 6000, log=log(4), health=True),
    )
    assert phases(one) == [D.STARTING, D.LOADING, D.PROFILING, D.CAPTURING, D.SERVING]
    assert [span.start_s for span in one.spans] == [0, 5, 15, 20, 25]
    assert [span.evidence for span in one.spans][1:] == [Evidence.LOG, Evidence.LOG, Evidence.LOG, Evidence.HEALTH]
    assert (one.outcome, one.took_s(99), one.in_motion) == ("started", 25, False)


def test_the_stamps_of_a_log_date_its_phases_whenever_it_is_read() -> None:
    times = {Phase.LOADING: 1005.0, Phase.PROFILING: 1015.0, Phase.CAPTURING: 1020.0, Phase.SERVING: 1025.0}
    one = run(look(1), look(40, 6000, log=log(5), log_times=times))
    assert [span.start_s for span in one.spans] == [0, 5, 15, 20, 25]


def test_without_a_log_memory_and_health_tell_loading_and_serving() -> None:
    one = run(look(1), look(3, 900), look(9, 3000), look(30, 5900, health=False), look(40, 5900, health=True))
    assert phases(one) == [D.STARTING, D.LOADING, D.CAPTURING, D.SERVING]
    assert one.spans[1].evidence is Evidence.MEMORY


def test_memory_alone_never_says_that_it_serves() -> None:
    one = run(look(1), *[look(t, min(300 * t, 6100)) for t in range(2, 400)])
    assert phases(one) == [D.STARTING, D.LOADING, D.CAPTURING]
    assert one.outcome is None


def test_without_a_planned_size_memory_alone_says_that_it_loads() -> None:
    one = run(look(1), *[look(t, min(300 * t, 6100)) for t in range(2, 100)], planned_bytes=None)
    assert phases(one) == [D.STARTING, D.LOADING]


def test_whoever_was_there_before_is_not_said_to_have_started() -> None:
    one = run(look(1, 6000), look(2, 6000), from_birth=False)
    assert phases(one) == [D.RUNNING]
    assert (one.outcome, one.in_motion) == (None, False)
    assert phases(step(one, look(3, 6000, health=True))) == [D.RUNNING, D.SERVING]
    assert phases(step(one, look(3, 6300))) == [D.RUNNING, D.LOADING]


def test_a_failure_is_told_in_vllms_words_and_final_when_the_process_is_gone() -> None:
    failing = run(look(1), look(9, 3000, log=log(3, TOO_LONG)))
    assert failing.phase is D.PROFILING
    assert failing.failure is not None
    ended = step(failing, look(11, None, alive=False))
    assert (ended.phase, ended.outcome, ended.span.start_s) == (D.FAILED, "max_len_too_long", 11)
    assert ended.failure is not None
    assert "max seq len (2048)" in ended.failure.text


def test_a_server_that_hangs_after_its_failure_has_failed() -> None:
    one = run(look(1), look(9, 3000, log=log(3, TOO_LONG)), look(9 + DYING_S, 3000, log=log(3, TOO_LONG)))
    assert (one.phase, one.span.start_s) == (D.FAILED, 9)


def test_a_server_that_answers_has_not_failed_whatever_a_log_says() -> None:
    one = run(look(1), look(9, 3000, log=log(3, TOO_LONG)), look(40, 6000, log=log(3, TOO_LONG), health=True))
    assert (one.phase, one.failure) == (D.SERVING, None)


def test_a_log_read_after_the_end_tells_why_and_changes_no_time() -> None:
    gone = run(look(1), look(9, 3000), look(11, None, alive=False))
    assert (gone.phase, gone.outcome) == (D.GONE, "ended")
    told = step(gone, look(14, None, alive=False, log=log(3, TOO_LONG)))
    assert (told.phase, told.outcome, told.span.start_s) == (D.FAILED, "max_len_too_long", 11)


def test_a_server_that_served_and_ended_is_gone_not_failed() -> None:
    one = run(look(1), look(9, 6000, health=True), look(99, None, alive=False))
    assert (one.phase, one.outcome) == (D.GONE, "started")


def test_a_wall_clock_that_was_set_forward_invents_no_long_start() -> None:
    one = born(base(), look(5, wall_s=1000 + 86400))
    assert one.begun_s == 5


def test_the_slope_is_of_the_last_seconds() -> None:
    one = run(look(1), *[look(t, 1000 + 100 * t) for t in range(2, 30)])
    assert one.slope_bytes_s == pytest.approx(100 * MIB)
    assert run(look(1), *[look(t, 6000) for t in range(2, 30)]).slope_bytes_s == 0


# --- laws -----------------------------------------------------------------------------------------------------------

mib = st.one_of(st.none(), st.integers(0, 12_000))
looks = st.lists(
    st.tuples(
        st.floats(-5, 60),
        mib,
        st.sampled_from([None, True, False]),
        st.integers(0, 5),
        st.booleans(),
        st.floats(-4000, 4000),
        st.integers(0, 9).map(lambda n: n == 0),
    ),
    min_size=1,
    max_size=25,
)


@given(looks, st.booleans())
def test_phases_never_go_back_and_their_durations_are_the_whole(story: list[tuple], from_birth: bool) -> None:  # type: ignore[type-arg]
    at, one = 0.0, None
    for gap, used, health, lines, fails, jump, dead in story:
        at += gap  # may go back: a replay that is turned back
        told = log(lines, *([TOO_LONG] if fails else [])) if lines else None
        each = look(at, used, health=health, log=told, alive=not dead, wall_s=1000 + at + jump)
        before = one
        one = born(base(from_birth=from_birth), each) if one is None else step(one, each)
        ranks = [rank(phase) for phase in phases(one)]
        assert ranks == sorted(set(ranks))
        assert all(a.end_s == b.start_s for a, b in zip(one.spans, one.spans[1:], strict=False))
        assert all(span.end_s is None or span.end_s >= span.start_s for span in one.spans)
        assert one.span.end_s is None
        if before is not None:
            assert rank(before.phase) <= rank(one.phase)
            assert [s.start_s for s in one.spans[: len(before.spans)]] == [s.start_s for s in before.spans]
        now = max(one.looked_s, one.span.start_s)
        assert sum(one.durations_s(now).values()) == pytest.approx(now - one.spans[0].start_s)
        if one.outcome == "started":
            assert any(h or n == 5 for _, _, h, n, _, _, _ in story)


TRUTH = ((0, 0), (8, 1), (20, 2), (50, 3), (70, 4), (90, 5))
"""Second, lines in the log from then on."""


@given(st.floats(0.2, 7), st.floats(0, 5))
def test_the_times_of_phases_do_not_depend_on_how_often_one_looks(tick: float, offset: float) -> None:
    at = offset
    one = None
    while at < 110:
        lines = max(n for since, n in TRUTH if since <= at)
        each = look(at, 300 if lines < 2 else 5000, log=log(lines) if lines else None)
        one = born(base(), each) if one is None else step(one, each)
        at += tick
    assert one is not None
    found = {span.phase: span.start_s for span in one.spans}
    for phase, since in ((D.LOADING, 20), (D.PROFILING, 50), (D.CAPTURING, 70), (D.SERVING, 90)):
        assert since <= found[phase] <= since + max(tick, offset) + 1e-9


# --- a machine's servers --------------------------------------------------------------------------------------------


def server(pid: int = 42, started: float | None = 1000.0, used: int = 300, port: int = 8001) -> Server:
    return Server(
        slot=f"judge:{port}",
        name="judge",
        who=Identity(pid=pid, started_at=started),
        pids=(pid + 1,),
        gpus=("GPU-0",),
        port=port,
        used_bytes=used * MIB,
    )


def steps(*readings: list[Server], told: dict[Identity, Told] | None = None, blind: int = -1) -> tuple[Watched, list]:  # type: ignore[type-arg]
    watched, found = Watched(), []
    for second, there in enumerate(readings):
        dark = frozenset({"GPU-0"}) if second == blind else frozenset()
        now = (second * 10.0, 5000.0 + second * 10)
        watched, changes = follow(watched, there, told or {}, at_s=now[0], wall_s=now[1], blind=dark)
        found += [(change.kind, change.deployment.phase) for change in changes]
    return watched, found


def test_a_restart_is_another_deployment_with_the_stop_before_it() -> None:
    old, new = server(), server(77, 5021.0)
    told = {old.who: Told(health=True)}
    watched, changes = steps([old], [old], [], [new], told=told)
    assert changes == [(ChangeKind.PHASE, D.GONE), (ChangeKind.BEGAN, D.STARTING)]
    (begun,) = watched.now
    assert phases(begun) == [D.STOPPED, D.STARTING]
    assert [span.start_s for span in begun.spans] == [20, 21]
    assert [phases(one) for one in watched.past] == [[D.RUNNING, D.SERVING, D.GONE]]


def test_a_pid_that_comes_again_is_another_deployment() -> None:
    watched, changes = steps([server()], [server(started=4990.0)])
    assert [kind for kind, _ in changes] == [ChangeKind.PHASE, ChangeKind.BEGAN]
    assert len(watched.past) == 1


def test_a_boot_time_that_moved_a_little_is_the_same_process() -> None:
    assert steps([server()], [server(started=1003.0)])[1] == []


def test_nobody_on_a_gpu_that_cannot_be_read_has_ended() -> None:
    assert steps([server()], [], [server()], blind=1)[1] == []
    assert steps([server()], [], [server()])[1] != []


def test_a_span_knows_how_long_it_took() -> None:
    span = Span(phase=D.LOADING, start_s=3, evidence=Evidence.LOG)
    assert (span.duration_s(10), replace(span, end_s=5).duration_s(10)) == (7, 2)
