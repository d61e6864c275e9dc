"""What a vLLM server's start-up log says, as frozen values. `gpu_tui.core.start_log` reads them out of the text.

Every figure keeps the line it came from and how far its printed decimals reach. What the log does not say is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")
EXCERPT = 240
"""Most characters kept of a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said(Generic[T]):
    """A value that is no size, and where it stands."""

    value: T
    line_no: int
    """Line of the log, from 1."""
    excerpt: str
    """The words it was read from, control characters removed; at most `EXCERPT` characters."""
    rank: str = ""
    """Who printed it: ``Worker_TP0``, ``EngineCore_DP1``; empty for a line without such a prefix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A size as printed, in bytes. It may be negative (KV cache, graphs, non-torch memory)."""

    size_bytes: int
    precision_bytes: int
    """Half of the last printed digit: the true size lies within ± this; 0 for a figure printed in bytes.

    A shorter figure than ``%.2f`` is read as it stands: ``6.9 GiB`` counts as 6.90, since newer versions print a value
    rounded to two decimals without its trailing zeros.
    """
    line_no: int
    excerpt: str
    rank: str = ""


class FailureKind(StrEnum):
    """Why a start ended. The first three are the outcomes of a prediction; the rest only a log can tell."""

    NOT_ENOUGH_FREE = "not_enough_free"
    """Free memory at start < ceil(total × utilization)."""
    NO_CACHE_BLOCKS = "no_cache_blocks"
    """Nothing is left for the KV cache."""
    MAX_LEN_TOO_LONG = "max_len_too_long"
    """The KV cache is smaller than one request of max_model_len."""
    MEMORY_PROFILING = "memory_profiling"
    """More memory was free after the profile run than before it: another process let go of some."""
    OOM_LOAD = "oom_load"
    """CUDA out of memory before the weights were loaded."""
    OOM_PROFILE = "oom_profile"
    """CUDA out of memory in the profile run, before the KV cache was sized."""
    OOM_CAPTURE = "oom_capture"
    """CUDA out of memory after the KV cache was sized: in its allocation, in graph capture or in warm-up."""
    OOM_SAMPLER = "oom_sampler"
    """CUDA out of memory while the sampler was warmed up with max_num_seqs requests."""
    MAMBA_BLOCKS = "mamba_blocks"
    """max_num_seqs exceeds the Mamba cache blocks."""
    MAMBA_ALIGN = "mamba_align"
    """The attention block of a hybrid model is larger than max_num_batched_tokens."""
    NCCL = "nccl"
    """NCCL failed, often for want of memory."""
    OTHER = "other"
    """The engine gave up and the log names no cause known here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFailure:
    """Why a start failed, in vLLM's words, and the figures in them."""

    kind: FailureKind
    text: str
    line_no: int
    rank: str = ""
    device: str | None = None
    """``cuda:1``."""
    free: Size | None = None
    """Free on the device: at start-up, or at the moment of an out-of-memory error."""
    total: Size | None = None
    requested: Size | None = None
    """total × utilization, or the budget without an external process's weights."""
    utilization: float | None = None
    external_weights: Size | None = None
    """Weights that another process holds for this one (from 0.33)."""
    needed_kv: Size | None = None
    """KV cache of one request of `max_model_len`."""
    available_kv: Size | None = None
    max_model_len: int | None = None
    estimated_max_len: int | None = None
    """The longest max_model_len that fits, by vLLM's own estimate."""
    stored_tokens: int | None = None
    """Tokens that fit into V0's KV cache."""
    initial_free: Size | None = None
    current_free: Size | None = None
    tried: Size | None = None
    """What torch tried to allocate."""
    max_num_seqs: int | None = None
    mamba_blocks: int | None = None
    block_size: int | None = None
    max_num_batched_tokens: int | None = None


class Phase(StrEnum):
    """How far a start has come, in the usual order."""

    STARTING = "starting"
    LOADING = "loading"
    COMPILING = "compiling"
    PROFILING = "profiling"
    CAPTURING = "capturing"
    INITIALIZED = "initialized"
    """The engine is up; the HTTP server is not yet."""
    SERVING = "serving"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPhase:
    """The first line that shows a phase."""

    phase: Phase
    line_no: int
    timestamp: str | None = None
    """As printed: the journal's, docker's or Kubernetes' stamp, else vLLM's own (month-day, no year); None if none."""


