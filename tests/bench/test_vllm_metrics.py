from __future__ import annotations

import pytest

from gpu_tui.bench.vllm_metrics import VllmMetrics, parse

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
