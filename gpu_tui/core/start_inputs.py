"""What is known of how vLLM is to be started, from wherever it is known, and what that comes to on one GPU.

A scenario, a running server's command line, its log, the user's settings each fill what they know; `merged` lays them
over one another, and `start_options` puts vLLM's defaults where nobody says anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from gpu_tui.core.cards import default_batch, unified_memory
from gpu_tui.core.kv_options import CacheOptions
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.model_families import since_v1
from gpu_tui.core.origins import OriginKind
from gpu_tui.core.start_setup import NOT_QUANTIZED, Setup, differences
from gpu_tui.core.start_terms import Correction, Given, StartOptions, TermName
from gpu_tui.core.vllm_version import NEWEST, Accounting, accounting_of
from gpu_tui.units import GIB

DEFAULT_SINCE_0_20 = 0.92
"""Nobody types this utilization: a start that has it runs a release whose default it is."""

V0_PICTURE_TOKENS = 5120
"""V0's least batch for multimodal models (`_MULTIMODAL_MODEL_MAX_NUM_BATCHED_TOKENS`)."""

NEWEST_NAME = ".".join(map(str, NEWEST))


@dataclass(frozen=True, slots=True, kw_only=True)
class StartInputs:
    """Flags of vLLM and facts of the model. None: not told."""

    facts: ModelFacts | None = None
    model: str | None = None
    """As `--model` names it: what tells two models apart whose files were not read."""
    quantization: str | None = None
    """`--quantization`; None: as the model's own config says."""
    version: str | None = None
    gpu_memory_utilization: float | None = None
    max_model_len: int | None = None
    fit_max_model_len: bool | None = None
    tensor_parallel_size: int | None = None
    pipeline_parallel_size: int | None = None
    decode_context_parallel_size: int | None = None
    kv_cache_dtype: str | None = None
    dtype: str | None = None
    block_size: int | None = None
    enforce_eager: bool | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    kv_cache_memory_bytes: int | None = None
    num_gpu_blocks_override: int | None = None
    speculative_tokens: int | None = None
    draft_layers: int | None = None
    prefix_caching: bool | None = None
    hybrid_manager: bool | None = None
    mamba_cache_dtype: str | None = None
    mamba_ssm_cache_dtype: str | None = None
    given: Mapping[TermName, Given] = field(default_factory=dict)
    """Terms that need no estimate."""
    cuda_total_bytes: int | None = None
    """CUDA's total as vLLM's own log printed it."""
    min_kv_cache_bytes: int | None = None
    """The user's own floor in place of one request of max_model_len."""
    learned: Mapping[TermName, Correction] | None = None
    """Corrections from past starts. Only the user's word puts them here."""
    learned_floor: Given | None = None
    """What one request was seen to take; likewise. It counts where the layers do not tell it."""
    reported: bool | None = None
    """A start that somebody tells of, with nothing said of what else the GPU held: no machine was looked at."""
    in_effect: Mapping[str, Any] | None = None
    """The flags that the running server has, by the names here, whoever chose them: by the same command line vLLM
    comes to them again."""

    @property
    def rules(self) -> Accounting:
        """How that release accounts; where none is told the newest, as far as nothing speaks for an older one."""
        if self.version is None and self.gpu_memory_utilization == DEFAULT_SINCE_0_20:
            return accounting_of(NEWEST_NAME)
        return accounting_of(self.version)

    @property
    def knows_weights(self) -> bool:
        """Whether a start can be predicted at all."""
        return TermName.WEIGHTS in self.given or (self.facts is not None and self.facts.weights_bytes is not None)

    @property
    def setup(self) -> Setup:
        """What decides whether a term measured with these flags holds for others."""
        facts = self.facts
        own = facts.max_model_len if facts is not None else None
        dtype = None if self.dtype == "auto" else self.dtype
        # The files' own word for it stands first: a log prints the kernel that vLLM took (`awq_marlin`, `moe_wna16`).
        quantization = (facts.quantization if facts is not None else None) or self.quantization
        return Setup(
            model=self.model or (facts.name if facts is not None else None),
            quantization=quantization or (None if facts is None else NOT_QUANTIZED),
            dtype=dtype or (facts.dtype if facts is not None else None),
            version=self.version,
            tensor_parallel_size=self.tensor_parallel_size,
            pipeline_parallel_size=self.pipeline_parallel_size,
            max_model_len=self.max_model_len or own,
            max_num_seqs=self.max_num_seqs,
            max_num_batched_tokens=self.max_num_batched_tokens,
            enforce_eager=self.enforce_eager,
            speculative_tokens=self.speculative_tokens,
        )

    def measured_here(self) -> StartInputs:
        """The same as a running server has it: measured terms are bound to these very flags, which are in effect."""
        setup = self.setup
        given = {
            name: replace(one, under=setup) if one.origin.kind is OriginKind.MEASURED else one
            for name, one in self.given.items()
        }
        flags = {name: told for name in _FLAGS if (told := getattr(self, name)) is not None}
        return replace(self, given=given, in_effect=flags or None)


