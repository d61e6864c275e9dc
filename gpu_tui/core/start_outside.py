"""What a start takes beside torch's own memory: contexts, libraries, NCCL, and what loading leaves behind. GiB.

Fitted to the sample's logs; `tests/benchmarks/bench_predict.py` prints how many truths lie in the bands.
"""

from __future__ import annotations

from gpu_tui.core.model_facts import LayerKind, ModelFacts
from gpu_tui.core.vllm_version import Accounting

Outside = tuple[float, float, float, str]
"""The estimate, how far the truth may be below and above it, and what it is."""

GROWTH: Outside = (0.1, 0.15, 0.35, "the CUDA context's growth and library workspaces")
LEFT_BEHIND: Outside = (0.3, 0.3, 0.6, "the CUDA context's growth, library workspaces and what loading leaves behind")
"""Since 0.20."""
REPACKED: Outside = (0.5, 0.5, 0.7, "the CUDA context's growth, library workspaces and what repacking leaves behind")
"""The same of quantized layers, which are repacked while they are loaded: 0.6 to 0.9 GiB in two logs of AWQ models."""
SEVERAL: Outside = (0.7, 0.5, 1.3, "NCCL's buffers and the CUDA context of one of several ranks")
UNIFIED: Outside = (0.5, 4.5, 3.5, "unified memory: the page cache and other processes come and go meanwhile")

WHOLE_CONTEXT = 0.15
"""More where nothing is compared with the memory before, so that all of the context counts: 0.15 and 0.35 in logs."""

AUTOTUNED = 3.5
"""What tuning the kernels of gated delta nets left behind in one of two builds of 0.17.1 that are told of (#36973)."""


def outside_torch(
    facts: ModelFacts | None, rules: Accounting, ranks: int, *, unified_memory: bool, any_release: bool
) -> Outside:
    """The estimate for one GPU.

    Args:
        facts: the model.
        rules: the release.
        ranks: GPUs that share the weights.
        unified_memory: the GPU shares the CPU's memory.
        any_release: `rules` are a guess.
    """
    if unified_memory:
        size, below, above, what = UNIFIED
    elif ranks > 1:
        size, below, above, what = SEVERAL
    elif rules.graphs_inside:
        size, below, above, what = REPACKED if facts is not None and facts.quantization is not None else LEFT_BEHIND
    else:
        size, below, above, what = GROWTH
    if rules.counts_others and not unified_memory:
        size, below, above, what = size + WHOLE_CONTEXT, below + 0.1, above + 0.25, f"{what}; the whole context"
    if any_release:
        above = max(above, REPACKED[0] + REPACKED[2] - size)
    if _tunes_kernels(facts, rules):
        above += AUTOTUNED
    return size, below, above, what


def _tunes_kernels(facts: ModelFacts | None, rules: Accounting) -> bool:
    recurrent = facts is not None and any(group.kind is LayerKind.STATE for group in facts.groups)
    return recurrent and not rules.v0 and (rules.release is None or (0, 17, 0) <= rules.release < (0, 18, 0))
