"""vLLM's and torch's words for a start that failed. Groups are named as in `gpu_tui.core.start_patterns`.

The texts by version: free memory 0.9.1-0.12 without the device, from 0.14 with it, from 0.33 with external weights;
"models's" until 0.19, "model's" later; the bracket before the needed size comes and goes; 0.8.5 drops the estimate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpu_tui.core.start_patterns import rule
from gpu_tui.core.start_values import FailureKind


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRule:
    """One wording of one failure. `kind` None means out of memory: the phase decides which."""

    key: str
    kind: FailureKind | None
    start: re.Pattern[str]
    """Where the words begin; without it the line is not this failure."""
    figures: tuple[re.Pattern[str], ...] = ()


def _failure(key: str, kind: FailureKind | None, start: str, *figures: str) -> FailureRule:
    return FailureRule(
        key=key, kind=kind, start=re.compile(start), figures=tuple(rule("", one).pattern for one in figures)
    )


_MAX_LEN = (
    r"max seq len \(<max_model_len__i>\)",
    r"<needed_kv__g>\s?GiB KV cache is needed",
    r"available KV cache memory \(<available_kv__g>\s?GiB\)",
    r"stimated maximum model length is <estimated_max_len__i>",
)
_ALLOCATION = (
    r"Tried to allocate <tried__u>",
    r"<total__u> total capacity; ",
    r"total capacity of <total__u>",
    r"of which <free__u> is free",
    r"already allocated; <free__u> free",
)

FAILURES = (
    _failure(
        "on startup is less than",
        FailureKind.NOT_ENOUGH_FREE,
        r"Free memory on device",
        r"on device (?P<device__s>[\w:.]{1,20}) \(",
        r"\(<free__g>/<total__g> GiB\) on startup",
        r"less than [^()]{1,120} \(<utilization__f>, <requested__g> GiB\)",
    ),
    _failure(
        "Externally held weights on device",
        FailureKind.NOT_ENOUGH_FREE,
        r"Externally held weights on device",
        r"on device (?P<device__s>[\w:.]{1,20}) \(",
        r"\(<external_weights__g>/<total__g> GiB\) exceed",
        r"utilization \(<utilization__f>, <requested__g> GiB\)",
    ),
    _failure("No available memory for the cache blocks", FailureKind.NO_CACHE_BLOCKS, r"No available memory for"),
    _failure("Cannot auto-fit max_model_len", FailureKind.NO_CACHE_BLOCKS, r"Cannot auto-fit max_model_len"),
    _failure(
        "To serve at least one request with the model",
        FailureKind.MAX_LEN_TOO_LONG,
        r"To serve at least one request",
        *_MAX_LEN,
    ),
    _failure(
        "larger than the maximum number of tokens that can be stored",
        FailureKind.MAX_LEN_TOO_LONG,
        r"The model's max seq len",
        r"max seq len \(<max_model_len__i>\)",
        r"stored in KV cache \(<stored_tokens__i>\)",
    ),
    _failure(
        "Error in memory profiling",
        FailureKind.MEMORY_PROFILING,
        r"Error in memory profiling",
        r"Initial free memory <initial_free__g> GiB",
        r"current free memory <current_free__g> GiB",
        r"Initial free memory <initial_free__b>(?: bytes)?[,.]",
        r"current free memory <current_free__b>(?: bytes)?\. ",
    ),
    _failure(
        "exceeds available Mamba cache",
        FailureKind.MAMBA_BLOCKS,
        r"max_num_seqs \(",
        r"max_num_seqs \(<max_num_seqs__i>\) exceeds available Mamba cache blocks \(<mamba_blocks__i>\)",
    ),
    _failure(
        "In Mamba cache align mode",
        FailureKind.MAMBA_ALIGN,
        r"In Mamba cache align mode",
        r"block_size \(<block_size__i>\)",
        r"max_num_batched_tokens \(<max_num_batched_tokens__i>\)",
    ),
    _failure(
        "when warming up sampler",
        FailureKind.OOM_SAMPLER,
        r"CUDA out of memory occurred when warming up sampler",
        r"sampler with <max_num_seqs__i> dummy",
    ),
    _failure(
        "ut of memory",
        None,
        r"(?:CUDA|HIP|XPU|NPU) out of memory\.|(?:CUDA|HIP) error: out of memory",
        *_ALLOCATION,
    ),
    _failure("OutOfMemoryError: ", None, r"OutOfMemoryError: (?!(?:CUDA|HIP|XPU|NPU) out of memory\.)", *_ALLOCATION),
    _failure("nccl", FailureKind.NCCL, r"nccl(?:UnhandledCuda|System|Internal|Remote)Error"),
    _failure("NCCL", FailureKind.NCCL, r"NCCL [Ee]rror(?: in)?:"),
    _failure("ngine core initialization failed", FailureKind.OTHER, r"Engine core initialization failed"),
    _failure("EngineCore failed to start", FailureKind.OTHER, r"EngineCore failed to start"),
    _failure("ngine process failed to start", FailureKind.OTHER, r"Engine process failed to start"),
    _failure("WorkerProc initialization failed", FailureKind.OTHER, r"WorkerProc initialization failed"),
)

FRAMES = (
    ("in load_model", FailureKind.OOM_LOAD),
    ("in determine_available_memory", FailureKind.OOM_PROFILE),
    ("in determine_num_available_blocks", FailureKind.OOM_PROFILE),
    ("in profile_run", FailureKind.OOM_PROFILE),
    ("in initialize_from_config", FailureKind.OOM_CAPTURE),
    ("in initialize_cache", FailureKind.OOM_CAPTURE),
    ("in compile_or_warm_up_model", FailureKind.OOM_CAPTURE),
    ("in capture_model", FailureKind.OOM_CAPTURE),
)
"""Functions in a traceback that tell the phase better than the lines before it do."""

EXCEPTION = re.compile(r"\b((?:[a-z_]\w{0,40}\.){0,4}[A-Z]\w{0,60}(?:Error|Exception)): (?=\S)")
"""An exception's last line, for failures that have no rule."""
