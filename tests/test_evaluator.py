"""The optimizer's contract: statuses, fitness, and what is and is not measured."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gpu_tui
from gpu_tui.bench.events import Figure, Generator, LlmResult, SttResult, Summary, Utilization
from gpu_tui.clock import ManualClock
from gpu_tui.config import EvaluatorSettings, Settings
from gpu_tui.core.books import Books
from gpu_tui.core.checks import ModelNeed
from gpu_tui.core.fitness import Weights
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import EndpointError, GpuTuiError, SourceUnavailable, UsageError
from gpu_tui.evaluator import CandidateError, Evaluator
from gpu_tui.evaluator.capacity import by_kv_cache
from gpu_tui.ports import BenchResult
from gpu_tui.wiring.measuring import bench_result
from tests.factories import KLOROS, gpu, info, kloros, snapshot

KEYS = [
    "status",
    "fitness",
    "vllm_memory_util",
    "whisper_model_size",
    "stt_latency_ms",
    "llm_latency_ms",
    "gpu_utilization",
    "oom_events",
    "concurrent_capacity",
    "free_memory_mb",
    "test_duration_sec",
    "test_id",
    "config_hash",
    "validation_passed",
    "validation_reason",
    "production_services",
    "stt_measured",
    "llm_measured",
    "measured_at_utilization",
    "latency_is_proxy",
    "concurrent_capacity_origin",
    "measured_whisper_size",
    "failed_requests",
]


class FakeSource:
    def __init__(self, seen: Snapshot | GpuTuiError) -> None:
        self.seen = seen
        self.closed = False

    def read(self) -> Snapshot:
        if isinstance(self.seen, GpuTuiError):
            raise self.seen
        return self.seen

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeBench:
    result: BenchResult | GpuTuiError = BenchResult(
        stt_ms=100.0, llm_ms=200.0, oom_events=0, measured_at_utilization=0.50
    )
    runs: list[float] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    takes: Callable[[], None] = lambda: None

    def measure(
        self, snapshot: Snapshot, books: Books, planned_utilization: float, whisper_label: str | None
    ) -> BenchResult:
        self.runs.append(planned_utilization)
        self.labels.append(whisper_label)
        self.takes()
        if isinstance(self.result, GpuTuiError):
            raise self.result
        return self.result


def evaluator(
    seen: Snapshot | GpuTuiError = KLOROS,
    bench: FakeBench | None = None,
    settings: Settings = Settings(),  # noqa: B008 - frozen
    clock: ManualClock | None = None,
) -> Evaluator:
    return Evaluator(
        FakeSource(seen), bench or FakeBench(), settings, need_for=lambda *_: ModelNeed(), clock=clock or ManualClock()
    )


def u(share: Any, **more: Any) -> dict[str, Any]:
    return {"vllm_memory_util": share, **more}


def test_the_package_s_evaluator_is_the_contract_s() -> None:
    assert issubclass(gpu_tui.Evaluator, Evaluator)


def test_a_pass() -> None:
    clock = ManualClock()
    bench = FakeBench(takes=lambda: clock.advance(3.5))
    result = evaluator(bench=bench, clock=clock).evaluate(u(0.50, whisper_model_size="tiny"))
    assert (result.status, result.whisper_model_size, result.validation_passed) == ("pass", "tiny", True)
    assert (result.stt_latency_ms, result.llm_latency_ms) == (100.0, 200.0)
    assert (result.stt_measured, result.llm_measured, result.oom_events) == (True, True, 0)
    assert result.gpu_utilization == pytest.approx(100 * 8396 / 12288)
    assert (result.free_memory_mb, result.concurrent_capacity, result.test_duration_sec) == (3892.0, 19, 3.5)
    assert (result.measured_at_utilization, result.latency_is_proxy) == (0.50, False)
    assert result.validation_reason == ""
    assert result.concurrent_capacity_origin == {
        "kind": "assumed",
        "source": "3892 MiB free ÷ 200 MiB a request",
    }
    assert bench.labels == ["tiny"]
    assert result.production_services == {
        "kloros": {"running": True, "memory_mb": 952.0, "pid": 2816503},
        "judge": {"running": True, "memory_mb": 6134.0, "pid": 2839331},
        "ollama": {"running": True, "memory_mb": 1068.0, "pid": 2387058},
        "other": {"count": 1, "memory_mb": 242.0},
    }
    planned = 100 * (2262 + 6144) / 12288
    wanted = 0.25 * 0.8 + 0.25 * 0.8 + 0.20 * 19 / 20 + 0.20 + 0.10 * (1 - abs(planned - 70) / 50)
    assert result.fitness == pytest.approx(wanted)
    assert bench.runs == [0.50]


def test_the_result_is_a_mapping_and_the_same_by_attribute() -> None:
    result = evaluator().evaluate(u(0.50))
    assert list(result) == KEYS
    assert len(result) == len(KEYS)
    assert all(result[key] == getattr(result, key) for key in KEYS)
    assert dict(result)["whisper_model_size"] == "small"
    assert result.get("nothing") is None
    with pytest.raises(KeyError):
        result["close"]


@pytest.mark.parametrize("share", [0.29, 0.71, 0.0, -1, 1.5, 1])
def test_out_of_bounds_reads_and_measures_nothing(share: float) -> None:
    bench = FakeBench()
    result = evaluator(SourceUnavailable("must not be read"), bench).evaluate(u(share))
    assert (result.status, result.fitness, result.validation_passed) == ("invalid", 0.0, False)
    assert result.validation_reason == "VLLM util out of bounds"
    assert (result.stt_latency_ms, result.llm_latency_ms, result.oom_events) == (999.0, 999.0, None)
    assert (result.production_services, result.free_memory_mb, result.concurrent_capacity) == (None, None, None)
    assert bench.runs == []


def test_the_bounds_are_inclusive_and_configured() -> None:
    assert evaluator().evaluate(u(0.30)).status == "invalid_production"
    assert evaluator().evaluate(u(0.70)).status == "pass"
    wide = Settings(evaluator=EvaluatorSettings(min=0.9, max=1.0))
    assert evaluator(settings=wide).evaluate(u(0.70)).status == "invalid"
    assert evaluator(settings=wide).evaluate(u(0.95)).status == "invalid_production"


def test_an_invalid_plan_is_not_measured() -> None:
    bench = FakeBench()
    result = evaluator(bench=bench).evaluate(u(0.40))
    assert (result.status, result.fitness, result.validation_passed) == ("invalid_production", 0.0, False)
    assert result.validation_reason == (
        "VLLM allocation (4915MB) too small for model+cache (need 6070MB, deficit: 1155MB)"
    )
    assert result.production_services is not None
    assert (result.stt_measured, result.llm_measured, result.oom_events) == (False, False, None)
    assert bench.runs == []


def test_an_oom_fails_whatever_the_latencies_are() -> None:
    for result in (
        BenchResult(stt_ms=1.0, llm_ms=1.0, oom_events=2, measured_at_utilization=0.5),
        BenchResult(oom_events=1),
    ):
        got = evaluator(bench=FakeBench(result)).evaluate(u(0.50))
        assert (got.status, got.fitness, got.oom_events) == ("fail", 0.0, result.oom_events)


def test_nothing_measured_is_unmeasured_and_earns_nothing() -> None:
    bench = FakeBench(BenchResult(reason="llm: no endpoint; stt: no endpoint"))
    result = evaluator(bench=bench).evaluate(u(0.50))
    assert (result.status, result.fitness, result.validation_passed) == ("unmeasured", 0.0, True)
    assert result.validation_reason == "unmeasured: llm: no endpoint; stt: no endpoint"
    assert (result.stt_latency_ms, result.stt_measured) == (999.0, False)
    assert result.latency_is_proxy is False


def test_a_bench_that_breaks_is_unmeasured() -> None:
    result = evaluator(bench=FakeBench(EndpointError("The child died.", "Try again."))).evaluate(u(0.50))
    assert (result.status, result.validation_reason) == ("unmeasured", "unmeasured: The child died. Try again.")


def test_an_unmeasured_latency_earns_less_than_the_slowest_measured_one() -> None:
    def score(llm_ms: float | None) -> float:
        return (
            evaluator(bench=FakeBench(BenchResult(stt_ms=100.0, llm_ms=llm_ms, oom_events=0))).evaluate(u(0.50)).fitness
        )

    assert score(None) < score(998.0)
    assert score(None) == pytest.approx(score(1000.0))


def test_a_machine_that_cannot_be_read_is_unmeasured() -> None:
    result = evaluator(SourceUnavailable("No driver.", "Install it.")).evaluate(u(0.50))
    assert (result.status, result.fitness, result.validation_passed) == ("unmeasured", 0.0, False)
    assert result.validation_reason == "No driver. Install it."
    assert (result.oom_events, result.gpu_utilization, result.production_services) == (None, None, None)


def test_unknown_memory_is_unmeasured_and_not_invalid() -> None:
    hidden = kloros(holds={1893: 242, 2387058: 1068, 2816503: 952, 2839331: None}, free=3892)
    bench = FakeBench()
    result = evaluator(hidden, bench).evaluate(u(0.50))
    assert (result.status, result.validation_passed, bench.runs) == ("unmeasured", False, [])
    assert result.validation_reason.startswith("Unknown: ")


def test_a_partitioned_gpu_is_unmeasured() -> None:
    result = evaluator(kloros(mig_enabled=True)).evaluate(u(0.50))
    assert result.status == "unmeasured"
    assert "MIG" in result.validation_reason


LIVE = replace(KLOROS, simulated=False)


def test_what_a_simulated_server_tells_is_assumed() -> None:
    origin = evaluator(KLOROS, FakeBench(cached())).evaluate(u(0.50)).concurrent_capacity_origin
    assert origin is not None
    assert origin["kind"] == "assumed"
    assert origin["source"].endswith("a request; simulated")


def cached(**more: Any) -> BenchResult:
    given: dict[str, Any] = {
        "llm_ms": 200.0,
        "oom_events": 0,
        "measured_at_utilization": 0.50,
        "kv_cache_tokens": 8112,
        "kv_cache_origin": "measured",
        "kv_cache_source": "a metric",
        "tokens_per_request": 122.0,
    }
    return BenchResult(**given | more)


def test_the_capacity_is_the_live_server_s_kv_cache_by_the_workload_s_length() -> None:
    result = evaluator(LIVE, FakeBench(cached())).evaluate(u(0.50))
    assert result.concurrent_capacity == 8112 // 122 == 66
    assert result.concurrent_capacity_origin == {
        "kind": "measured",
        "source": "8112 KV-cache tokens (a metric) ÷ 122 tokens a request",
    }
    # The fitness is that of the capacity told: 66 of 20 asked for, where free memory would have said 19.
    by_memory = evaluator(bench=FakeBench(cached(kv_cache_tokens=None))).evaluate(u(0.50))
    assert by_memory.concurrent_capacity == 19
    assert result.fitness - by_memory.fitness == pytest.approx(0.20 / 20)


def test_a_capacity_by_blocks_is_derived_and_another_server_s_is_a_proxy() -> None:
    derived = evaluator(LIVE, FakeBench(cached(kv_cache_origin="derived"))).evaluate(u(0.50))
    assert derived.concurrent_capacity_origin is not None
    assert derived.concurrent_capacity_origin["kind"] == "derived"
    for at, words in ((0.45, "which runs at 0.45"), (None, "which does not tell its utilization")):
        got = evaluator(LIVE, FakeBench(cached(measured_at_utilization=at))).evaluate(u(0.50))
        assert got.concurrent_capacity_origin is not None
        assert got.concurrent_capacity_origin["source"].endswith(
            f"; a proxy: those of the server, {words}, not of one at 0.5"
        )


@pytest.mark.parametrize(
    "missing", [{"kv_cache_tokens": None}, {"tokens_per_request": None}, {"tokens_per_request": 0}]
)
def test_a_capacity_of_which_half_is_unknown_is_assumed(missing: dict[str, Any]) -> None:
    result = evaluator(bench=FakeBench(cached(**missing))).evaluate(u(0.50))
    assert result.concurrent_capacity == 19
    assert result.concurrent_capacity_origin is not None
    assert result.concurrent_capacity_origin["kind"] == "assumed"


@given(st.integers(1, 10**9), st.floats(0.1, 1e6))
def test_a_cache_holds_its_requests_and_not_one_more(tokens: int, each: float) -> None:
    capacity = by_kv_cache(cached(kv_cache_tokens=tokens, tokens_per_request=each), proxy_for=None)
    assert capacity is not None
    assert capacity.requests >= 1
    assert (capacity.requests + 1) * each > tokens * (1 - 1e-9)
    assert capacity.requests == 1 or capacity.requests * each <= tokens * (1 + 1e-9)


def test_unknown_free_memory_gives_no_capacity() -> None:
    assert evaluator(SourceUnavailable("gone")).evaluate(u(0.50)).concurrent_capacity_origin is None


@pytest.mark.parametrize(("size", "stt_ms", "told"), [("base", 90.0, "base"), (None, 90.0, None), ("base", None, None)])
def test_the_size_of_whisper_that_was_measured_is_told(
    size: str | None, stt_ms: float | None, told: str | None
) -> None:
    bench = FakeBench(cached(whisper_size=size, stt_ms=stt_ms))
    result = evaluator(bench=bench).evaluate(u(0.50))
    assert (result.whisper_model_size, result.measured_whisper_size) == ("small", told)
    assert bench.labels == [None], "a default is no word of the candidate's"


@pytest.mark.parametrize(("at", "proxy"), [(0.50, False), (0.500001, False), (0.45, True), (None, True)])
def test_latencies_of_another_utilization_are_a_proxy(at: float | None, proxy: bool) -> None:
    bench = FakeBench(BenchResult(stt_ms=1.0, oom_events=0, measured_at_utilization=at))
    result = evaluator(bench=bench).evaluate(u(0.50))
    assert (result.latency_is_proxy, result.measured_at_utilization) == (proxy, at)


def test_several_gpus_and_no_choice_are_listed() -> None:
    two = snapshot([gpu({}), gpu({}, index=1, uuid="GPU-1")])
    with pytest.raises(UsageError, match=r"0 \(NVIDIA GeForce RTX 3060, GPU-0\), 1 \("):
        evaluator(two).evaluate(u(0.50))
    assert evaluator(two, settings=Settings(gpu="1")).evaluate(u(0.60)).status == "pass"


def test_several_instances_and_no_choice_are_listed() -> None:
    infos = [info(10, "vllm", "vllm serve a --port 8001"), info(20, "vllm", "vllm serve b --port 8002")]
    two = snapshot(gpu({10: 3000, 20: 2000}), infos)
    with pytest.raises(UsageError, match="pid 10, port 8001, 3000 MiB; pid 20, port 8002, 2000 MiB"):
        evaluator(two).evaluate(u(0.50))
    result = evaluator(two, settings=Settings(restarts=8002)).evaluate(u(0.50))
    assert result.production_services is not None
    assert result.production_services["vllm:8001"]["memory_mb"] == 3000


BAD = [
    ({}, "has no vllm_memory_util"),
    (u(None), "vllm_memory_util is null"),
    (u("0.5"), "vllm_memory_util is text"),
    (u(True), "vllm_memory_util is true or false"),
    (u([0.5]), "vllm_memory_util is a list"),
    (u(math.nan), "not a finite number"),
    (u(math.inf), "not a finite number"),
    (u(10**400), "not a finite number"),
    (u(Decimal("0.5")), "of type Decimal"),
    (u(0.5, whisper_model_size=3), "whisper_model_size is of type int"),
    (u(0.5, whisper_model_size=""), "whisper_model_size is text"),
    ([0.5], "A candidate is a mapping, not a list"),
    (None, "A candidate is a mapping, not null"),
]


@pytest.mark.parametrize(("candidate", "said"), BAD)
def test_a_mistaken_candidate_is_told(candidate: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        evaluator().evaluate(candidate)
    assert isinstance(caught.value, CandidateError)


def test_the_hash_is_of_the_configuration_and_the_id_of_the_test() -> None:
    one = evaluator()
    a, b = one.evaluate(u(0.5)), one.evaluate(u(0.50, whisper_model_size="small"))
    assert a.config_hash == b.config_hash == "f47ecf886cf6beaa"
    assert a.test_id != b.test_id
    assert a.config_hash != one.evaluate(u(0.51)).config_hash
    assert a.config_hash != one.evaluate(u(0.5, batch=4)).config_hash
    assert one.evaluate({"x": 1, **u(0.5)}).config_hash == one.evaluate({**u(0.5), "x": 1}).config_hash


def test_weights_are_configured() -> None:
    settings = Settings(evaluator=EvaluatorSettings(weights=Weights(stt=1, llm=0, capacity=0, no_oom=0, memory=0)))
    assert evaluator(settings=settings).evaluate(u(0.50)).fitness == pytest.approx(0.8)


def test_run_test_is_evaluate() -> None:
    assert evaluator().run_test(u(0.40)).status == "invalid_production"


def test_fitness_of_a_result_is_the_result_s_fitness() -> None:
    one = evaluator()
    for share in (0.5, 0.6, 0.4, 0.9):
        result = one.evaluate(u(share))
        assert one.compute_fitness(result) == pytest.approx(result.fitness)
        assert one.compute_fitness(dict(result)) == pytest.approx(result.fitness)


def test_fitness_of_a_result_from_elsewhere() -> None:
    one = evaluator()
    told = {**u(0.5), "stt_latency_ms": 100.0, "llm_latency_ms": 999.0, "concurrent_capacity": 20}
    planned = 100 * (2262 + 6144) / 12288
    wanted = 0.25 * 0.8 + 0.20 + 0.20 + 0.10 * (1 - abs(planned - 70) / 50)
    assert one.compute_fitness(told) == pytest.approx(wanted)
    assert one.compute_fitness({**told, "oom_events": 1}) == 0.0
    assert one.compute_fitness({**told, "status": "fail"}) == 0.0
    assert one.compute_fitness({**told, "validation_passed": False}) == 0.0
    unread = evaluator(SourceUnavailable("gone"))
    assert unread.compute_fitness(told) == pytest.approx(0.25 * 0.8 + 0.20 + 0.20)


def test_the_state_of_the_machine() -> None:
    state = evaluator().get_gpu_state()
    assert list(state) == ["total_mb", "used_mb", "free_mb", "utilization_pct", "processes", "production_services"]
    assert (state["total_mb"], state["used_mb"], state["free_mb"]) == (12288.0, 8396.0, 3892.0)
    assert state["processes"][0] == {"pid": 1893, "name": "Xorg", "service": "other", "used_mb": 242.0}
    assert evaluator().get_production_services() == state["production_services"]


def test_the_state_of_a_machine_that_cannot_be_read_is_unknown() -> None:
    one = evaluator(SourceUnavailable("gone"))
    assert set(one.get_gpu_state().values()) == {None}
    assert one.get_production_services() is None
    judged = one.validate_vllm_allocation(0.5)
    assert (judged["valid"], judged["estimated_vllm_mb"]) == (None, None)
    assert judged["reason"].startswith("Unknown: ")


def test_validation_by_the_known_numbers() -> None:
    one = evaluator()
    assert one.validate_vllm_allocation(0.5, one.get_gpu_state()) == {
        "valid": True,
        "reason": "Valid: 6144MB allocation fits model (5700MB) + KV cache (444MB) with persistent services (2262MB)",
        "estimated_vllm_mb": 6144.0,
        "estimated_model_mb": 5700.0,
        "estimated_kv_cache_mb": 444.0,
        "required_total_mb": 6070.0,
        "persistent_services_mb": 2262.0,
        "available_for_vllm_mb": 10026.0,
    }
    assert one.validate_vllm_allocation(0.4)["valid"] is False
    assert one.validate_vllm_allocation(1.5)["valid"] is False
    with pytest.raises(CandidateError):
        one.validate_vllm_allocation(math.nan)


@given(
    st.integers(1, 10_000),
    st.dictionaries(st.sampled_from([1893, 2387058, 2816503, 2839331]), st.floats(0, 3000), max_size=4),
    st.floats(0, 300),
    st.floats(-50, 300),
)
def test_a_state_is_judged_as_the_machine_it_was_taken_from(
    steps: int, holds: dict[int, float | None], reserved: float, unattributed: float
) -> None:
    seen = kloros(holds=holds, reserved=reserved, unattributed=unattributed)
    one = evaluator(seen, settings=Settings(evaluator=EvaluatorSettings(min=0.0001, max=1.0)))
    judged = one.validate_vllm_allocation(steps / 10_000, one.get_gpu_state())
    result = one.evaluate(u(steps / 10_000))
    assert judged["valid"] is result.validation_passed
    if not judged["valid"]:
        assert judged["reason"] == result.validation_reason


def test_closing_closes_the_source() -> None:
    source = FakeSource(KLOROS)
    Evaluator(source, FakeBench(), Settings(), need_for=lambda *_: ModelNeed(), clock=ManualClock()).close()
    assert source.closed


def test_a_run_s_medians_are_what_counts() -> None:
    figure = Figure(p50=1.0, p95=2.0, p99=3.0, min=0.5, max=4.0, mean=1.5)
    more = Figure(p50=7.0, p95=8.0, p99=9.0, min=6.0, max=10.0, mean=7.5)
    llm = LlmResult(
        n=3, errors={}, ttft_ms=figure, itl_ms=figure, e2e_ms=more, output_tokens_per_s=1.0, url="http://x", model=None
    )
    stt = SttResult(n=3, errors={}, latency_ms=figure, rtf=figure, url="http://x", model=None, audio_s=4.0)
    summary = Summary(
        started_at="2026-01-01T00:00:00Z",
        machine="",
        gpu_memory_utilization=Utilization(actual=0.45),
        llm=llm,
        stt=stt,
        oom_events=0,
        generator=Generator(),
    )
    assert bench_result(summary) == BenchResult(stt_ms=1.0, llm_ms=7.0, oom_events=0, measured_at_utilization=0.45)
    nothing = Summary(
        started_at="2026-01-01T00:00:00Z",
        machine="",
        gpu_memory_utilization=Utilization(),
        llm=None,
        stt=None,
        reason={"llm": "unmeasured: no endpoint"},
        generator=Generator(),
    )
    assert bench_result(nothing) == BenchResult(reason="llm: unmeasured: no endpoint")

    def with_errors(count: int) -> BenchResult:
        failing = msgspec.structs.replace(llm, errors={"timeout": count})
        return bench_result(msgspec.structs.replace(summary, llm=failing))

    # Of those that came back in time the median says nothing, where as many never did.
    few, many = with_errors(2), with_errors(3)
    assert (few.llm_ms, few.failed, few.reason) == (7.0, {"llm": {"timeout": 2}}, "")
    assert (many.llm_ms, many.stt_ms, many.failed) == (None, 1.0, {"llm": {"timeout": 3}})
    assert many.reason == "llm: unmeasured: of 6 requests only 3 went well (timeout 3)"


def test_what_failed_stands_beside_the_latencies() -> None:
    failed = {"stt": {"http_500": 4}}
    bench = FakeBench(BenchResult(stt_ms=100.0, llm_ms=300.0, oom_events=0, failed=failed))
    result = evaluator(KLOROS, bench).evaluate(u(0.5))
    assert (result.status, result.failed_requests) == ("pass", failed)
    assert evaluator(KLOROS, bench).evaluate(u(0.4)).failed_requests is None, "nothing was sent"
