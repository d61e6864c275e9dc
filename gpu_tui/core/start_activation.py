"""What vLLM's profile run takes at its peak beside the weights: the sampler, one layer of a whole batch, the encoder.

Follows `GPUModelRunner.profile_run`, `_dummy_sampler_run` and `v1/sample/ops/topk_topp_sampler.py`, read in 0.8.5 to
0.33; V0's `profile_run` in 0.6.6. The peak is the largest of the three, for they run one after another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gpu_tui.core.kv_options import CacheOptions
from gpu_tui.core.kv_states import state_bytes
from gpu_tui.core.model_facts import LayerKind, ModelFacts
from gpu_tui.core.vllm_version import NEWEST, Accounting, Release
from gpu_tui.units import GIB

SORTED_COPIES = 10.0
"""Float32 copies of the logits that a sorting sampler holds at its peak: 9.6 to 10.1 in logs of V0 and V1 with 256 and
1024 rows (sorted values, int64 indices and the sort's own, probabilities, their sum). V0, and V1 up to 0.16."""

MASKED_COPIES = 3.5
"""The same since 0.17, which masks in place (Triton): 16-bit logits, float32 logits, probabilities, noise."""

DRAWN_COPIES = 1.5
"""The same of model runner V2, whose profile run draws from the float32 logits inside its kernel."""

USUAL_ROWS = 0.9
"""Share of the default `max_num_seqs` that stands for starts which do not tell theirs: some operators set far less."""

LAYER_HIDDEN = 3.5
"""Copies of the hidden states alive at the peak of a layer: 3 to 4 in V0 logs that print the peak (Llama, Qwen2.5)."""

UNKNOWN_VOCAB = 128_000
UNKNOWN_LAYER_BYTES = 120_000
USUAL_WEIGHTS = 15 * GIB
"""A token through a layer of a 7B model, and what that weighs; for a model of which nothing but its weights is known.
Wider and deeper models grow in both, so that a layer grows as the square root of the weights."""

UNTOLD_ENCODER = round(0.8 * GIB)
"""What an encoder of unknown size adds."""

_RUNNER_2_SINCE_0_24 = {
    "Qwen3ForCausalLM",
    "DeepseekV2ForCausalLM",
    "Qwen2MoeForCausalLM",
    "GraniteMoeForCausalLM",
    "LlamaForCausalLM",
    "MistralForCausalLM",
}
_RUNNER_2_MOE = {
    "DeepseekV2ForCausalLM",
    "GraniteMoeForCausalLM",
    "Qwen2MoeForCausalLM",
    "LongcatFlashNgramForCausalLM",
}
"""`DEFAULT_V2_MODEL_RUNNER_ARCHITECTURES` of `vllm/config/vllm.py`, 0.24 and 0.26."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The estimate and where nine of ten truths lie. Bytes."""

    size: float
    least: float
    most: float
    source: str


def sampler_copies(facts: ModelFacts | None, rules: Accounting) -> float:
    """Float32 copies of the logits at the sampler's peak in this release."""
    release = rules.release or NEWEST
    if rules.v0 or release < (0, 17, 0):
        return SORTED_COPIES
    return DRAWN_COPIES if facts is not None and _runs_on_runner_2(facts, release) else MASKED_COPIES


def _runs_on_runner_2(facts: ModelFacts, release: Release) -> bool:
    """Whether this release serves the model with model runner V2 by default; read in 0.22, 0.24, 0.26 to 0.30."""
    if release >= (0, 30, 0):
        return True
    recurrent = any(group.kind is LayerKind.STATE for group in facts.groups)
    several = (facts.num_experts or 0) > 1
    if release >= (0, 26, 0):
        return facts.architecture in _RUNNER_2_MOE or not (recurrent or several)
    if release >= (0, 24, 0):
        return facts.architecture in _RUNNER_2_SINCE_0_24
    first = facts.architecture == "Qwen3ForCausalLM" and facts.quantization is None
    return release >= (0, 22, 0) and first and not several


def peak(
    facts: ModelFacts | None,
    rules: Accounting,
    cache: CacheOptions,
    rows: int,
    *,
    rows_told: bool,
    weights_bytes: int,
    any_release: bool,
) -> Peak:
    """The peak of the profile run.

    Args:
        facts: the model.
        rules: the release.
        cache: tensor parallelism and `max_num_batched_tokens`.
        rows: `max_num_seqs`.
        rows_told: it was given, not vLLM's default.
        weights_bytes: the model's, over all GPUs.
        any_release: `rules` are a guess.
    """
    vocab = (facts.vocab_size if facts else None) or UNKNOWN_VOCAB
    tokens = cache.max_num_batched_tokens
    logits = rows * vocab * 4 * (1.0 if rows_told else USUAL_ROWS)
    layers = tokens * _layer_bytes(facts, cache.tensor_parallel_size, weights_bytes)
    size = max(sampler_copies(facts, rules) * logits, layers)
    least, most = 0.75 * size, 1.3 * size + 0.25 * GIB
    if not rows_told:
        least = min(least, 0.7 * layers)
    if any_release:
        # Which sampler runs is not known either.
        least = min(least, max(0.7 * layers, DRAWN_COPIES * logits))
        most = max(most, 1.1 * SORTED_COPIES * logits)
    if facts is None or facts.vocab_size is None:
        least, most = min(least, 0.2 * size), max(1.2 * most, 1.6 * size + 0.3 * GIB)
    source = f"estimated: {rows} rows of {vocab} logits, {tokens} tokens of a batch"
    found = Peak(size=size, least=least, most=most, source=source)
    if facts is None:
        return found
    return _with_states(found, facts, cache, rows) if rules.v0 else _with_encoder(found, facts, cache)


def _layer_bytes(facts: ModelFacts | None, ranks: int, weights_bytes: int) -> float:
    """Peak bytes of one token in a layer: gate, up and their product, and the hidden states, 16 bits each."""
    if facts is None or facts.hidden_size is None:
        return UNKNOWN_LAYER_BYTES * math.sqrt(max(0, weights_bytes) / USUAL_WEIGHTS)
    width = facts.intermediate_size or 4 * facts.hidden_size
    experts = facts.experts_per_token or 1
    hidden = LAYER_HIDDEN + (experts if experts > 1 else 0)
    return (3 * experts * width / ranks + hidden * facts.hidden_size) * 2


def _with_states(text: Peak, facts: ModelFacts, cache: CacheOptions, rows: int) -> Peak:
    """V0 allocates the recurrent states of all its rows during the profile run (`MambaCacheManager`).

    In the model's dtype or in float32: the band goes up to twice the size.
    """
    one = sum(group.count * state_bytes(group.state, facts, cache) for group in facts.groups if group.state is not None)
    if not one:
        return text
    states = rows * one
    return Peak(
        size=text.size + states,
        least=text.least + 0.7 * states,
        most=text.most + 2.3 * states,
        source=f"{text.source}, {rows} recurrent states",
    )


def _with_encoder(text: Peak, facts: ModelFacts, cache: CacheOptions) -> Peak:
    """The largest picture runs through the encoder first; what comes of it stays while the batch runs.

    Nobody tells whether pictures were turned off (`--limit-mm-per-prompt`), so the band begins without any.
    """
    if not facts.multimodal:
        return text
    load = facts.encoder
    if load is None:
        size, most = text.size + UNTOLD_ENCODER, text.most + UNTOLD_ENCODER + 2 * GIB
        return Peak(size=size, least=text.least, most=most, source=f"{text.source}, an encoder's worst case")
    items = max(1, cache.max_num_batched_tokens // load.tokens)
    kept = items * load.tokens * (facts.hidden_size or 4096) * 2
    run = items * load.patches * (load.mlp_elements / cache.tensor_parallel_size + LAYER_HIDDEN * load.width) * 2
    return Peak(
        size=max(run, text.size) + kept,
        least=text.least,
        most=max(1.5 * run + 0.3 * GIB, text.most) + kept,
        source=f"{text.source}, {items * load.patches} patches of pictures",
    )