class Wording(StrEnum):
    """The two wordings of the usage summary."""

    WEIGHTS = "weights"
    """``… for weight, … for peak activation, … for non-torch memory``: the graph estimate is subtracted besides."""
    CONSUMED = "consumed"
    """``… for consumed memory (weights + non-torch)`` (from 0.28): activation includes the graph estimate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSummary:
    """The line ``Free memory on device (F/T GiB) on startup. Desired GPU memory utilization is (U, R GiB). …``."""

    wording: Wording | None
    """None when the line is cut before the usage."""
    free: Size
    total: Size
    utilization: float
    requested: Size
    weights: Size | None = None
    consumed: Size | None = None
    activation: Size | None = None
    non_torch: Size | None = None
    cuda_graph: Size | None = None
    kv_fit: Size | None = None
    """`--kv-cache-memory` that fits the requested memory; exact bytes."""
    kv_full: Size | None = None
    """`--kv-cache-memory` that uses the GPU fully; exact bytes."""
    kv_in_use: Size | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryTerms:
    """The terms of the memory arithmetic, one process's or the whole start's."""

    total: Size | None = None
    """CUDA's total (cudaMemGetInfo), smaller than NVML's."""
    free: Size | None = None
    """Free at vLLM's start-up snapshot."""
    utilization: Said[float] | None = None
    """As printed: V0 rounds it to two decimals."""
    requested: Size | None = None
    """total × utilization as printed."""
    weights: Size | None = None
    checkpoint: Size | None = None
    """Bytes of the checkpoint's files, before loading."""
    consumed: Size | None = None
    """weights + non-torch as one figure (from 0.28)."""
    non_torch: Size | None = None
    """In 0.6.4 other processes' memory is in it."""
    activation: Size | None = None
    """Peak activation as printed; `activation_holds_graphs` says what is in it."""
    activation_holds_graphs: bool | None = None
    """Whether `activation` includes the graph estimate; None when no activation is printed."""
    cuda_graph: Size | None = None
    """What the capture really took; may be negative."""
    cuda_graph_estimate: Size | None = None
    """What was set aside for it before (from 0.18; subtracted only where it is enabled)."""
    torch_peak: Size | None = None
    """weights + peak activation as one figure (0.6.4)."""
    initial_usage: Size | None = None
    """In use on the GPU before the profile run, as 0.6.4 prints it."""
    available_kv: Size | None = None
    """Memory for the KV cache as computed by the profile; the fixed one where `kv_cache_memory_bytes` is set."""
    kv_tokens: Said[int] | None = None
    """``GPU KV cache size``; of hybrid models no capacity. On a CPU build the CPU's."""
    gpu_blocks: Said[int] | None = None
    cpu_blocks: Said[int] | None = None
    max_concurrency: Said[float] | None = None
    """Requests of `concurrency_len` tokens that fit at once."""
    concurrency_len: Said[int] | None = None
    summary: UsageSummary | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RankTerms(MemoryTerms):
    """What one process printed."""

    rank: str
    """``Worker_TP0``, ``EngineCore_DP1``, ``VllmWorkerProcess``; empty for lines without a prefix."""
    pid: int | None = None
    """As printed: the container's pid, where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartLog(MemoryTerms):
    """One start. Its terms are those of the process with the smallest KV cache, which sizes the pool.

    What that process did not print is taken from another: the largest of what takes memory, the smallest of what gives.
    """

    line_from: int = 1
    line_to: int = 0
    version: Said[str] | None = None
    engine: Said[str] | None = None
    """``V0`` or ``V1``."""
    model: Said[str] | None = None
    args: tuple[tuple[str, str], ...] = ()
    """Options as vLLM printed them (non-default ones, or the whole namespace), values as text; secrets are ``***``."""
    args_complete: bool = False
    """Whether `args` is the whole namespace."""
    config: tuple[tuple[str, str], ...] = ()
    """The engine's configuration line: ``max_seq_len``, ``tensor_parallel_size``, ``kv_cache_dtype`` …"""
    block_size: Said[int] | None = None
    """Attention block of a hybrid model, in tokens."""
    mamba_padding_percent: Said[float] | None = None
    padding_layers: Said[int] | None = None
    graphs_subtracted: Said[bool] | None = None
    """Whether the graph estimate is taken off the KV cache."""
    equivalent_utilization: Said[float] | None = None
    """The utilization that would give this KV cache without (or, when not subtracted, with) the graph estimate."""
    suggested_utilization: Said[float] | None = None
    kv_cache_memory: Size | None = None
    """Fixed by `kv_cache_memory_bytes`; profiling was skipped."""
    blocks_override: Said[int] | None = None
    """num_gpu_blocks_override."""
    fitted_max_len: Said[int] | None = None
    """max_model_len after auto-fit."""
    sleep_freed: Size | None = None
    sleep_in_use: Size | None = None
    load_s: Said[float] | None = None
    profile_s: Said[float] | None = None
    compile_s: Said[float] | None = None
    capture_s: Said[float] | None = None
    init_s: Said[float] | None = None
    """Seconds of ``init engine (profile, create kv cache, warmup model)``."""
    phases: tuple[StartPhase, ...] = ()
    """First line of each phase, in the log's order."""
    failures: tuple[StartFailure, ...] = ()
    """Failures before serving, in the log's order. One that other processes repeat is kept once, and one of kind
    `OTHER` only when no cause is known."""
    ranks: tuple[RankTerms, ...] = ()
    """What each process printed, in order of appearance."""
    incomplete: bool = False
    """A part of this start was not read (a huge log)."""

    @property
    def failure(self) -> StartFailure | None:
        """The cause: the first failure."""
        return self.failures[0] if self.failures else None

    @property
    def phase(self) -> Phase | None:
        """How far the start came; None when the log shows nothing of one."""
        return self.phases[-1].phase if self.phases else None

    @property
    def outcome(self) -> str | None:
        """``started``, a `FailureKind`, or None while it is under way or cannot be told."""
        if any(one.phase is Phase.SERVING for one in self.phases):
            return "started"
        return None if self.failure is None else self.failure.kind.value

    def option(self, name: str) -> str | None:
        """A printed option by its name with underscores; None when not printed."""
        return dict(self.args).get(name)
