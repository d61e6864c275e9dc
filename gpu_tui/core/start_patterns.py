r"""vLLM's start-up lines, 0.2 to 0.33, as patterns. A group's name is the field it fills and how: ``weights__g``.

``g`` is GiB (V0 writes GB and means GiB), ``b`` bytes, ``u`` a size with its unit, ``i`` a whole number, ``f`` any
number, ``s`` text.
Wordings were read in the released sources and in public logs. A pattern is tried only on lines that hold its key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpu_tui.core.start_values import Phase

NUMBER = r"-?\d{1,15}(?:\.\d{1,9})?"
COUNT = r"\d{1,3}(?:,\d{3}){1,5}|\d{1,15}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One wording."""

    key: str
    """Words that every such line holds."""
    pattern: re.Pattern[str]


def rule(key: str, pattern: str) -> Rule:
    """A rule; ``<name__g>`` and its like in the pattern stand for a group of that kind."""
    kinds = {"g": NUMBER, "b": r"-?\d{1,19}", "f": NUMBER, "i": COUNT, "u": NUMBER}
    written = re.sub(r"(<\w+?__u>)", r"\1 (?P<unit>bytes|[KMGT]iB)", pattern)
    written = re.sub(r"<(\w+?)__([gbfiu])>", lambda m: f"(?P<{m[1]}__{m[2]}>{kinds[m[2]]})", written)
    return Rule(key=key, pattern=re.compile(written))


_GIB = r"\s?G(?:i?B|ib)"
_PROFILE_V0 = (
    rf"total_gpu_memory \(<total__g>{_GIB}\) x gpu_memory_utilization \(<utilization__f>\) = <requested__g>{_GIB}"
)
_TERMS_V0 = (
    rf"model weights take <weights__g>{_GIB}; non_torch_memory takes <non_torch__g>{_GIB}; "
    rf"PyTorch activation peak memory takes <activation__g>{_GIB}; "
    rf"the rest of the memory reserved for KV Cache is <available_kv__g>{_GIB}"
)
_RESULTS_064 = (
    rf"Memory profiling results: total_gpu_memory=<total__g>{_GIB} initial_memory_usage=<initial_usage__g>{_GIB} "
    rf"peak_torch_memory=<torch_peak__g>{_GIB} memory_usage_post_profile={NUMBER}{_GIB} "
    rf"non_torch_memory=<non_torch__g>{_GIB} kv_cache_size=<available_kv__g>{_GIB} "
    r"gpu_memory_utilization=<utilization__f>"
)
_DEBUG_PROFILE = (
    rf"Total non KV cache memory: {NUMBER}{_GIB}; torch peak memory increase: <activation__g>{_GIB}; "
    rf"(?:non-torch forward increase memory: <non_torch__g>{_GIB}; )?"
    rf"(?:total consumed \(from mem_get_info\): <consumed__g>{_GIB}; )?weights memory: <weights__g>{_GIB}"
)
_DEBUG_REQUEST = rf"free memory: <free__g>{_GIB}; Requested memory: {NUMBER} \(util\), <requested__g>{_GIB}"
_GRAPHS_ON = (
    r"The current --gpu-memory-utilization=<utilization__f> is equivalent to "
    r"--gpu-memory-utilization=<equivalent_utilization__f> without.{0,120}?increase "
    r"--gpu-memory-utilization to <suggested_utilization__f>"
)
_FIXED_KV = (
    rf"Initial free memory <free__g>{_GIB}, reserved <kv_cache_memory__g>{_GIB} memory for KV Cache as specified by "
    r"kv_cache_memory_bytes"
)

