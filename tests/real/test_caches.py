"""Real servers with dummy weights, one for each kind of cache: what they log is what was predicted, to the token.

`test_layouts.py` asks vLLM's code about many more; here it is what a server in fact allots. `GPU_TUI_REAL_ALL=1` starts
the rest too. None of `tiny.TINY` fails to start on the CPU build, but sparse MLA does ("Sparse Attention is not
supported on CPU", tried with DeepSeek V3.2's), and Qwen3.5 needs torchvision, which is not installed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpu_tui.core.kv_options import CacheOptions
from gpu_tui.core.kv_pages import kv_layout
from gpu_tui.core.model_config import facts_from_config
from gpu_tui.core.vllm_version import accounting_of
from tests.real.installing import Installed
from tests.real.layouts import VERSION, cpu_options
from tests.real.services import dummy_model, start_vllm
from tests.real.tiny import TINY

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

GIB = 1024**3
LENGTH, BATCH = 4000, 1024
TELLING = (
    ("mqa", "fp8"),
    ("mla", None),
    ("window and full, 5:1", None),
    ("chunks", None),
    ("mamba", None),
    ("mamba2 and full", None),
    ("gated delta net and full", None),
)
"""Kinds and `--kv-cache-dtype`."""
_REST = tuple((name, None) for name in TINY if (name, None) not in TELLING)
_ALL = bool(os.environ.get("GPU_TUI_REAL_ALL"))
"""Read now: a test's own environment has none of gpu-tui's variables."""


@pytest.mark.parametrize(("name", "dtype"), (*TELLING, *_REST) if _ALL else TELLING)
def test_a_server_allots_what_was_predicted(name: str, dtype: str | None, installed: Installed, tmp_path: Path) -> None:
    model = dummy_model(tmp_path / "model", TINY[name], tokenizer_of=installed.smollm2)
    flags = ["--load-format", "dummy", "--max-model-len", str(LENGTH), "--max-num-batched-tokens", str(BATCH)]
    flags += ["--kv-cache-dtype", dtype] if dtype is not None else []
    with start_vllm(installed, model, *flags, folder=tmp_path) as server:
        log, blocks, tokens = server.log(), server.blocks, server.kv_cache_tokens
    facts = facts_from_config(TINY[name], name=name)
    plain = CacheOptions(dtype="bfloat16", kv_cache_dtype=dtype, max_num_batched_tokens=BATCH)
    # With AVX512-BF16 the build keeps states in float32, whatever the model is in.
    layout = kv_layout(facts, cpu_options(facts, plain, _state_dtype(log)), accounting_of(VERSION))
    assert layout is not None
    assert (layout.num_blocks(GIB), layout.tokens(blocks, LENGTH)) == (blocks, tokens)
    concurrency = f"Maximum concurrency for {LENGTH:,} tokens per request: {layout.concurrency(blocks, LENGTH):.2f}x"
    assert concurrency in log


def _state_dtype(log: str) -> str:
    return "float32" if "Reset SSM cache type to float32" in log else "auto"
