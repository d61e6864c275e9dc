"""What a start-up log tells becomes terms, and the terms give back the KV cache that the log itself prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_tui.core.cache_info import EngineCache, parse_cache_config
from gpu_tui.core.log_text import lines_of
from gpu_tui.core.origins import OriginKind
from gpu_tui.core.serve_options import options_of
from gpu_tui.core.start import start_model
from gpu_tui.core.start_evidence import (
    inputs_of_cache,
    inputs_of_log,
    inputs_of_options,
    measured_terms,
    requested,
)
from gpu_tui.core.start_inputs import StartInputs, start_options
from gpu_tui.core.start_log import parse_start_log
from gpu_tui.core.start_terms import TermName
from gpu_tui.core.start_values import StartLog
from gpu_tui.units import GIB

DATA = Path(__file__).parent / "data" / "start_logs"
W, A, N, G = TermName.WEIGHTS, TermName.ACTIVATION, TermName.NON_TORCH, TermName.CUDA_GRAPHS

TERMS = {
    "docker_json": {W: 0.88},
    "failed_0.32_too_long": {},
    "failures": {},
    "journald_restarts": {W: 15.27},
    "k8s_cri": {W: 0.88},
    "ray_tp2": {W: 7.5561},
    "v0_0.5.4": {W: 14.9595},
    # Counts other tenants' memory into non-torch: that is no measurement of this model's.
    "v0_0.6.4": {W: 0.2389, A: 0.71 - 0.2389},
    "v0_0.7.3_tp4": {W: 21.2092, A: 0.37, N: 0.24},
    "v0_0.8.5_t4": {W: 6.0160, A: 0.90, N: 0.05},
    "v1_0.10.2": {W: 14.0786, A: 1.97, N: 0.07},
    "v1_0.19_not_subtracted": {G: 0.83},
    "v1_0.26_hybrid": {W: 0.88, A: 0.26, N: 0.16, G: 0.58},
    # "consumed" is weights + non-torch; the activation holds the graphs, of which this log prints no estimate.
    "v1_0.30_consumed": {W: 9.90, A: 0.79, N: 10.47 - 9.90, G: 0},
    "v1_0.32_cpu": {},
    "v1_0.7.2": {W: 67.7229},
    "v1_0.9.2_tp2": {W: 13.9280},
    "v1_dp2": {W: 14.99, A: 0.40, N: 0.09},
    "v1_kv_fixed": {W: 51.35},
}
"""Terms by log, GiB as printed."""


def log_of(name: str) -> StartLog:
    return parse_start_log(lines_of((DATA / f"{name}.txt").read_text(encoding="utf-8")))


def read(*lines: str) -> StartLog:
    return parse_start_log(lines)


def test_every_log_is_in_the_table() -> None:
    assert sorted(TERMS) == sorted(path.stem for path in DATA.glob("*.txt"))


@pytest.mark.parametrize("name", TERMS)
def test_terms(name: str) -> None:
    found = measured_terms(log_of(name), "the log", 5.0)
    assert {term: one.size / GIB for term, one in found.items()} == pytest.approx(TERMS[name], abs=0.0001)
    assert {one.origin.kind for one in found.values()} <= {OriginKind.MEASURED}
    assert all(one.origin.source.startswith("the log: ") and one.origin.age_s == 5.0 for one in found.values())


def kv_cache(log: StartLog) -> tuple[float, float, float]:
    """Least, middle and most KV cache, GiB, that the log's own terms leave."""
    inputs, asked = inputs_of_log(log, "log", None), requested(log)
    model = start_model(None, start_options(inputs, None, inputs.cuda_total_bytes))
    assert model is not None
    assert asked is not None
    left = asked - sum(term.size for term in model.terms)
    return (left - model.above) / GIB, left / GIB, (left + model.below) / GIB


@pytest.mark.parametrize(
    "name",
    ["v0_0.6.4", "v0_0.7.3_tp4", "v0_0.8.5_t4", "v1_0.10.2", "v1_0.26_hybrid", "v1_0.30_consumed", "v1_dp2"],
)
def test_the_terms_leave_the_kv_cache_that_the_log_prints(name: str) -> None:
    log = log_of(name)
    assert log.available_kv is not None
    least, middle, most = kv_cache(log)
    printed = log.available_kv.size_bytes / GIB
    # Requested, each term and the KV cache are each rounded to 0.01; a term that is a difference is so twice.
    assert middle == pytest.approx(printed, abs=0.015 if name != "v0_0.6.4" else 0.16)
    assert least <= printed <= most