RULES = (
    rule("weights took", rf"Loading model weights took <weights__g>{_GIB}"),
    rule("Model loading took", rf"Model loading took <weights__g>{_GIB}(?: memory)?(?: and <load_s__f> seconds)?"),
    rule("Checkpoint size", rf"Checkpoint size: <checkpoint__g>{_GIB}"),
    rule("Memory profiling takes", r"Memory profiling takes <profile_s__f> seconds"),
    rule("x gpu_memory_utilization (", _PROFILE_V0),
    rule("model weights take", _TERMS_V0),
    rule("Memory profiling results", _RESULTS_064),
    rule("Total non KV cache memory", _DEBUG_PROFILE),
    rule("Requested memory: ", _DEBUG_REQUEST),
    rule("requested memory: ", rf"worker requested memory: <requested__g>{_GIB}"),
    rule("Available KV cache memory", rf"Available KV cache memory: <available_kv__g>{_GIB}"),
    rule("GiB for KV cache on node", rf"set \(<available_kv__g>/{NUMBER}\) GiB for KV cache on node"),
    rule("KV cache size: ", r"KV cache size: <kv_tokens__i> tokens"),
    rule(
        "Maximum concurrency for",
        r"Maximum concurrency for <concurrency_len__i> tokens per request: <max_concurrency__f>x",
    ),
    rule(" blocks: ", r"# (?!CPU)\w{1,12} blocks: <gpu_blocks__i>\b(?:, # CPU blocks: <cpu_blocks__i>)?"),
    rule("attention block size to", r"Setting attention block size to <block_size__i> tokens"),
    rule("Padding mamba page", r"Padding mamba page size by <mamba_padding_percent__f>%"),
    rule("padding layers", r"Add <padding_layers__i> padding layers"),
    rule("Graph capturing finished", rf"finished in <capture_s__f> secs(?:, took <cuda_graph__g>{_GIB})?"),
    rule("Estimated CUDA graph memory", rf"Estimated CUDA graph memory: <cuda_graph_estimate__g>{_GIB}"),
    rule(
        "graph pool memory",
        rf"graph pool memory: <cuda_graph__g>{_GIB} \(actual\), <cuda_graph_estimate__g>{_GIB} \(estimated\)",
    ),
    rule("graph memory profiling is enabled", _GRAPHS_ON),
    rule(
        "graph memory profiling ",
        r"profiling (?:will be enabled|is disabled).{0,600}?--gpu-memory-utilization from <utilization__f> to "
        r"<suggested_utilization__f>",
    ),
    rule("memory for KV Cache as specified", _FIXED_KV),
    # From 0 blocks it is the profile of the graphs, which makes itself a small KV cache.
    rule("with num_gpu_blocks_override=", r"blocks=[1-9]\d{0,14} with num_gpu_blocks_override=<blocks_override__i>"),
    rule("Auto-fit max_model_len", r"reduced from \d{1,12} to <fitted_max_len__i>"),
    rule("Auto-fit max_model_len", r"full model context length <fitted_max_len__i> fits"),
    rule("Sleep mode freed", rf"freed <sleep_freed__g>{_GIB} memory, <sleep_in_use__g>{_GIB} memory is still in use"),
    rule("torch.compile", r"torch\.compile (?:and initial [\w/ ]{1,60} )?t(?:akes|ook) <compile_s__f> s in total"),
    rule("init engine (", r"init engine \([^()]{0,80}\) took <init_s__f> s"),
    # The usage summary, term by term: its wordings differ in which terms there are.
    rule(
        "Desired GPU memory utilization is (",
        rf"\(<free__g>/<total__g>{_GIB}\) on startup\. Desired GPU memory utilization is "
        rf"\(<utilization__f>, <requested__g>{_GIB}\)",
    ),
    rule("Actual usage", rf"<weights__g>{_GIB} for weights?\b"),
    rule("Actual usage", rf"<consumed__g>{_GIB} for consumed memory"),
    rule("Actual usage", rf"<activation__g>{_GIB} for peak activation"),
    rule("Actual usage", rf"<non_torch__g>{_GIB} for non-torch memory"),
    rule("Actual usage", rf"<cuda_graph__g>{_GIB} for \w{{1,12}} ?[Gg]raph memory"),
    rule("Actual usage", r"--kv-cache-memory=<kv_fit__b>`?(?: \([^()]{1,40}\))? to fit"),
    rule("Actual usage", r"--kv-cache-memory=<kv_full__b>`?(?: \([^()]{1,40}\))? to fully"),
    rule("Actual usage", rf"[Cc]urrent (?:kv|KV) cache memory(?: in use is|:) <kv_in_use__g>{_GIB}"),
    rule("Actual usage", r"[Cc]urrent kv cache memory in use is <kv_in_use__b> bytes"),
)  # fmt: skip

PHASES = (
    ("Starting to load model", Phase.LOADING),
    ("checkpoint shards", Phase.LOADING),
    ("Checkpoint size", Phase.LOADING),
    ("weights took", Phase.LOADING),
    ("Model loading took", Phase.LOADING),
    ("vLLM's torch.compile", Phase.COMPILING),
    ("torch.compile took", Phase.COMPILING),
    ("torch.compile takes", Phase.COMPILING),
    ("torch.compile and initial", Phase.COMPILING),
    ("Compiling a graph", Phase.COMPILING),
    ("Dynamo bytecode", Phase.COMPILING),
    ("Memory profiling", Phase.PROFILING),
    ("Profiling CUDA graph memory", Phase.PROFILING),
    ("Encoder cache will be initialized", Phase.PROFILING),
    ("Available KV cache memory", Phase.PROFILING),
    ("memory for KV Cache as specified", Phase.PROFILING),
    ("KV cache size: ", Phase.PROFILING),
    ("Capturing CUDA graph", Phase.CAPTURING),
    ("Capturing cudagraph", Phase.CAPTURING),
    ("Capturing the model", Phase.CAPTURING),
    ("Graph capturing finished", Phase.CAPTURING),
    ("init engine (", Phase.INITIALIZED),
    ("Application startup complete", Phase.SERVING),
    ("Uvicorn running on", Phase.SERVING),
)
"""Words that show a phase."""

NOISE = (" throughput: ", '" 200 OK', '" 200\n')
"""Lines of a server at work, most of a log: they say nothing of the start."""
