"""Why a start failed, in our words beside vLLM's, and what to do about it."""

from __future__ import annotations

from gpu_tui.core.deployment import Deployment, DeployPhase
from gpu_tui.core.start_values import FailureKind, Size, StartFailure
from gpu_tui.units import GIB


def cause(one: Deployment) -> tuple[str, str] | None:
    """What happened, and what to do, a sentence or two each; None while nothing failed.

    Figures are those of vLLM's own error; what it does not tell is left out.
    """
    if one.failure is not None:
        return _WORDS.get(one.failure.kind, _other)(one.failure)
    if one.phase is DeployPhase.GONE and not one.served and one.from_birth:
        return (
            "It ended before it served, and no log that can be read tells why.",
            "Look at its log: journalctl -u UNIT, docker logs NAME, or where its output goes.",
        )
    return None


def _gib(size: Size | None) -> str | None:
    return None if size is None else f"{size.size_bytes / GIB:.2f} GiB"


def _not_enough_free(failure: StartFailure) -> tuple[str, str]:
    free, asked = failure.free, failure.requested
    if free is None or asked is None:
        return "Less memory was free than it asks for.", "Free memory on this GPU, or lower --gpu-memory-utilization."
    short = max(0, asked.size_bytes - free.size_bytes)
    what = (
        f"{_gib(free)} were free when it looked, {_gib(asked)} is what it asks for: {short / GIB:.2f} GiB short. "
        "Nothing was loaded."
    )
    lower = ""
    if failure.total is not None and failure.total.size_bytes > 0:
        # Two decimals rounded down: what stands there would have passed.
        fits = int(100 * free.size_bytes / failure.total.size_bytes) / 100
        lower = f", or give it --gpu-memory-utilization {fits:.2f} or less"
    return what, f"Free {short / GIB:.2f} GiB on this GPU{lower}."


def _no_cache_blocks(_: StartFailure) -> tuple[str, str]:
    return (
        "Weights and the profile run took all that --gpu-memory-utilization allows: nothing was left for a KV cache.",
        "Raise --gpu-memory-utilization, or take less: --enforce-eager, fewer --max-num-seqs, a smaller model. "
        "`gpu-tui check` says which of them is enough.",
    )


def _max_len(failure: StartFailure) -> tuple[str, str]:
    need, have = _gib(failure.needed_kv), _gib(failure.available_kv)
    what = "The KV cache that was left cannot hold one request of --max-model-len"
    if need is not None and have is not None:
        what += f": it needs {need}, {have} were left"
    longest = failure.estimated_max_len
    lower = f"--max-model-len {longest}" if longest else "a shorter --max-model-len"
    return f"{what}.", f"Give it {lower}, --kv-cache-dtype fp8, or a higher --gpu-memory-utilization."


def _profiling(failure: StartFailure) -> tuple[str, str]:
    before, after = _gib(failure.initial_free), _gib(failure.current_free)
    figures = f" ({before} were free before, {after} after)" if before and after else ""
    return (
        f"Another process let go of memory while it profiled{figures}. Its own settings are not at fault.",
        "Start it again while nothing else starts or stops; `gpu-tui check --wait-quiet 10` waits for that.",
    )


def _oom_load(failure: StartFailure) -> tuple[str, str]:
    return _out_of_memory(failure, "while it loaded the weights", "A smaller or more quantized model")


def _oom_profile(failure: StartFailure) -> tuple[str, str]:
    return _out_of_memory(
        failure,
        "in the profile run, before its KV cache was sized",
        "Smaller --max-num-batched-tokens or --max-num-seqs",
    )


def _oom_capture(failure: StartFailure) -> tuple[str, str]:
    return _out_of_memory(
        failure, "after its KV cache was sized", "A lower --gpu-memory-utilization, or --enforce-eager,"
    )


def _oom_sampler(failure: StartFailure) -> tuple[str, str]:
    return _out_of_memory(failure, "while it warmed up the sampler", "A smaller --max-num-seqs")


def _out_of_memory(failure: StartFailure, when: str, helps: str) -> tuple[str, str]:
    tried, free = _gib(failure.tried), _gib(failure.free)
    figures = f": it tried to take {tried}, {free} were free" if tried and free else ""
    return f"CUDA ran out of memory {when}{figures}.", f"{helps} helps, or freeing memory on this GPU."


def _mamba_blocks(_: StartFailure) -> tuple[str, str]:
    return "More sequences are asked for than there are blocks for their states.", "Lower --max-num-seqs."


def _mamba_align(_: StartFailure) -> tuple[str, str]:
    return "A batch is smaller than one block of this hybrid model.", "Raise --max-num-batched-tokens."


def _nccl(_: StartFailure) -> tuple[str, str]:
    return (
        "NCCL, which joins the GPUs, failed; often for want of memory outside vLLM's budget.",
        "Lower --gpu-memory-utilization a little, and look at what else holds these GPUs.",
    )


def _other(_: StartFailure) -> tuple[str, str]:
    return "The engine gave up for a cause that gpu-tui does not know.", "Its own words above tell more."


_WORDS = {
    FailureKind.NOT_ENOUGH_FREE: _not_enough_free,
    FailureKind.NO_CACHE_BLOCKS: _no_cache_blocks,
    FailureKind.MAX_LEN_TOO_LONG: _max_len,
    FailureKind.MEMORY_PROFILING: _profiling,
    FailureKind.OOM_LOAD: _oom_load,
    FailureKind.OOM_PROFILE: _oom_profile,
    FailureKind.OOM_CAPTURE: _oom_capture,
    FailureKind.OOM_SAMPLER: _oom_sampler,
    FailureKind.MAMBA_BLOCKS: _mamba_blocks,
    FailureKind.MAMBA_ALIGN: _mamba_align,
    FailureKind.NCCL: _nccl,
}