ENGINE = "Initializing a V1 LLM engine (v{}) with config: model='/m', max_seq_len=4096, tensor_parallel_size=1"
SUMMARY = (
    "Free memory on device (23.3/23.5 GiB) on startup. Desired GPU memory utilization is (0.9, 21.15 GiB). Actual "
    "usage is {}, and 0.10 GiB for CUDAGraph memory. Current kv cache memory in use is 2.00 GiB."
)
CONSUMED = "10.50 GiB for consumed memory (weights + non-torch), 2.00 GiB for peak activation"
LOADED = "Model loading took 10.0 GiB memory and 7.0 seconds"


def test_graphs_are_taken_out_of_the_activation_that_holds_them() -> None:
    lines = [ENGINE.format("0.30.0"), LOADED, "Estimated CUDA graph memory: 0.70 GiB total", SUMMARY.format(CONSUMED)]
    log = read(*lines, "Available KV cache memory: 8.65 GiB")
    told = {term: one.size / GIB for term, one in measured_terms(log, "log", None).items()}
    assert told == pytest.approx({W: 10.0, A: 1.30, N: 0.50, G: 0.70}, abs=0.001)
    assert kv_cache(log)[1] == pytest.approx(8.65, abs=0.01)


OFF = (
    "CUDA graph memory profiling is disabled (VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS=0). Without it, CUDA graph "
    "memory is not accounted for during KV cache allocation, which may require lowering --gpu-memory-utilization to "
    "avoid OOM. Consider re-enabling it and increasing --gpu-memory-utilization from 0.9000 to 0.9300."
)


def test_graphs_that_were_not_taken_off_count_nothing() -> None:
    log = read(ENGINE.format("0.26.0"), LOADED, "Estimated CUDA graph memory: 0.70 GiB total", OFF)
    assert log.graphs_subtracted is not None
    found = measured_terms(log, "log", None)
    assert found[G].size == 0
    assert "profiling is disabled" in found[G].origin.source


TOTAL = "Desired GPU memory utilization is (0.9, 21.15 GiB)"
FREE = f"Free memory on device (23.3/23.5 GiB) on startup. {TOTAL}."


@pytest.mark.parametrize(
    ("lines", "activation"),
    [
        pytest.param(["0.19.0", LOADED], 21.15 - 10.0 - 9.0, id="graphs-on-top"),
        pytest.param(["0.21.0", LOADED], None, id="graphs-inside-but-not-told"),
        pytest.param(
            ["0.21.0", LOADED, "Estimated CUDA graph memory: 0.70 GiB total"], 21.15 - 10 - 9 - 0.7, id="graphs-inside"
        ),
        pytest.param(["0.21.0, enforce_eager=True", LOADED], 21.15 - 10.0 - 9.0, id="eager"),
        pytest.param(["0.19.0"], None, id="no-weights"),
        pytest.param(["0.9.0", LOADED], None, id="counts-other-tenants"),
    ],
)
def test_what_is_left_over_tells_activation_and_non_torch_together(lines: list[str], activation: float | None) -> None:
    version, _, flag = lines[0].partition(", ")
    first = ENGINE.format(version) + (f", {flag}" if flag else "")
    log = read(first, *lines[1:], FREE, "Available KV cache memory: 9.0 GiB")
    found = measured_terms(log, "log", None)
    assert (A in found, N in found) == (activation is not None, activation is not None)
    if activation is not None:
        assert found[A].size / GIB == pytest.approx(activation, abs=0.001)
        assert (found[N].size, found[N].part_of) == (0, A)
        assert "requested − weights − KV cache" in found[A].origin.source
        assert kv_cache(log)[1] == pytest.approx(9.0, abs=0.001)


def test_a_fixed_kv_cache_leaves_nothing_to_tell() -> None:
    assert A not in measured_terms(log_of("v1_kv_fixed"), "log", None)


