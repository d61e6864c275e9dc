"""What is known of a model before it is loaded: the layers that keep a cache, and what the weights weigh.

Filled from `config.json` (`core/model_config.py`), from the headers of its files, or typed in. What no file tells
is None or named in `assumptions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gpu_tui.core.origins import Origin


class LayerKind(StrEnum):
    """How a layer keeps its past; vLLM's KVCacheSpecKind, less those that need no memory of their own."""

    FULL = "full_attention"
    SLIDING = "sliding_window"
    CHUNKED = "chunked_local_attention"
    MLA = "mla_attention"
    STATE = "mamba"
    """Mamba, Mamba2, gated delta net, linear attention: a state of fixed size for each request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateShape:
    """The state one layer of kind STATE keeps for one request, before tensor parallelism.

    Bytes on one rank: conv_channels / TP × (conv_kernel − 1 + speculative tokens) × conv_bytes
    + ssm_elements / TP × ssm_bytes (`vllm/model_executor/layers/mamba/mamba_utils.py`, MambaStateShapeCalculator).
    """

    conv_channels: int
    conv_kernel: int
    ssm_elements: int
    conv_bytes: int | None = None
    """Bytes an element of the convolution state; None: the model's dtype."""
    ssm_bytes: int | None = None
    """Bytes an element of the recurrent state; None: the model's dtype."""
    conv_groups: int = 0
    """Mamba2: groups among those channels. Where the ranks do not divide them, each rank keeps one whole."""
    group_channels: int = 0
    """Channels of one such group."""
    chunk: int | None = None
    """Mamba and Mamba2: tokens between which a state can be kept; None: states of single blocks only."""
    checkpoints: bool = False
    """Mamba2: with prefix caching a prefill also keeps the state at its last whole block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerGroup:
    """Layers of one kind and one shape, over the whole model, before parallelism."""

    kind: LayerKind
    layers: tuple[int, ...]
    """Their numbers in the model, from 0, ascending: what pipeline parallelism needs."""
    kv_heads: int | None = None
    head_dim: int | None = None
    head_dim_v: int | None = None
    """None: as `head_dim`."""
    window: int | None = None
    """Tokens of the sliding window or of a chunk."""
    latent_dim: int | None = None
    """MLA: kv_lora_rank + qk_rope_head_dim elements a token, not divided by tensor parallelism."""
    indexer_dim: int | None = None
    """Sparse MLA: index_head_dim elements a token and layer in the indexer's own cache."""
    state: StateShape | None = None

    @property
    def count(self) -> int:
        """How many layers."""
        return len(self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderLoad:
    """The largest picture an encoder takes, which the profile run feeds it."""

    patches: int
    """What the encoder sees of it."""
    tokens: int
    """What the language model sees of it."""
    width: int
    """Elements of a patch between the layers."""
    mlp_elements: int
    """Elements of a patch inside the MLP, over all its matrices that widen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """One model. None is unknown; sizes in bytes."""

    name: str | None = None
    architecture: str | None = None
    """``architectures[0]`` of the config: ``LlamaForCausalLM``."""
    groups: tuple[LayerGroup, ...] = ()
    """Layers with a cache; empty: unknown (an attention-free model has STATE groups)."""
    num_layers: int | None = None
    hidden_size: int | None = None
    intermediate_size: int | None = None
    """Of one dense MLP, or of one expert where all layers are experts."""
    num_attention_heads: int | None = None
    vocab_size: int | None = None
    max_model_len: int | None = None
    """The context the model was made for, as vLLM derives it: what `--max-model-len` is when it is not given."""
    dtype: str | None = None
    """``bfloat16``, ``float16`` or ``float32``, as vLLM's ``auto`` picks it."""
    quantization: str | None = None
    """``awq``, ``gptq``, ``fp8``, ``modelopt_fp4``, ``compressed-tensors``, …; None: not quantized."""
    kv_cache_dtype: str | None = None
    """``fp8`` where the checkpoint itself asks for it; None: as `dtype`."""
    parameters: int | None = None
    """Elements of all weights, from the shapes the config implies; an estimate."""
    weights_bytes: int | None = None
    """All weights as loaded, before parallelism: exact from files' headers, else estimated from `parameters`."""
    weights_origin: Origin | None = None
    weights_band: tuple[int, int] | None = None
    """The least and the most the weights may be, in bytes; None: exact."""
    unsharded_bytes: int | None = None
    """Of `weights_bytes`, what every tensor-parallel rank holds whole; None: unknown, small."""
    multimodal: bool = False
    """Has a vision or audio encoder, which the profile run feeds its worst case."""
    encoder: EncoderLoad | None = None
    """How large that worst case is; None: unknown."""
    num_experts: int | None = None
    experts_per_token: int | None = None
    draft_layers: int = 0
    """MTP layers the checkpoint carries; they count only with speculative decoding."""
    encoder_bytes: int | None = None
    """Of `weights_bytes`, the image and audio encoders, which `--language-model-only` leaves out; None: unknown."""
    draft_bytes: int | None = None
    """Weights of those layers, not part of `weights_bytes`; None: none, or unknown."""
    assumptions: tuple[str, ...] = ()
    """What the config does not tell and how it was taken, in words."""