_FLAGS = (
    "gpu_memory_utilization",
    "max_model_len",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "kv_cache_dtype",
    "block_size",
    "enforce_eager",
    "max_num_seqs",
    "max_num_batched_tokens",
    "kv_cache_memory_bytes",
)
_PLAIN = tuple(f.name for f in fields(StartInputs) if f.name not in ("given",))


def merged(first: StartInputs, *others: StartInputs) -> StartInputs:
    """Lay inputs over one another: of each field, and of each given term, the first that tells it."""
    result = first
    for other in others:
        told = {name: getattr(other, name) for name in _PLAIN if getattr(result, name) is None}
        result = replace(result, **told, given={**other.given, **result.given})
    return result


def start_options(inputs: StartInputs, gpu_name: str | None, total_bytes: int | None) -> StartOptions:
    """The options with vLLM's own defaults for this release and card where nothing is told.

    Args:
        inputs: what is told.
        gpu_name: the card, for its default batch.
        total_bytes: its memory, for the same.
    """
    rules = inputs.rules
    old = _may_be_old(inputs, rules)
    length = inputs.max_model_len or (inputs.facts.max_model_len if inputs.facts is not None else None)
    tokens, rows = default_batch(gpu_name, total_bytes, length, accounting_of("V0") if old else rules)
    if (old or rules.v0) and inputs.facts is not None and inputs.facts.multimodal:
        tokens = max(tokens, V0_PICTURE_TOKENS)
    tokens = inputs.max_num_batched_tokens or tokens
    cache = CacheOptions(
        tensor_parallel_size=inputs.tensor_parallel_size or 1,
        pipeline_parallel_size=inputs.pipeline_parallel_size or 1,
        decode_context_parallel_size=inputs.decode_context_parallel_size or 1,
        block_size=inputs.block_size,
        kv_cache_dtype=inputs.kv_cache_dtype,
        dtype=inputs.dtype,
        max_num_batched_tokens=tokens,
        speculative_tokens=inputs.speculative_tokens or 0,
        draft_layers=inputs.draft_layers or 0,
        prefix_caching=inputs.prefix_caching,
        hybrid_manager=inputs.hybrid_manager is not False,
        state_dtype=inputs.mamba_cache_dtype,
        ssm_state_dtype=inputs.mamba_ssm_cache_dtype,
    )
    given, dropped = still_holding(inputs, gpu_name, total_bytes)
    return StartOptions(
        rules=rules,
        cache=cache,
        max_model_len=inputs.max_model_len,
        fit_max_model_len=bool(inputs.fit_max_model_len),
        enforce_eager=bool(inputs.enforce_eager),
        max_num_seqs=min(inputs.max_num_seqs or rows, tokens),
        rows_told=inputs.max_num_seqs is not None,
        kv_cache_memory_bytes=inputs.kv_cache_memory_bytes,
        num_gpu_blocks_override=inputs.num_gpu_blocks_override,
        given=given,
        dropped=dropped,
        learned=inputs.learned or {},
        unified_memory=unified_memory(gpu_name),
        maybe_old=old,
        reported=bool(inputs.reported),
    )


def _may_be_old(inputs: StartInputs, rules: Accounting) -> bool:
    """Whether a start told by others, without its release, is rather one of V0: nothing in it is newer.

    Of the 12 such starts in the sample whose model V0 could serve and whose KV cache is told, 10 ran V0.
    """
    if not inputs.reported:
        return False
    told = rules.release is not None or rules.v0 or inputs.version is not None
    newer = inputs.kv_cache_memory_bytes is not None or inputs.kv_cache_dtype == "nvfp4" or inputs.fit_max_model_len
    architecture = inputs.facts.architecture if inputs.facts is not None else None
    return not (told or newer or since_v1(architecture))


def still_holding(
    inputs: StartInputs, gpu_name: str | None, total_bytes: int | None
) -> tuple[dict[TermName, Given], dict[TermName, str]]:
    """The given terms that hold for these flags, and for each measured one that does not, why.

    Args:
        inputs: the planned flags, and terms that were measured with the same or others (`Given.under`).
        gpu_name, total_bytes: the card, for vLLM's defaults.
    """
    if all(one.under is None for one in inputs.given.values()):
        return dict(inputs.given), {}
    planned = inputs.setup
    whole = None
    dropped: dict[TermName, str] = {}
    for name, one in inputs.given.items():
        if one.under is None or one.under == planned:
            continue
        whole = whole or planned.resolved(gpu_name, total_bytes)
        rule = one.part_of or name
        found = differences(rule.value, one.under.resolved(gpu_name, total_bytes), whole)
        if found:
            size = inputs.given[rule].size if rule in inputs.given else one.size
            dropped[name] = f"not the {size / GIB:.2f} GiB measured, where {'; '.join(found)}"
    return {name: one for name, one in inputs.given.items() if name not in dropped}, dropped
