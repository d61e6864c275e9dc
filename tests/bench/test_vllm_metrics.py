from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.bench.vllm_metrics import BLOCKS, TOLD, KvCache, VllmMetrics, parse

PAGE = b"""\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a}b 7"} 2.0
vllm:num_requests_running{engine="1",model_name="m"} 1.0
vllm:num_requests_waiting{engine="0",model_name="m"} 9.0
vllm:cache_config_info{block_size="16",gpu_memory_utilization="0.5",engine="0"} 1.0
vllm:request_queue_time_seconds_bucket{engine="0",le="0.3",model_name="m"} 4.0
vllm:request_queue_time_seconds_count{engine="0",model_name="m"} 4.0
vllm:request_queue_time_seconds_sum{engine="0",model_name="m"} 0.25
vllm:request_queue_time_seconds_sum{engine="1",model_name="m"} 7.5e-1
vllm:request_queue_time_seconds_created{engine="0",model_name="m"} 1.79e+09
"""


def test_what_the_page_says() -> None:
    assert parse(PAGE) == VllmMetrics(utilization=0.5, running=3, queue_sum_s=1.0, queue_count=4)
    assert parse(PAGE.replace(b"\n", b"\r\n")).running == 3


@pytest.mark.parametrize(
    "page", [b"", b"<html>vllm:num_requests_running 3</html>", b"\xff\0", b"vllm:num_requests_running x"]
)
def test_another_page_says_nothing(page: bytes) -> None:
    assert parse(page) == VllmMetrics()
    assert not parse(page).vllm


@pytest.mark.parametrize("value", [b"-1.0", b"1e999", b"e", b"..", b"+-"])
def test_a_count_that_is_none_is_unknown(value: bytes) -> None:
    page = b"vllm:num_requests_running 4.0\nvllm:num_requests_running " + value + b"\n"
    assert parse(page).running is None


def test_engines_that_differ_have_no_one_utilization() -> None:
    other = PAGE + b'vllm:cache_config_info{gpu_memory_utilization="0.6"} 1.0\n'
    assert parse(other).utilization is None


def test_the_queue_over_a_run_is_a_difference() -> None:
    before = VllmMetrics(queue_sum_s=1.0, queue_count=10)
    assert VllmMetrics(queue_sum_s=1.5, queue_count=15).queued_since(before) == (0.1, 5)
    for after in (
        VllmMetrics(queue_sum_s=1.0, queue_count=10),
        VllmMetrics(queue_sum_s=0.5, queue_count=3),
        VllmMetrics(queue_sum_s=0.5, queue_count=12),
        VllmMetrics(),
    ):
        assert after.queued_since(before) is None
    assert before.queued_since(VllmMetrics()) is None


def cache(*engines: str) -> KvCache | None:
    return parse("".join(f"vllm:cache_config_info{{{labels}}} 1.0\n" for labels in engines).encode()).kv_cache


def test_a_real_page_of_vllm_0_32() -> None:
    page = Path(__file__).with_name("data").joinpath("vllm-0.32-metrics.txt").read_bytes()
    told = parse(page)
    assert (told.utilization, told.running) == (0.92, 0)
    assert told.kv_cache == KvCache(tokens=46592, source=TOLD)
    assert told.kv_cache.origin == "measured"
    older = page.replace(b'kv_cache_size_tokens="46592",', b"")
    assert older != page
    assert parse(older).kv_cache == KvCache(tokens=364 * 128, source=BLOCKS), "one kind of layer: both agree"
    assert KvCache(tokens=1, source=BLOCKS).origin == "derived"


def test_what_is_none_or_no_count_is_unknown() -> None:
    blocks = 'block_size="16",num_gpu_blocks="10"'
    assert cache(f'{blocks},kv_cache_size_tokens="None"') == KvCache(tokens=160, source=BLOCKS)
    assert cache('block_size="16",num_gpu_blocks="None"') is None
    assert cache('num_gpu_blocks="10"') is None
    for wrong in ("0", "-160", "1e3", "16.0", "٣", "9" * 40, ""):
        assert cache(f'kv_cache_size_tokens="{wrong}"') is None
        assert cache(f'block_size="16",num_gpu_blocks="{wrong}"') is None


def test_of_a_model_with_state_space_layers_the_product_is_no_number_of_tokens() -> None:
    blocks = 'block_size="528",num_gpu_blocks="10",mamba_block_size='
    assert cache(blocks + '"None"') == KvCache(tokens=5280, source=BLOCKS)
    assert cache(blocks + '"4096"') is None
    assert cache(blocks + '"4096",kv_cache_size_tokens="700"') == KvCache(tokens=700, source=TOLD)


def test_engines_are_added_up_and_one_that_is_silent_makes_the_sum_unknown() -> None:
    told, product = 'engine="0",kv_cache_size_tokens="100"', 'engine="1",block_size="16",num_gpu_blocks="2"'
    assert cache(told, told) == KvCache(tokens=200, source=TOLD)
    assert cache(told, product) == KvCache(tokens=132, source=BLOCKS)
    assert cache(told, 'engine="1"') is None
    assert cache() is None


@given(st.binary(max_size=200))
def test_any_page_is_read(noise: bytes) -> None:
    parse(noise)
    parse(b"vllm:cache_config_info{" + noise + b"} 1.0\n")
