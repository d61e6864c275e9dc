"""What the GPU did during a run: samples within it, figures of its phases, nothing invented."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.bench.machine_series import MachineSeries, machine_series
from gpu_tui.core.machine_series import MachineSample, phase_figures, sample_of, thinned, within
from gpu_tui.core.services import DEFAULT_RULES, Classifier
from gpu_tui.units import mib_to_bytes
from tests.factories import KLOROS

RULES = Classifier(DEFAULT_RULES)

samples = st.lists(
    st.builds(
        MachineSample,
        at_s=st.floats(0, 100),
        used_bytes=st.one_of(st.none(), st.integers(0, 2**40)),
        utilization_pct=st.one_of(st.none(), st.integers(0, 100)),
    ),
    max_size=40,
).map(lambda made: sorted(made, key=lambda one: one.at_s))
windows = st.tuples(st.floats(0, 100), st.floats(0, 100)).map(lambda pair: (min(pair), max(pair)))


@given(samples, st.dictionaries(st.sampled_from(["stt_alone", "llm_alone", "together"]), windows))
def test_figures_of_a_phase_are_those_of_its_samples(
    made: list[MachineSample], phases: dict[str, tuple[float, float]]
) -> None:
    told = phase_figures(made, phases)
    assert {one.name for one in told} == set(phases)
    for one in told:
        inside = [s for s in made if one.begin_s <= s.at_s <= one.end_s]
        used = {s.used_bytes for s in inside} - {None}
        busy = [s.utilization_pct for s in inside if s.utilization_pct is not None]
        assert one.n == len(inside)
        assert {one.used_min_bytes, one.used_max_bytes} <= (used or {None})
        assert (one.utilization_mean_pct is None) == (one.utilization_max_pct is None) == (not busy)
        if busy:
            assert min(busy) <= (one.utilization_mean_pct or 0) <= max(busy) == one.utilization_max_pct


@given(st.lists(st.integers(), max_size=300), st.integers(1, 50))
def test_thinning_keeps_first_and_last_and_adds_nothing(stamps: list[int], most: int) -> None:
    made = [MachineSample(at_s=float(i)) for i in range(len(stamps))]
    kept = thinned(made, most)
    assert len(kept) == min(most, len(made))
    assert [one.at_s for one in kept] == sorted({one.at_s for one in kept})
    if made and most > 1:
        assert (kept[0], kept[-1]) == (made[0], made[-1])


def series(made: list[MachineSample], **fields: object) -> MachineSeries | None:
    told: dict[str, object] = {
        "began": 100.0,
        "lasted_s": 10.0,
        "phases": {},
        "gpu": "GPU-0",
        "source": "nvml",
        "simulated": False,
        "interval_s": 1.0,
        "total_bytes": None,
    }
    return machine_series(made, **(told | fields))  # type: ignore[arg-type]


def test_only_what_was_seen_during_the_run_is_its_own() -> None:
    made = [
        MachineSample(at_s=at, used_bytes=mib_to_bytes(at), utilization_pct=50) for at in (99.0, 100.0, 110.0, 111.0)
    ]
    assert [one.at_s for one in within(made, 100.0, 10.0)] == [0.0, 10.0]
    told = series(made)
    assert told is not None
    assert (told.at_s, told.used_mib, told.total_mib) == ([0.0, 10.0], [100.0, 110.0], None)
    (phase,) = told.phases
    assert (phase.name, phase.n, phase.used_mib_min, phase.used_mib_max) == ("run", 2, 100.0, 110.0)
    assert series([made[0]]) is None


def test_unknown_stays_unknown() -> None:
    told = series([MachineSample(at_s=105.0)], phases={"together": (4.0, 6.0), "stt_alone": (0.0, 1.0)})
    assert told is not None
    assert (told.used_mib, told.utilization_pct, told.services_mib) == ([None], [None], {})
    assert [(p.name, p.n, p.used_mib_max, p.utilization_pct_mean) for p in told.phases] == [
        ("stt_alone", 0, None, None),
        ("together", 1, None, None),
    ]


def test_a_service_that_starts_meanwhile_is_unknown_before() -> None:
    first = MachineSample(at_s=101.0, services={"judge": mib_to_bytes(10)})
    second = MachineSample(at_s=102.0, services={"judge": mib_to_bytes(10), "ollama": mib_to_bytes(5)})
    told = series([first, second])
    assert told is not None
    assert told.services_mib == {"judge": [10.0, 10.0], "ollama": [None, 5.0]}


def test_a_snapshot_as_a_sample() -> None:
    gpu = KLOROS.gpus[0]
    sample = sample_of(KLOROS, gpu.key, RULES)
    assert (sample.at_s, sample.used_bytes, sample.utilization_pct) == (
        KLOROS.taken_monotonic,
        gpu.used_bytes,
        gpu.utilization_pct,
    )
    assert sample.services["judge"] == mib_to_bytes(6134)
    assert sample_of(KLOROS, "GPU-gone", RULES) == MachineSample(at_s=KLOROS.taken_monotonic)
