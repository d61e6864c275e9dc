"""Starts in words: every phase with its time, memory against plan, both causes, races; nothing wider than its room."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui import wiring
from gpu_tui.clock import ManualClock
from gpu_tui.core.deployment import Deployment, DeployPhase, Evidence, Identity, Span
from gpu_tui.core.deployments import Change, ChangeKind, Watched
from gpu_tui.core.races import Race, RaceKind
from gpu_tui.telemetry.scenario import load_scenario, snapshot_at
from gpu_tui.units import MIB
from gpu_tui.view.deployment_words import against_plan, change_news, change_words, duration, race_news
from gpu_tui.view.deployments import badge, detail, hands_lines, nothing, notice, row, timeline
from gpu_tui.view.spans import Line, plain, width
from gpu_tui.wiring.deploying import DeploymentWatch, Shown

D = DeployPhase


def seen(name: str, until_s: int) -> Shown:
    scenario = load_scenario(name)
    watch = DeploymentWatch(wiring.load_settings(wiring.Options(scenario=name)), ManualClock())
    for second in range(until_s + 1):
        watch.see(snapshot_at(scenario, float(second)))
    return watch.shown


def of(shown: Shown, pid: int) -> Deployment:
    return next(one for one in (*shown.watched.past, *shown.watched.now) if one.who.pid == pid)


def made(*spans: Span, name: str = "judge", **known: object) -> Deployment:
    return Deployment(
        slot="judge:8001",
        name=name,
        who=Identity(pid=42),
        pids=(42, 43),
        gpus=("GPU-0",),
        spans=spans,
        from_birth=True,
        **known,  # type: ignore[arg-type]
    )


def text(lines: list[Line]) -> str:
    return "\n".join(plain(line) for line in lines)


def test_the_latest_start_is_first_and_what_was_there_before_is_last() -> None:
    began = [
        made(Span(phase=D.STARTING, start_s=at_s, evidence=Evidence.PROCESS), name=str(at_s)) for at_s in (3, 9, 5)
    ]
    before = replace(made(Span(phase=D.RUNNING, start_s=9.01, evidence=Evidence.PROCESS), name="old"), from_birth=False)
    watched = Watched(now=(before, *began[1:]), past=(began[0],))
    assert [one.name for one in watched.newest_first()] == ["9", "5", "3", "old"]


def utc(at_s: float) -> float:
    return at_s


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.2, "<1 s"),
        (6.4, "6 s"),
        (59.6, "1 min 00 s"),
        (74, "1 min 14 s"),
        (3600, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_memory_against_the_plan() -> None:
    assert against_plan(900 * MIB, 1000 * MIB) == "100 MiB under the plan"
    assert against_plan(1100 * MIB, 1000 * MIB) == "100 MiB over the plan"
    assert against_plan(MIB, MIB) == "as planned"
    assert against_plan(None, MIB) == against_plan(MIB, None) == ""


def test_a_start_in_full_while_it_goes_on() -> None:
    shown = seen("deploy", 60)
    one = of(shown, 6204)
    told = text(detail(one, (), (), shown.at_s, shown.wall_at, 110))
    for words in (
        "▸ judge profiling  pid 6204, port 8001, Qwen/Qwen3-8B, utilization 0.84",
        "stopped                  6 s",
        "loading                 28 s",
        "▸ profiling               10 s",
        "capturing graphs     to come",
        "planned   20271 MiB",
        "83 %, +84 MiB/s",
    ):
        assert words in told
    assert "RACE" not in told
    off = text(hands_lines(one, ["kloros", "ollama"], 110))
    assert "Do not start, stop or restart kloros or ollama now: judge profiles its memory" in off


def test_a_start_that_died_has_both_causes() -> None:
    shown = seen("deploy", 165)
    told = " ".join(text(detail(of(shown, 7301), (), (), shown.at_s, shown.wall_at, 73)).split())
    assert "vLLM To serve at least one request with the model's max seq len (40960)" in told
    assert "means The KV cache that was left cannot hold one request" in told
    assert "do Give it --max-model-len 21392" in told
    assert "✗ died" in told
    assert "to come" not in told
    assert "now " not in told.split("planned")[1], "nobody holds it any more"


def test_one_that_is_gone_before_it_served_has_died_and_nobody_says_why() -> None:
    spans = (
        Span(phase=D.STARTING, start_s=0, end_s=5, evidence=Evidence.PROCESS),
        Span(phase=D.GONE, start_s=5, evidence=Evidence.PROCESS),
    )
    one = made(*spans)
    assert "✗ died" in plain(row(one, 9, utc, 90))
    assert "no log that can be read tells why" in text(detail(one, (), (), 9, utc, 110))
    told = change_news(Change(kind=ChangeKind.PHASE, deployment=one), [], 9)
    assert told is not None
    assert (told.severity, told.title) == ("error", "✗ judge died after 5 s")


def test_unknown_memory_reads_unknown_and_never_0() -> None:
    one = made(Span(phase=D.LOADING, start_s=0, evidence=Evidence.LOG))
    told = text(detail(one, (), (), 9, utc, 110))
    assert "planned     unknown  its command line names no utilization" in told
    assert "now         unknown" in told
    assert "unknown MiB" in plain(row(one, 9, utc, 90))


def test_memory_alone_cannot_tell_loading_from_profiling_and_says_so() -> None:
    one = made(
        Span(phase=D.STARTING, start_s=0, end_s=4, evidence=Evidence.PROCESS),
        Span(phase=D.LOADING, start_s=4, evidence=Evidence.MEMORY, words="holds 900 MiB and grows"),
    )
    told = text(timeline(one, 9, utc, 110))
    assert "▸ load or profile" in told
    assert "profiling  " not in told
    assert "capturing graphs     to come" in told
    assert change_words(Change(kind=ChangeKind.PHASE, deployment=one), [], 9).startswith("judge loads or profiles (")


def test_a_race_stands_above_everything_and_what_is_over_below() -> None:
    shown = seen("race", 40)
    one = of(shown, 6204)
    told = text(detail(one, shown.races, ("whisper grew by 99 MiB.",), shown.at_s, shown.wall_at, 110))
    assert told.index("! RACE  judge and vllm:8002") < told.index("planned")
    assert told.index("Races so far") < told.index("whisper grew by 99 MiB.")
    assert told.count("load at once") == 1
    line = plain(notice(shown.exposed, shown.races, shown.at_s, 120))
    assert line.startswith(" ! RACE Stop vllm:8002 (pid 6205) and start it when judge serves.")
    assert badge(shown.exposed, shown.races) == "! RACE (D)"


def test_no_notice_without_a_start() -> None:
    assert notice((), (), 0, 120) == []
    assert badge((), ()) == ""
    assert "nothing" not in text(nothing("10:00:00", servers=True)).lower()


def test_names_that_attack_a_terminal_are_visible_text() -> None:
    evil = "judge\x1b[2J\u202e"
    one = made(Span(phase=D.LOADING, start_s=0, evidence=Evidence.LOG), name=evil, model=evil)
    race = Race(kind=RaceKind.TENANT_GREW, gpu="GPU-0", name=evil, who=one.who, tenant=evil, words=evil, advice=evil)
    every = [
        text(detail(one, [race], [evil], 5, utc, 80)),
        plain(row(one, 5, utc, 80)),
        plain(notice([(one, [evil])], (), 5, 120)),
        plain(notice([(one, [evil])], [race], 5, 120)),
        text(hands_lines(one, [evil], 80)),
        race_news(race).words,
        change_words(Change(kind=ChangeKind.BEGAN, deployment=one), [evil], 5),
    ]
    for told in every:
        assert "judge␛[2J" in told
        assert "\x1b" not in told
        assert "\u202e" not in told


STEPS = (D.STOPPED, D.STARTING, D.LOADING, D.PROFILING, D.CAPTURING, D.SERVING)


@st.composite
def starts(draw: st.DrawFn) -> tuple[Deployment, float]:
    """A start in any phase, however long each took, and how late it is."""
    chosen = draw(st.lists(st.sampled_from(range(len(STEPS))), min_size=1, unique=True).map(sorted))
    phases = [STEPS[i] for i in chosen] + ([draw(st.sampled_from([D.FAILED, D.GONE]))] if draw(st.booleans()) else [])
    at, spans = 0.0, []
    for phase in phases:
        end = at + draw(st.floats(0, 1e6))
        spans.append(Span(phase=phase, start_s=at, end_s=end, evidence=draw(st.sampled_from(Evidence)), words="w" * 60))
        at = end
    last = Span(phase=phases[-1], start_s=spans[-1].start_s, evidence=Evidence.LOG)
    sizes = st.none() | st.integers(0, 2**40)
    one = made(
        *spans[:-1], last, planned_bytes=draw(sizes), used_bytes=draw(sizes), peak_bytes=draw(sizes), model="m" * 99
    )
    return one, at + draw(st.floats(0, 1e6))


@given(starts(), st.integers(50, 140))
def test_nothing_is_wider_than_its_room_and_every_phase_has_its_row(start: tuple[Deployment, float], room: int) -> None:
    one, now = start
    lines = [*detail(one, (), ["r" * 300], now, utc, room), row(one, now, utc, room), *timeline(one, now, utc, room)]
    assert max(width(line) for line in lines) <= room
    drawn = timeline(one, now, utc, room)
    assert len(drawn) >= len(one.spans)
    for span, line in zip(one.spans, drawn, strict=False):
        ended = span.phase in (D.FAILED, D.GONE)
        assert ended or duration(span.duration_s(now)) in plain(line)
    assert width(notice([(one, ["kloros"])], (), now, room)) <= room
