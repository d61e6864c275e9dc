"""What happened between observations: each kind, and laws over arbitrary streams."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.assessment import Assessed, Assessment
from gpu_tui.core.books import keep_books
from gpu_tui.core.checks import Status
from gpu_tui.core.events import GROWTH_BYTES, Event, EventKind, events_of
from gpu_tui.core.observation import GpuSeen, Observation, ServiceSeen, observe
from gpu_tui.core.services import Classifier, Role
from gpu_tui.core.snapshot import Fault, FaultKind, Snapshot
from gpu_tui.units import MIB
from tests.factories import KLOROS, KLOROS_HOLDS, gpu, info, kloros, machines, snapshot


def seen(machine: Snapshot, at_s: float, restarts: int | None = None) -> Observation:
    rules = Classifier()
    gpus = tuple(Assessment(gpu=g, books=keep_books(machine, g, rules, restarts)) for g in machine.gpus)
    return observe(Assessed(snapshot=replace(machine, taken_monotonic=at_s, taken_at=at_s), gpus=gpus))


def told(*stream: Snapshot) -> list[tuple[str, str | None]]:
    return [(e.kind.value, e.service) for e in events_of(seen(one, n) for n, one in enumerate(stream))]


def without(pid: int) -> Snapshot:
    return kloros(holds={k: v for k, v in KLOROS_HOLDS.items() if k != pid})


def holding(pid: int, mib: float) -> Snapshot:
    return kloros(holds=KLOROS_HOLDS | {pid: mib})


def test_nothing_has_happened_at_the_first_look_nor_while_nothing_changes() -> None:
    assert told(KLOROS, KLOROS, KLOROS) == []


def test_a_service_that_goes_and_comes_back() -> None:
    assert told(KLOROS, without(2387058), KLOROS) == [("service_gone", "ollama"), ("service_appeared", "ollama")]


def test_a_service_with_other_processes_was_restarted() -> None:
    other = kloros(holds={(9 if pid == 2387058 else pid): mib for pid, mib in KLOROS_HOLDS.items()})
    other = replace(other, processes={**other.processes, 9: info(9, "ollama", "/usr/local/bin/ollama runner")})
    assert told(KLOROS, other) == [("service_restarted", "ollama")]


def test_a_pid_that_was_given_again_is_another_process() -> None:
    def started(at: float) -> Snapshot:
        return replace(KLOROS, processes={p: replace(i, started_at=at) for p, i in KLOROS.processes.items()})

    assert {kind for kind, _ in told(started(1.0), started(2.0))} == {"service_restarted"}


def test_growth_is_told_once_for_every_step_and_seen_when_slow() -> None:
    slow = [holding(2387058, 1068 + 10 * n) for n in range(60)]
    events = list(events_of(seen(one, n) for n, one in enumerate(slow)))
    assert [e.kind for e in events] == [EventKind.GREW] * 2
    assert events[0].words == "ollama grew by 260 MiB, from 1068 MiB to 1328 MiB."
    assert told(holding(2387058, 3000), KLOROS) == [("memory_shrank", "ollama")]
    assert told(holding(1893, 3000), KLOROS) == [("memory_shrank", "other")]


def test_a_wave_below_the_step_is_no_news() -> None:
    assert told(*(holding(2387058, 1068 + (200 if n % 2 else 0)) for n in range(20))) == []


def test_two_servers_that_change_names_have_not_been_restarted() -> None:
    serve = "vllm serve m --port {}"
    infos = [info(10, "vllm", serve.format(8001)), info(20, "vllm", serve.format(8002))]
    larger_first, larger_second = (snapshot(gpu({10: a, 20: b}), infos) for a, b in ((4000, 3990), (3990, 4000)))
    assert told(larger_first, larger_second, larger_first) == []


def test_what_cannot_be_seen_has_not_gone() -> None:
    lost = replace(
        gpu({}, total=None, free=None), processes=None, faults=(Fault(kind=FaultKind.GPU_LOST, message="lost"),)
    )
    blind = replace(KLOROS, gpus=(lost,))
    assert told(KLOROS, blind, KLOROS) == [("fault", None), ("fault_over", None)]
    assert told(KLOROS, blind, without(2387058)) == [("fault", None), ("fault_over", None), ("service_gone", "ollama")]


def test_a_machine_that_cannot_be_read_is_told_once() -> None:
    silent = Observation(at_s=1, wall_s=1, fault=Fault(kind=FaultKind.TIMEOUT, message="The driver is silent."))
    kinds = [e.kind.value for e in events_of([seen(KLOROS, 0), silent, silent, seen(without(2387058), 3)])]
    assert kinds == ["fault", "fault_over", "service_gone"]


def test_the_verdict() -> None:
    def judged(status: Status | None, at_s: float) -> Observation:
        one = GpuSeen(key="GPU-0", index=0, name="GPU", services=(), status=status, reason="because")
        return Observation(at_s=at_s, wall_s=at_s, gpus=(one,))

    stream = [judged(s, n) for n, s in enumerate([Status.VALID, Status.INVALID, None, Status.INVALID, Status.UNKNOWN])]
    assert [e.words for e in events_of(stream)] == [
        "The plan is invalid_production (was valid): because",
        "The plan is unknown (was invalid_production): because",
    ]


@given(stream=st.lists(machines(), max_size=6))
def test_any_stream_tells_the_same_twice_and_repeats_tell_nothing(stream: list[Snapshot]) -> None:
    observations = [seen(one, n) for n, one in enumerate(stream)]
    once = list(events_of(observations))
    doubled = [one for each in observations for one in (each, each)]
    assert list(events_of(observations)) == once
    assert list(events_of(doubled)) == once


sizes = st.none() | st.integers(0, 4000)


@given(levels=st.lists(sizes, min_size=1, max_size=40))
def test_what_is_told_of_memory_adds_up_within_a_step(levels: list[int | None]) -> None:
    def at(n: int, mib: int | None) -> Observation:
        used = None if mib is None else mib * MIB
        one = ServiceSeen(name="x", role=Role.PERSISTENT, used_bytes=used, who=frozenset({(1, 1.0)}))
        return Observation(at_s=n, wall_s=n, gpus=(GpuSeen(key="g", index=0, name="g", services=(one,)),))

    events: list[Event] = list(events_of(at(n, mib) for n, mib in enumerate(levels)))
    known = [mib * MIB for mib in levels if mib is not None]
    if known:
        moved = sum((e.after_bytes or 0) - (e.before_bytes or 0) for e in events)
        assert abs(known[-1] - known[0] - moved) < GROWTH_BYTES
    assert {e.kind for e in events} <= {EventKind.GREW, EventKind.SHRANK}
