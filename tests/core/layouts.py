"""Models and flags for the tests of cache layouts and starts: public configs, and drawn ones of every kind."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from gpu_tui.core.kv_layout import KvLayout
from gpu_tui.core.kv_options import CacheOptions
from gpu_tui.core.kv_pages import kv_layout
from gpu_tui.core.model_config import facts_from_config
from gpu_tui.core.model_facts import LayerGroup, LayerKind, ModelFacts, StateShape
from gpu_tui.core.vllm_version import accounting_of

CONFIGS = Path(__file__).parent / "data" / "configs"
VERSIONS = (
    "0.6.6",
    "0.8.5",
    "0.8.5 (V0)",
    "0.9.0",
    "0.9.2",
    "0.16.0",
    "0.19.1",
    "0.20.2",
    "0.27.1",
    "0.28.0",
    "0.30.0",
    "0.33.0",
)


@cache
def facts_of(name: str) -> ModelFacts:
    return facts_from_config(json.loads((CONFIGS / f"{name}.json").read_text()), name=name)


def layout_of(name: str, version: str = "0.19.1", **options: Any) -> KvLayout:
    layout = kv_layout(facts_of(name), CacheOptions(**options), accounting_of(version))
    assert layout is not None
    return layout


KNOWN = tuple(
    sorted(
        path.stem
        for path in CONFIGS.glob("*.json")
        if kv_layout(facts_of(path.stem), CacheOptions(), accounting_of("0.19.1")) is not None
    )
)
"""Public configs whose layout is known."""


@st.composite
def models(draw: st.DrawFn) -> ModelFacts:
    """A model of one or two attention kinds, small enough for brute force."""
    full = draw(st.integers(0, 6))
    other = draw(st.integers(0 if full else 1, 6))
    kind = draw(st.sampled_from([LayerKind.SLIDING, LayerKind.CHUNKED, LayerKind.STATE, LayerKind.MLA]))
    heads, dim = draw(st.sampled_from([1, 2, 4, 8])), draw(st.sampled_from([32, 64, 128]))
    groups = []
    if full:
        groups.append(LayerGroup(kind=LayerKind.FULL, layers=tuple(range(full)), kv_heads=heads, head_dim=dim))
    if other:
        fields: dict[str, Any] = {"kv_heads": heads, "head_dim": dim, "window": draw(st.integers(1, 600))}
        if kind is LayerKind.STATE:
            state = StateShape(
                conv_channels=draw(st.sampled_from([64, 256])),
                conv_kernel=4,
                ssm_elements=draw(st.sampled_from([1024, 16384])),
                ssm_bytes=4,
                chunk=draw(st.sampled_from([None, 64])),
                checkpoints=draw(st.booleans()),
            )
            fields = {"state": state}
        elif kind is LayerKind.MLA:
            fields = {"latent_dim": draw(st.sampled_from([64, 576]))}
        groups.append(LayerGroup(kind=kind, layers=tuple(range(full, full + other)), **fields))
    return ModelFacts(
        name="drawn",
        groups=tuple(groups),
        num_layers=full + other,
        hidden_size=512,
        vocab_size=draw(st.sampled_from([32_000, 152_000])),
        max_model_len=draw(st.sampled_from([None, 2048, 32_768])),
        dtype="bfloat16",
        weights_bytes=draw(st.integers(1, 8)) * 1024**3,
    )


flags = st.builds(
    CacheOptions,
    tensor_parallel_size=st.sampled_from([1, 2, 4]),
    decode_context_parallel_size=st.sampled_from([1, 1, 2]),
    block_size=st.sampled_from([None, 16, 32, 128]),
    kv_cache_dtype=st.sampled_from([None, "auto", "fp8"]),
    max_num_batched_tokens=st.sampled_from([16, 64, 512, 2048]),
    speculative_tokens=st.sampled_from([0, 0, 2]),
    draft_layers=st.sampled_from([0, 0, 1]),
    prefix_caching=st.sampled_from([None, True, False]),
    hybrid_manager=st.booleans(),
)


@st.composite
def drawn_layouts(draw: st.DrawFn) -> KvLayout:
    """A layout of a drawn model under drawn flags and releases."""
    layout = kv_layout(draw(models()), draw(flags), accounting_of(draw(st.sampled_from(VERSIONS))))
    # V0 keeps no recurrent state in blocks: a model of nothing else has no layout there.
    if layout is None:
        layout = kv_layout(facts_of("llama-3.1-8b"), draw(flags), accounting_of("0.19.1"))
    assert layout is not None
    return layout


known_layouts = st.builds(layout_of, st.sampled_from(KNOWN), st.sampled_from(["0.9.2", "0.19.1", "0.33.0"]))
layouts = st.one_of(drawn_layouts(), known_layouts)
