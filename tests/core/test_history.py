"""The bounded history: nothing invented, peaks kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.history import History

samples = st.lists(st.tuples(st.floats(0, 10), st.one_of(st.none(), st.integers(0, 1000))), min_size=1, max_size=60)


def filled(steps: list[tuple[float, int | None]], keep_s: float = 100.0, limit: int = 4096) -> History:
    history, at = History(keep_s=keep_s, limit=limit), 0.0
    for step, value in steps:
        at += step
        history.add(at, {"a": value})
    return history


@given(samples, st.integers(1, 200))
def test_only_what_was_seen_is_shown(steps: list[tuple[float, int | None]], points: int) -> None:
    history = filled(steps)
    shown = history.resample("a", points)
    assert len(shown) == points
    seen = {value for _, value in steps if value is not None}
    assert {value for value in shown if value is not None} <= seen
    assert history.resample("b", points) == [None] * points


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50))
def test_the_peak_is_kept_when_samples_share_a_point(values: list[int]) -> None:
    history = filled([(1.0, value) for value in values])
    assert max(v for v in history.resample("a", 7) if v is not None) == max(values)


def test_the_oldest_are_forgotten() -> None:
    history = filled([(1.0, i) for i in range(500)])
    assert len(history) == 101
    assert len(filled([(0.001, 1)] * 100, limit=10)) == 10


def test_a_clock_that_is_set_back_starts_anew() -> None:
    history = filled([(5.0, 1)] * 10)
    history.add(1.0, {"a": 2})
    assert len(history) == 1


def test_a_gap_is_a_gap() -> None:
    history = History(keep_s=100)
    for at in range(100):
        history.add(float(at), {"a": None if 40 <= at < 70 else 5})
    shown = history.resample("a", 100)
    assert shown.count(None) >= 25
    assert shown.count(5) >= 60


def test_the_picture_stands_still_until_a_point_is_full() -> None:
    history = History(keep_s=100)
    for at in range(40):
        history.add(at / 10, {"a": 5})
    before = history.resample("a", 10)
    history.add(4.5, {"a": 5})
    assert history.resample("a", 10) == before


def test_names_are_those_of_the_newest_sample_first() -> None:
    history = History()
    history.add(0, {"old": 1, "both": 1})
    history.add(1, {"both": 2, "new": 2})
    assert history.names() == ["both", "new", "old"]
    assert History().resample("a", 3) == [None, None, None]
