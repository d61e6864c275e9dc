"""vLLM's own word of its KV cache on /metrics, of every version."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.cache_info import CacheInfo, EngineCache, SleepState, parse_cache_config

DATA = Path(__file__).parent / "data" / "metrics"


def read(name: str) -> CacheInfo:
    return parse_cache_config((DATA / f"{name}.txt").read_text(encoding="utf-8"))


def test_a_page_of_0_32() -> None:
    assert read("v1_0.32").engines == (
        EngineCache(
            engine="0",
            model="smollm2-135m",
            block_size=128,
            effective_attention_block_size=128,
            num_gpu_blocks=364,
            gpu_memory_utilization=0.92,
            cache_dtype="auto",
            kv_cache_memory_bytes=2**30,
            kv_cache_size_tokens=46592,
            kv_cache_max_concurrency=22.75,
            enable_prefix_caching=True,
            is_attention_free=False,
            mamba_cache_dtype="auto",
            mamba_ssm_cache_dtype="float32",
            mamba_cache_mode="none",
            kv_usage=0.0,
            running=0,
            waiting=0,
            preemptions=0,
            sleep=SleepState.AWAKE,
        ),
    )
    (engine,) = read("v1_0.32").engines
    assert engine.block_tokens == engine.kv_cache_size_tokens


def test_a_page_of_v0_has_the_old_names_and_no_engine_label() -> None:
    (engine,) = (one for one in read("v0_0.8").engines)
    assert (engine.engine, engine.kv_usage, engine.swapped, engine.preemptions) == ("", 0.25, 0, 3)
    assert (engine.num_gpu_blocks, engine.num_cpu_blocks, engine.num_gpu_blocks_override) == (573, 1024, 573)
    assert (engine.block_tokens, engine.kv_cache_size_tokens, engine.kv_cache_memory_bytes) == (9168, None, None)
    assert (engine.gpu_memory_utilization, engine.cpu_offload_gb, engine.sleep) == (0.82, 0.0, None)


def test_engines_stand_apart_and_the_smallest_counts() -> None:
    info = read("v1_dp2")
    first, second = info.engines
    assert (first.running, second.running, first.kv_usage, second.kv_usage) == (4, 5, None, 0.5)
    assert (first.sleep, second.sleep) == (SleepState.WEIGHTS_OFFLOADED, None)
    assert (first.sliding_window, second.sliding_window) == (None, 4096)
    assert info.smallest is second


def test_an_engine_told_in_two_ways_is_unknown_there() -> None:
    page = (DATA / "v1_dp2.txt").read_text(encoding="utf-8")
    first = parse_cache_config(page + page.replace('"3532"', '"1"')).engines[0]
    assert (first.num_gpu_blocks, first.block_size, first.running) == (None, 16, 4)


@pytest.mark.parametrize(
    ("label", "field"),
    [
        ('block_size="sixteen"', "block_size"),
        ('block_size="-16"', "block_size"),
        ('block_size="' + "9" * 40 + '"', "block_size"),
        ('gpu_memory_utilization="90"', "gpu_memory_utilization"),
        ('gpu_memory_utilization="nan"', "gpu_memory_utilization"),
        ('enable_prefix_caching="maybe"', "enable_prefix_caching"),
        ('cache_dtype="\\n\\n"', "cache_dtype"),
        ('kv_cache_max_concurrency="inf"', "kv_cache_max_concurrency"),
    ],
)
def test_a_label_that_means_nothing_is_unknown(label: str, field: str) -> None:
    (engine,) = parse_cache_config(f'vllm:cache_config_info{{{label},engine="0"}} 1.0\n').engines
    assert getattr(engine, field) is None


def test_labels_with_commas_braces_and_quotes_in_them() -> None:
    page = 'vllm:num_requests_running{engine="0",model_name="a\\"},b=\\"c"} 2.0\r\n'
    assert parse_cache_config(page).engines == (EngineCache(engine="0", model='a"},b="c', running=2),)


@pytest.mark.parametrize(
    "page", ["", "<html>vllm:num_requests_running 3</html>", "\x00", "vllm:num_requests_running x"]
)
def test_another_page_has_no_engine(page: str) -> None:
    assert parse_cache_config(page) == CacheInfo()
    assert CacheInfo().smallest is None


def test_a_share_above_one_is_unknown() -> None:
    assert parse_cache_config("vllm:kv_cache_usage_perc 37.5\n").engines == (EngineCache(),)


PAGES = [path.read_text(encoding="utf-8") for path in sorted(DATA.glob("*.txt"))]


@given(
    st.one_of(st.text(), st.sampled_from(PAGES).flatmap(lambda page: st.integers(0, len(page)).map(lambda n: page[:n])))
)
def test_arbitrary_and_cut_pages_never_raise(page: str) -> None:
    assert all(one.running is None or one.running >= 0 for one in parse_cache_config(page).engines)


@pytest.mark.timeout(5)
def test_a_hostile_page_is_read_in_no_time() -> None:
    labels = 'a="' + "\\" * 60_000
    page = "\n".join(f"vllm:cache_config_info{{{labels}}} 1.0" for _ in range(20))
    assert parse_cache_config(page + "vllm:num_requests_running{" * 50_000).engines == ()