def test_a_log_s_flags() -> None:
    told = inputs_of_log(log_of("v1_0.26_hybrid"), "log", None)
    assert (told.version, told.model, told.quantization) == ("0.26.0", "/model", "online_int4")
    assert (told.gpu_memory_utilization, told.max_model_len, told.block_size) == (0.95, 32768, 784)
    assert (told.max_num_seqs, told.max_num_batched_tokens, told.kv_cache_dtype) == (256, 1024, "fp8")
    assert (told.dtype, told.enforce_eager, told.tensor_parallel_size) == ("float16", False, 1)
    assert told.cuda_total_bytes == 16 * GIB
    v0 = inputs_of_log(log_of("v0_0.7.3_tp4"), "log", None)
    assert (v0.version, v0.tensor_parallel_size, v0.rules.v0) == ("0.7.3 (V0)", 4, True)
    assert inputs_of_log(log_of("v1_dp2"), "log", None).max_model_len == 8192  # as it was made to fit
    assert inputs_of_log(StartLog(), "log", None) == StartInputs()


def test_a_term_s_source_is_its_own_words() -> None:
    told = measured_terms(log_of("v1_0.10.2"), "log", None)
    assert told[A].origin.source == "log: 1.97 GiB for peak activation"
    assert told[W].origin.source == "log: Model loading took 14.0786 GiB and 10.247948 seconds"
    assert measured_terms(log_of("v0_0.8.5_t4"), "log", None)[N].origin.source == "log: non_torch_memory takes 0.05GiB"


def test_requested() -> None:
    assert requested(log_of("v1_0.10.2")) == round(71.27 * GIB)
    assert requested(log_of("v0_0.6.4")) == round(round(7.92 * GIB) * 0.9)
    assert requested(log_of("v1_0.9.2_tp2")) is None


def test_a_command_line() -> None:
    told = inputs_of_options(options_of(["vllm", "serve", "org/m", "--max-model-len", "auto", "-q", "awq"]))
    assert (told.model, told.quantization) == ("org/m", "awq")
    assert (told.max_model_len, told.fit_max_model_len) == (None, True)
    config = '{"method": "mtp", "num_speculative_tokens": 2}'
    drafting = inputs_of_options(options_of(["vllm", "serve", "org/m", "--speculative-config", config]))
    assert (drafting.speculative_tokens, drafting.draft_layers) == (2, 1)
    assert inputs_of_options(options_of(["bash"])) == StartInputs()


def test_a_metrics_page() -> None:
    page = (DATA.parent / "metrics" / "v1_0.32.txt").read_text(encoding="utf-8")
    engine = parse_cache_config(page).smallest
    assert engine is not None
    told = inputs_of_cache(engine)
    assert told.gpu_memory_utilization == engine.gpu_memory_utilization
    assert told.block_size == engine.block_size
    hybrid = inputs_of_cache(EngineCache(block_size=16, mamba_block_size=784, cache_dtype="fp8"))
    assert (hybrid.block_size, hybrid.kv_cache_dtype) == (None, "fp8")
    assert inputs_of_cache(EngineCache(cache_dtype="auto")).kv_cache_dtype is None


def test_how_states_are_kept_is_told_by_flags_and_by_metrics() -> None:
    flags = "vllm serve m --mamba-ssm-cache-dtype float16 --mamba-cache-dtype float32 --no-enable-prefix-caching"
    told = start_options(inputs_of_options(options_of(flags.split())), None, None).cache
    assert (told.state_dtype, told.ssm_state_dtype, told.prefix_caching) == ("float32", "float16", False)
    running = inputs_of_cache(EngineCache(engine=0, mamba_cache_dtype="auto", mamba_ssm_cache_dtype="float32"))
    assert (running.mamba_cache_dtype, running.mamba_ssm_cache_dtype) == (None, "float32")


@pytest.mark.parametrize(("printed", "caching"), [("True", True), ("False", False), (None, None)])
def test_a_log_tells_whether_prefixes_are_cached(printed: str | None, caching: bool | None) -> None:
    config = (
        "max_seq_len=4096, " + ("" if printed is None else f"enable_prefix_caching={printed}, ") + "dtype=torch.float16"
    )
    log = read(f"INFO 11-24 00:56:04 [core.py:133] Initializing a V1 LLM engine (v0.24.0) with config: {config}")
    assert inputs_of_log(log, "a log", None).prefix_caching is caching
