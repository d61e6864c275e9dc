"""Peaks, and plans judged against them. The laws: a peak is never below now, and the worst case never permits more."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.against import Against, at_levels, growers, levels, tenants
from gpu_tui.core.books import Books, keep_books
from gpu_tui.core.checks import ModelNeed, evaluate, feasible_range
from gpu_tui.core.origins import OriginKind
from gpu_tui.core.peaks import (
    MOST_INSTANTS,
    MOST_SERIES,
    WINDOW_S,
    Instant,
    PeakKeeper,
    Peaks,
    Seen,
    merged,
    with_instant,
)
from gpu_tui.core.services import Classifier
from gpu_tui.core.what_if import WhatIf, with_roles
from gpu_tui.units import MIB
from tests.factories import (
    KLOROS_HOLDS,
    books_of,
    gpu,
    info,
    kloros,
    kloros_infos,
    machines,
    need,
    needs,
    snapshot,
    utilizations,
)

OLLAMA, KLOROS_PID, JUDGE, XORG = 2387058, 2816503, 2839331, 1893


def holding(**mib: float) -> Books:
    """The known machine with other sizes: ollama=…, kloros=…, judge=…, xorg=…; 0 is not there at all."""
    pids = {"ollama": OLLAMA, "kloros": KLOROS_PID, "judge": JUDGE, "xorg": XORG}
    holds = KLOROS_HOLDS | {pids[name]: size for name, size in mib.items()}
    return books_of(kloros(holds={pid: size for pid, size in holds.items() if size}))


def kept(*books: Books, step_s: float = 1.0) -> Peaks:
    keeper = PeakKeeper()
    for number, one in enumerate(books):
        keeper.add(1000.0 + number * step_s, one)
    return keeper.peaks()


def judged(books: Books, peaks: Peaks, against: Against, if_loaded: Mapping[str, int] | None = None) -> Books:
    return at_levels(books, levels(books, peaks, against, if_loaded))


def test_now_window_and_start() -> None:
    keeper = PeakKeeper(window_s=10)
    for at, size in ((0, 500), (1, 5200), (2, 1068)):
        keeper.add(at, holding(ollama=size))
    assert keeper.peaks().window["ollama"] == 5200 * MIB
    keeper.add(20, holding(ollama=900))
    peaks = keeper.peaks()
    assert peaks.alone["ollama"] == Seen(size=5200 * MIB, at=1)
    assert peaks.window["ollama"] == 900 * MIB
    assert (peaks.since, peaks.until) == (0, 20)


def test_the_restarting_vllm_is_remembered_by_its_port() -> None:
    assert kept(holding()).alone["vllm:8001"].size == 6134 * MIB


def test_a_model_that_was_unloaded_comes_back_in_the_worst_case() -> None:
    now = holding(ollama=0)
    peaks = kept(holding(ollama=5200), now)
    assert judged(now, peaks, Against.NOW) == now
    worst = judged(now, peaks, Against.WORST)
    ollama = worst.service("ollama")
    assert ollama is not None
    assert ollama.used_bytes == 5200 * MIB
    assert worst.free_bytes == (now.free_bytes or 0) - 5200 * MIB
    assert evaluate(0.5, now, need()).valid is True
    assert evaluate(0.5, worst, need()).valid is False
    (grower,) = growers(levels(now, peaks, Against.WORST))
    assert (grower.name, grower.growth_bytes, grower.origin.kind) == ("ollama", 5200 * MIB, OriginKind.MEASURED)


def test_together_is_what_happened_at_one_instant_worst_is_all_at_once() -> None:
    now = holding(ollama=1000, kloros=1000)
    peaks = kept(holding(ollama=3000, kloros=900), holding(ollama=1000, kloros=2000), now)

    def grown(against: Against) -> int:
        return (now.free_bytes or 0) - (judged(now, peaks, against).free_bytes or 0)

    assert grown(Against.PEAKS) == 1900 * MIB  # 3000 + 900 at the first instant
    assert grown(Against.WORST) == 3000 * MIB


def test_the_user_and_ollama_itself_tell_what_a_model_takes() -> None:
    keeper = PeakKeeper()
    now = holding(ollama=300)
    keeper.add(5, now)
    keeper.report("ollama", 4000 * MIB, 5)
    keeper.report("ollama", 3000 * MIB, 6)
    (by_report,) = growers(levels(now, keeper.peaks(), Against.WORST))
    assert (by_report.level_bytes, by_report.origin.kind) == (4000 * MIB, OriginKind.DERIVED)
    (by_user,) = growers(levels(now, keeper.peaks(), Against.WORST, {"ollama": 5000 * MIB}))
    assert (by_user.level_bytes, by_user.origin.kind) == (5000 * MIB, OriginKind.ASSUMED)
    assert growers(levels(now, keeper.peaks(), Against.PEAKS, {"ollama": 5000 * MIB})) == ()


def test_what_is_stopped_stays_away_and_what_restarts_comes_back() -> None:
    books = holding(ollama=1000)
    peaks = kept(holding(ollama=4000), books)
    stopped = with_roles(books, {"ollama": WhatIf.STOPPED})
    assert judged(stopped, peaks, Against.WORST).available_bytes == (books.available_bytes or 0) + 1000 * MIB
    back = with_roles(books, {"ollama": WhatIf.RESTARTS})
    assert back.available_bytes == (books.available_bytes or 0) + 1000 * MIB
    assert judged(back, peaks, Against.WORST).available_bytes == (books.available_bytes or 0) - 3000 * MIB


def test_headroom_is_suggested_by_what_no_service_explains() -> None:
    def seen(at: float, unattributed: float, ollama: float) -> tuple[float, Books]:
        return at, books_of(kloros(holds=KLOROS_HOLDS | {OLLAMA: ollama}, unattributed=unattributed))

    keeper = PeakKeeper()
    for at, extra, ollama in ((0, 0, 100), (20, 37, 3000), (40, 5, 100)):
        keeper.add(*seen(at, extra, ollama))
    assert keeper.peaks().suggested_headroom_bytes is None
    keeper.add(*seen(60, 0, 100))
    assert keeper.peaks().jitter_bytes == 37 * MIB
    assert keeper.peaks().suggested_headroom_bytes == 48 * MIB


def test_a_clock_that_goes_back_empties_the_window_alone() -> None:
    keeper = PeakKeeper()
    keeper.add(1000, holding(ollama=5000))
    keeper.add(10, holding(ollama=100))
    peaks = keeper.peaks()
    assert peaks.window["ollama"] == 100 * MIB
    assert peaks.alone["ollama"].size == 5000 * MIB


def test_unknown_memory_raises_nothing_and_stays_unknown() -> None:
    books = books_of(kloros(holds={OLLAMA: None, JUDGE: 6134}, free=3000))
    peaks = kept(holding(ollama=5000))
    worst = judged(books, peaks, Against.WORST)
    ollama = worst.service("ollama")
    assert ollama is not None
    assert ollama.used_bytes is None
    assert worst.persistent_bytes is None


# --- laws -----------------------------------------------------------------------------------------------------------

readings = st.lists(
    st.fixed_dictionaries({name: st.integers(0, 3000) for name in ("ollama", "kloros", "xorg")}),
    min_size=1,
    max_size=60,
)


@given(readings)
def test_law_a_peak_is_never_below_now(sizes: list[dict[str, int]]) -> None:
    books = [holding(**one) for one in sizes]
    peaks = kept(*books)
    for service in tenants(books[-1]):
        held = service.used_bytes or 0
        if held:
            assert peaks.alone[service.name].size >= peaks.window[service.name] >= held


@given(readings, utilizations, needs, st.dictionaries(st.sampled_from(["ollama", "kloros"]), st.integers(0, 2**33)))
def test_law_now_permits_what_peaks_do_and_peaks_what_the_worst_does(
    sizes: list[dict[str, int]], u: float, wanted: ModelNeed, if_loaded: dict[str, int]
) -> None:
    books = [holding(**one) for one in sizes]
    peaks = kept(*books)
    views = [judged(books[-1], peaks, against, if_loaded) for against in Against]
    free = [view.available_bytes for view in views]
    assert free == sorted(free, key=lambda size: -(size or 0))
    verdicts = [evaluate(u, view, wanted).valid for view in views]
    assert verdicts == sorted(verdicts, reverse=True)
    ranges = [feasible_range(view, wanted) for view in views]
    for wide, narrow in pairwise(ranges):
        if narrow is not None:
            assert wide is not None
            assert wide.min_steps <= narrow.min_steps <= narrow.max_steps <= wide.max_steps


@given(readings)
def test_law_together_is_the_fullest_instant_of_all(sizes: list[dict[str, int]]) -> None:
    """Brute force over every reading, as long as none had to be joined."""
    books = [holding(**one) for one in sizes]
    peaks = kept(*books)
    joined = len(peaks.together) >= MOST_INSTANTS
    for names in (("ollama",), ("ollama", "kloros"), ("ollama", "kloros", "xorg")):
        true = max(sum(one[name] for name in names) for one in sizes) * MIB
        series = {"xorg": "other"}
        found = max(sum(i.held.get(series.get(n, n), 0) for n in names) for i in peaks.together)
        assert found >= true if joined else found == true


@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 50)), max_size=120))
def test_law_instants_are_few_and_cover_every_one_seen(held: list[dict[str, int]]) -> None:
    together: tuple[Instant, ...] = ()
    for at, one in enumerate(held):
        together = with_instant(together, Instant(at=at, held=one))
    assert len(together) <= MOST_INSTANTS
    for one in held:
        assert not one or any(all(i.held.get(n, 0) >= size for n, size in one.items()) for i in together)


@given(machines(), machines())
def test_law_books_at_levels_balance(seen: object, before: object) -> None:
    now, then = (keep_books(one, one.gpus[0], Classifier()) for one in (seen, before))  # type: ignore[attr-defined]
    peaks = kept(then, now)
    for against in Against:
        view = judged(now, peaks, against)
        assert view.unattributed_bytes == now.unattributed_bytes
        if now.total_bytes is not None and view.used_bytes is not None and view.free_bytes is not None:
            assert view.used_bytes + view.free_bytes + (view.reserved_bytes or 0) == now.total_bytes


@given(readings, readings)
def test_law_two_watchers_know_what_both_saw(first: list[dict[str, int]], second: list[dict[str, int]]) -> None:
    a, b = (kept(*(holding(**one) for one in sizes)) for sizes in (first, second))
    both = merged(a, b)
    for name in {*a.alone, *b.alone}:
        assert both.alone[name].size == max(p.alone[name].size for p in (a, b) if name in p.alone)
    assert merged(both, Peaks()).alone == both.alone


def test_a_day_of_churn_stays_small() -> None:
    keeper = PeakKeeper()
    device = gpu({OLLAMA: 1000}, total=81559)
    for second in range(0, 86_400, 60):
        holds = {OLLAMA: 1000 + second * 7919 % 3000, KLOROS_PID: 900 + second * 104_729 % 2000}
        keeper.add(second, books_of(snapshot(gpu(holds, total=81559), kloros_infos())))
    peaks = keeper.peaks()
    assert len(peaks.together) <= MOST_INSTANTS
    assert len(peaks.alone) == 2
    assert peaks.until == pytest.approx(86_340)
    assert device.total_bytes
    assert WINDOW_S == 300


def test_series_that_come_and_go_are_bounded_and_who_is_here_stays() -> None:
    keeper = PeakKeeper()
    for number in range(4 * MOST_SERIES):
        seen = snapshot(
            gpu({1: 300 if number == 0 else 200, 2: 100}),
            [info(1, "ollama"), info(2, "vllm", f"vllm serve m --port {20000 + number}")],
        )
        keeper.add(float(number), books_of(seen))
    peaks = keeper.peaks()
    assert len(peaks.alone) == MOST_SERIES
    assert peaks.alone["ollama"] == Seen(size=300 * MIB, at=0)
    assert len({name for one in peaks.together for name in one.held}) <= MOST_SERIES
    assert f"vllm:{20000 + 4 * MOST_SERIES - 1}" in peaks.alone
