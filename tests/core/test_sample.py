"""The prediction against the shipped sample of real starts: floors under what `bench_predict` prints.

The figures are the sample's own and cannot flap: nothing is timed. A change of a constant that makes the prediction
worse shows here; one that makes it better may raise a floor.
"""

from __future__ import annotations

from statistics import median

import pytest

from tests.benchmarks import bench_predict


def errors(level: str) -> list[float]:
    return [abs(found - true) / max(abs(true), 0.5) for _, found, true, _ in bench_predict.cache_errors(level)]


@pytest.mark.parametrize("level", ["all terms", "weights only", "weights only" + bench_predict.UNTOLD])
def test_outcomes_are_right_where_total_utilization_weights_and_length_are_known(level: str) -> None:
    table, misses = bench_predict.outcomes(level, only_known=True)
    judged = {pair: n for pair, n in table.items() if pair[1] != "cannot judge"}
    assert sum(judged.values()) == sum(table.values()) >= 13, "a start with all that is known was not judged"
    right = sum(n for (truth, predicted), n in judged.items() if truth == predicted)
    assert right / sum(judged.values()) >= 0.97, misses


def test_the_cache_is_exact_where_every_term_is_told() -> None:
    found = errors("all terms")
    assert len(found) >= 10
    assert median(found) <= 0.005


@pytest.mark.parametrize("untold", ["", bench_predict.UNTOLD])
def test_the_cache_is_near_where_only_the_weights_are_told(untold: str) -> None:
    found = errors("weights only" + untold)
    assert len(found) >= 20
    assert median(found) <= 0.05


def test_a_start_that_cannot_have_had_the_free_memory_is_told() -> None:
    table, _ = bench_predict.outcomes("weights only", only_known=False)
    assert table["not_enough_free", "not_enough_free"] == 7
    assert not [pair for pair in table if pair[0] == "not_enough_free" and pair[1] != "not_enough_free"]
    assert table["started", "not_enough_free"] == 0


def test_tokens_follow_from_the_bytes_of_the_cache() -> None:
    found = [abs(error) for _, error in bench_predict.token_errors()]
    assert len(found) >= 30
    assert median(found) <= 0.01
    assert sum(error <= 0.01 for error in found) / len(found) >= 0.75


@pytest.mark.parametrize("level", ["all terms", "weights only", "weights only" + bench_predict.UNTOLD])
def test_nine_of_ten_truths_lie_inside_the_band(level: str) -> None:
    rows = bench_predict.caches(level)
    assert sum(one.inside for one in rows) / len(rows) >= 0.9
    for families in (False, True):
        assert bench_predict.left_out(rows, families=families) / len(rows) >= 0.9


def test_the_band_is_not_made_useless() -> None:
    widths = {
        level: median(one.high - one.low for one in bench_predict.caches(level)) for level in bench_predict.LEVELS
    }
    assert widths["all terms"] < 0.05
    assert widths["weights only"] < 2.5
    assert widths["config only"] < 2.5


def test_a_hybrid_models_band_covers_both_ways_of_keeping_states() -> None:
    without_prefix_caching = {"v106", "v130"}
    seen = set()
    for start in bench_predict.starts():
        if start.row["id"] not in without_prefix_caching:
            continue
        raw = start.raw("config only")
        raw["vllm"]["kv_cache_memory_bytes"] = round(start.row["truth"]["kv_gib"] * 2**30)
        raw["model"]["weights_mib"] = 1
        band = bench_predict.judged(raw).prediction.kv_tokens_band
        assert band is not None
        low, high = band
        assert low < high
        assert abs(high / start.row["truth"]["kv_tokens"] - 1) < 0.002
        seen.add(start.row["id"])
    assert seen == without_prefix_caching


def test_the_tokens_band_allows_for_a_cache_copied_from_a_log() -> None:
    rows = bench_predict.token_bands()
    assert len(rows) >= 30
    assert sum(low <= true <= high for _, low, high, true in rows) / len(rows) >= 0.9
    raw = one("v005").raw("weights only")
    raw["gpu"]["free_mib"] = 24_000
    raw["vllm"]["kv_cache_memory_bytes"] = 4 << 30
    pinned = bench_predict.judged(raw).prediction
    assert pinned.kv_tokens_band == (pinned.kv_tokens, pinned.kv_tokens), "a machine that is looked at tells it exactly"


def one(id_: str) -> bench_predict.Start:
    return next(start for start in bench_predict.starts() if start.row["id"] == id_)


def test_a_share_copied_from_a_log_of_v0_is_rounded() -> None:
    # v227: 0.776, printed as 0.78.
    found = {cache.id: cache for cache in bench_predict.caches("all terms")}["v227"]
    assert found.inside
    assert 0.2 < found.high - found.low < 0.3
    raw = one("v227").raw("all terms")
    raw["vllm"]["gpu_memory_utilization"] = 0.75
    band = bench_predict.judged(raw).prediction.kv_cache_band
    assert band is not None
    assert band[1] - band[0] < 0.06 * 2**30, "0.75 is as people type it"


def test_a_hybrid_models_tokens_hold_both_ways_of_counting_where_no_release_is_told() -> None:
    raw = one("v214").raw("weights only")
    raw["vllm"]["kv_cache_memory_bytes"] = round(24.05 * 2**30)
    untold = bench_predict.judged(raw).prediction
    raw["vllm"]["version"] = "0.19.1"
    older = bench_predict.judged(raw).prediction
    assert untold.kv_tokens_band is not None
    assert untold.kv_tokens is not None
    assert older.kv_tokens is not None
    assert untold.kv_tokens_band[0] <= older.kv_tokens < untold.kv_tokens / 3
