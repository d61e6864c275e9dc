"""Laws of alerts over arbitrary streams, and each kind of rule on a machine."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from gpu_tui.core.alert_rules import Growth, Rule, When
from gpu_tui.core.alerts import Alerts
from gpu_tui.core.checks import Status
from gpu_tui.core.events import Event, EventKind
from gpu_tui.core.observation import GpuSeen, Observation, ServiceSeen
from gpu_tui.core.services import Role
from gpu_tui.core.snapshot import Fault, FaultKind
from gpu_tui.units import MIB

RAISED, CLEARED = EventKind.ALERT_RAISED, EventKind.ALERT_CLEARED


def hot(at_s: float, celsius: int | None, **fields: object) -> Observation:
    gpu = GpuSeen(key="GPU-0", index=0, name="GPU", temperature_c=celsius, services=(), **fields)  # type: ignore[arg-type]
    return Observation(at_s=at_s, wall_s=1e9 + at_s, gpus=(gpu,))


def rule(**fields: object) -> Rule:
    usual = {"name": "hot", "when": When.TEMPERATURE, "above": 80.0, "clear": 75.0}
    return Rule(**(usual | fields))  # type: ignore[arg-type]


def told(rules: Rule, stream: list[Observation]) -> list[tuple[EventKind, float]]:
    alerts = Alerts([rules])
    return [(event.kind, event.at_s) for seen in stream for event in alerts.see(seen)]


def at(*values: int | None, every: float = 1.0) -> list[Observation]:
    return [hot(n * every, value) for n, value in enumerate(values)]


streams = st.lists(st.tuples(st.integers(1, 30), st.sampled_from([None, 60, 75, 76, 80, 81, 100])), max_size=40)
rules = st.builds(
    rule,
    for_s=st.sampled_from([0.0, 1.0, 10.0, 45.0]),
    clear_for_s=st.sampled_from([0.0, 1.0, 10.0]),
    latch=st.booleans(),
    clear=st.sampled_from([80.0, 75.0, 60.0]),
)


def stream_of(steps: list[tuple[int, int | None]]) -> list[Observation]:
    made, now = [], 0.0
    for gap, value in steps:
        made.append(hot(now, value))
        now += gap
    return made


@given(one=rules, steps=streams, acknowledge=st.integers(0, 3))
def test_between_two_raises_lies_a_clear(one: Rule, steps: list[tuple[int, int | None]], acknowledge: int) -> None:
    alerts = Alerts([one])
    kinds: list[EventKind] = []
    for n, seen in enumerate(stream_of(steps)):
        kinds += [event.kind for event in alerts.see(seen)]
        if acknowledge and n % acknowledge == 0:
            kinds += [event.kind for event in alerts.acknowledge()]
    assert kinds == [RAISED, CLEARED] * (len(kinds) // 2) + [RAISED] * (len(kinds) % 2)
    assert len(alerts.shown) == len(kinds) % 2


@given(one=rules, values=st.lists(st.sampled_from([None, 76, 80, 81, 100]), max_size=60))
@example(one=rule(), values=[81, 80, 81])
def test_flapping_above_the_clear_level_never_raises_twice(one: Rule, values: list[int | None]) -> None:
    kinds = [kind for kind, _ in told(replace(one, clear=75.0), at(*values))]
    assert kinds in ([], [RAISED])


@example(one=rule(for_s=1.0), steps=[(1, 81), (1, None)], splits=[3] + [1] * 39)  # 3 × ⅓ s, less a rounding
@given(one=rules, steps=streams, splits=st.lists(st.integers(1, 10), min_size=40, max_size=40))
def test_reading_more_often_changes_nothing(one: Rule, steps: list[tuple[int, int | None]], splits: list[int]) -> None:
    often = []
    for seen, after, parts in zip(stream_of(steps), stream_of(steps)[1:], splits, strict=False):
        gap = (after.at_s - seen.at_s) / parts
        often += [replace(seen, at_s=seen.at_s + k * gap, wall_s=seen.wall_s + k * gap) for k in range(parts)]
    often += stream_of(steps)[-1:]
    sparse, dense = told(one, stream_of(steps)), told(one, often)
    assert [kind for kind, _ in dense] == [kind for kind, _ in sparse]
    assert all(abs(a - b) < 1e-6 for (_, a), (_, b) in zip(sparse, dense, strict=True))


@given(steps=streams)
def test_what_is_unknown_raises_and_clears_nothing(steps: list[tuple[int, int | None]]) -> None:
    with_gaps = rule()
    alerts = Alerts([with_gaps])
    for seen in stream_of(steps):
        events = alerts.see(seen)
        if seen.gpus[0].temperature_c is None:
            assert events == ()


def test_the_least_duration_is_counted_from_the_first_breach() -> None:
    assert told(rule(for_s=3.0), at(81, 81, 81, 81)) == [(RAISED, 3.0)]
    assert told(rule(for_s=3.0), at(81, 81, 79, 81, 81)) == []
    assert told(rule(for_s=3.0, clear_for_s=2.0), at(81, 81, 81, 81, 70, 70, 70)) == [(RAISED, 3.0), (CLEARED, 6.0)]


def test_timers_stand_still_while_nothing_can_be_told() -> None:
    assert told(rule(for_s=3.0), at(81, 81, None, None, None, None, 81, 81, 81)) == [(RAISED, 7.0 + 0.0)]
    lost = Observation(at_s=2.0, wall_s=0.0, fault=Fault(kind=FaultKind.TIMEOUT, message="silent"))
    assert told(rule(), [*at(81), lost, hot(3.0, 81)]) == [(RAISED, 0.0)]


def test_a_latched_alert_stays_until_it_is_acknowledged() -> None:
    alerts = Alerts([rule(latch=True)])
    for seen in at(81, 70):
        alerts.see(seen)
    assert [one.phase.value for one in alerts.shown] == ["latched"]
    assert alerts.unacknowledged == 1
    (event,) = alerts.acknowledge(("hot", "GPU-0"))
    assert (event.kind, alerts.shown) == (CLEARED, ())


def test_an_acknowledged_alert_that_still_holds_stays_and_counts_no_more() -> None:
    alerts = Alerts([rule()])
    alerts.see(hot(0, 81))
    assert alerts.acknowledge() == ()
    assert (len(alerts.shown), alerts.unacknowledged) == (1, 0)
    alerts.see(hot(1, 70))
    alerts.see(hot(2, 81))
    assert alerts.unacknowledged == 1, "a new one is unseen"


def test_other_rules_clear_what_the_old_ones_raised_and_keep_what_stays() -> None:
    stays, goes = rule(), rule(name="gone", above=70.0, clear=60.0)
    alerts = Alerts([stays, goes])
    alerts.see(hot(0, 81))
    assert [(e.kind, e.alert) for e in alerts.reload([stays])] == [(CLEARED, "gone")]
    assert [one.rule.name for one in alerts.shown] == ["hot"]
    assert alerts.see(hot(1, 82)) == ()


def machine(at_s: float = 0.0, **fields: object) -> Observation:
    service = ServiceSeen(name="ollama", role=Role.PERSISTENT, used_bytes=1000 * MIB, who=frozenset({(7, 1.0)}))
    usual: dict[str, object] = {
        "key": "GPU-0",
        "index": 0,
        "name": "GPU",
        "services": (service,),
        "used_bytes": 9000 * MIB,
    }
    gpu = GpuSeen(**(usual | fields))  # type: ignore[arg-type]
    return Observation(at_s=at_s, wall_s=at_s, gpus=(gpu,))


def holding(mib: float | None, pid: int = 7) -> tuple[ServiceSeen, ...]:
    who: frozenset[tuple[int, float | None]] = frozenset({(pid, 1.0)}) if mib != 0 else frozenset()
    used = None if mib is None else round(mib * MIB)
    return (ServiceSeen(name="ollama", role=Role.PERSISTENT, used_bytes=used, who=who),)


def raised(one: Rule, *stream: Observation) -> list[Event]:
    alerts = Alerts([one])
    return [event for seen in stream for event in alerts.see(seen)]


def test_service_gone() -> None:
    gone = Rule(name="ollama down", when=When.SERVICE_GONE, service="ollama", for_s=5.0)
    assert raised(gone, machine()) == []
    (event,) = raised(gone, machine(0), machine(1, services=()), machine(7, services=()))
    assert (event.kind, event.at_s, event.service) == (RAISED, 6.0, "ollama")
    assert raised(gone, machine(0), machine(1, services=None), machine(9, services=None)) == [], "not seen is not gone"


def test_plan_invalid() -> None:
    bad = Rule(name="plan", when=When.PLAN_INVALID)
    (event,) = raised(bad, machine(status=Status.VALID), machine(1, status=Status.INVALID, reason="no room"))
    assert event.words == "plan: the plan no longer holds: no room (GPU 0)."
    assert raised(bad, machine(status=Status.UNKNOWN), machine(1)) == []


def test_memory_above_of_a_service_and_of_the_gpu() -> None:
    whole = Rule(name="full", when=When.MEMORY_ABOVE, above=8999, clear=8000)
    assert [e.words for e in raised(whole, machine())] == ["full: GPU 0 holds 9000 MiB, above 8999 MiB (GPU 0)."]
    one = Rule(name="big", when=When.MEMORY_ABOVE, service="ollama", above=1500, clear=1200)
    kinds = []
    alerts = Alerts([one])
    for n, mib in enumerate((1000, 1600, None, 1300, 1200)):
        kinds += [e.kind for e in alerts.see(machine(n, services=holding(mib)))]
    assert kinds == [RAISED, CLEARED]
    assert raised(replace(one, gpu="1"), machine(services=holding(9000))) == []
    assert len(raised(replace(one, gpu="0"), machine(services=holding(9000)))) == 1


def test_growth_is_told_over_its_window_and_a_start_is_none() -> None:
    grows = Rule(name="leak", when=When.GROWTH, service="ollama", above=300, clear=100, window_s=10)
    slow = [machine(n, services=holding(1000 + 20 * n)) for n in range(60)]
    assert raised(grows, *slow) == [], "200 MiB in any 10 s"
    fast = [machine(n, services=holding(1000 + 40 * n)) for n in range(20)]
    assert [e.at_s for e in raised(grows, *fast)] == [8.0]
    assert raised(grows, machine(0, services=holding(0)), machine(1, services=holding(6000))) == []


@given(
    samples=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 50)), min_size=1, max_size=80),
    window=st.integers(1, 40),
)
def test_growth_is_the_rise_over_the_least_that_was_held_in_the_window(
    samples: list[tuple[int, int]], window: int
) -> None:
    growth, now, history = Growth(window), 0, []
    for gap, value in samples:
        now += gap
        if history:
            history[-1] = (history[-1][0], now)
        history.append((value, now))
        least = min(held for held, until in history if until >= now - window)
        assert growth.add(now, value) == value - least


def test_growth_is_bounded() -> None:
    growth = Growth(1e9)
    for n in range(20_000):
        assert growth.add(n, n) == n
    assert len(growth._held) <= Growth.MOST


def test_kv_cache_full_and_a_server_that_has_gone() -> None:
    full = Rule(name="kv", when=When.KV_CACHE_FULL, above=95, clear=90)
    judge = (ServiceSeen(name="judge", role=Role.RESTARTS, used_bytes=1, who=frozenset({(1, 1.0)})),)
    stream = [machine(0, services=judge, kv_usage=0.97), machine(1, services=judge), machine(2, services=())]
    assert [(e.kind, e.at_s) for e in raised(full, *stream)] == [(RAISED, 0.0), (CLEARED, 2.0)]


def test_latency() -> None:
    slow = Rule(name="slow", when=When.LATENCY, figure="stt", above=500, clear=450)
    runs: list[dict[str, float]] = [{}, {"stt": 520.0}, {}, {"llm": 9.0, "stt": 440.0}]
    stream = [replace(machine(n), latency_ms=figures) for n, figures in enumerate(runs)]
    assert [(e.kind, e.words) for e in raised(slow, *stream)] == [
        (RAISED, "slow: the p95 of stt is 520 ms, above 500 ms."),
        (CLEARED, "slow: over: the p95 of stt is 520 ms, above 500 ms."),
    ]


def test_telemetry_lost() -> None:
    lost = Rule(name="blind", when=When.TELEMETRY_LOST)
    silent = Observation(at_s=1, wall_s=1, fault=Fault(kind=FaultKind.TIMEOUT, message="The driver is silent."))
    assert [e.kind for e in raised(lost, machine(), silent, machine(2))] == [RAISED, CLEARED]
