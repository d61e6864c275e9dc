"""Caches as vLLM's own code lays them out, for every kind of attention: blocks, tokens, concurrency, longest request.

No server is started: `vllm_layouts.py` builds the models' classes without weights and asks `kv_cache_utils`. Everything
must be equal. Not asked are models whose classes the CPU environment cannot build: those that need torchvision
(Qwen3.5, Qwen3-VL, Gemma 3 and 4 and Llama 4 with their image encoders; their language models are here), triton's or
CUTLASS's kernels (Kimi-Linear, Nemotron 3), code from the hub, or that vLLM 0.32 no longer serves (Bamba, MPT).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.real.installing import Installed
from tests.real.layouts import Case, asked, predicted
from tests.real.tiny import TINY

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

GIB = 1024**3
CACHES = (GIB // 64, GIB + 12_345, 40 * GIB)
CONFIGS = Path(__file__).parents[1] / "core" / "data" / "configs"
PUBLIC = {
    "llama-3.1-8b": {},
    "llama-2-7b": {},
    "starcoder": {},
    "falcon-7b": {},
    "mixtral-8x7b": {},
    "qwen2.5-7b": {},
    "qwen3-30b-a3b": {},
    "deepseek-v2-lite": {},
    "glm-4.7-flash": {},
    "deepseek-v3.2": {"block_size": 64},  # its kernels take no other
    "minicpm3-4b": {},
    "mistral-7b-v0.1": {},
    "gemma-2-9b": {},
    "gpt-oss-20b": {},
    "cohere2-command-r7b": {},
    "olmo-3-7b": {},
    "jamba-v0.1": {},
    "falcon-h1-7b": {},
    "granite-4.0-h-small": {},
    "nemotron-h-8b": {},
    "zamba2-1.2b": {},
    "qwen3-next-80b-a3b": {},
    "mamba-2.8b": {},
    "falcon-mamba-7b": {},
    "codestral-mamba-7b": {},
}
"""Published configurations at their full size, and the flags they need."""
LANGUAGE_MODELS = {
    "gemma-3-27b": "Gemma3ForCausalLM",
    "llama-4-scout": "Llama4ForCausalLM",
}
"""Of published models with an image encoder the class of the language model in them."""
RANKS = (
    {"tensor_parallel_size": 2},
    {"pipeline_parallel_size": 2},
    {"pipeline_parallel_size": 3, "max_num_batched_tokens": 512},
)
FLAGS: tuple[Mapping[str, Any], ...] = (
    {},
    *RANKS,
    {"block_size": 64},
    {"kv_cache_dtype": "fp8"},
    {"dtype": "float32"},
    {"enable_prefix_caching": False},
    {"enable_prefix_caching": True, "max_num_batched_tokens": 777},
    {"mamba_ssm_cache_dtype": "float32"},
    {"mamba_cache_dtype": "float32"},
    {"max_model_len": 333},
)
HYBRID_OFF = {"disable_hybrid_kv_cache_manager": True}
NO_STAGES = {"mamba2", "mamba2 beside full", "codestral-mamba-7b", "zamba2-1.2b"}
"""vLLM does not serve them with pipeline parallelism (Falcon-H1: not with tied embeddings)."""
UNEVEN = {"falcon-7b"}
"""71 heads: no tensor parallelism."""


def _flags(name: str) -> Iterator[Mapping[str, Any]]:
    windows = name in {"mistral-7b-v0.1", "gemma-2-9b", "gemma-3-27b", "llama-4-scout", "chunks"} or "window" in name
    for flags in (*FLAGS, HYBRID_OFF) if windows else FLAGS:
        stages, ranks = "pipeline_parallel_size" in flags, "tensor_parallel_size" in flags
        if not (stages and name in NO_STAGES) and not (ranks and name in UNEVEN):
            yield flags


def _published(name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((CONFIGS / f"{name}.json").read_text())
    if name in LANGUAGE_MODELS:
        config = {**config["text_config"], "architectures": [LANGUAGE_MODELS[name]], "torch_dtype": "bfloat16"}
    config.pop("quantization_config", None)
    return config


def _cases() -> Iterator[Case]:
    for name, config in TINY.items():
        for flags in _flags(name):
            for like_cuda in (True, False):
                given = {"max_model_len": 4000, **flags}
                yield Case(name=name, config=config, flags=given, caches=CACHES, like_cuda=like_cuda)
    for name in (*PUBLIC, *LANGUAGE_MODELS):
        config = _published(name)
        length = min(16_384, config.get("max_position_embeddings") or 2048)
        for flags in ({}, *RANKS):
            if flags in list(_flags(name)):
                given = {"max_model_len": length, **PUBLIC.get(name, {}), **flags}
                yield Case(name=name, config=config, flags=given, caches=CACHES)


@pytest.fixture(scope="module")
def answers(installed: Installed) -> list[tuple[Case, dict[str, Any]]]:
    cases = list(_cases())
    return list(zip(cases, asked(installed, cases), strict=True))


@pytest.mark.parametrize("name", [*TINY, *PUBLIC, *LANGUAGE_MODELS])
def test_every_figure_is_vllm_s_own(name: str, answers: list[tuple[Case, dict[str, Any]]]) -> None:
    here = [(case, answer) for case, answer in answers if case.name == name]
    assert here
    for case, answer in here:
        assert "error" not in answer, f"{name}, {case.flags}: {answer['error']}"
        ours = predicted(case, answer)
        theirs = {"groups": len(answer["groups"]), **{key: answer[key] for key in ("block_bytes", "need")}}
        theirs["caches"] = [{key: one[key] for key in one if key != "error"} for one in answer["caches"]]
        assert ours == theirs, f"{name}, {dict(case.flags)}, like CUDA: {case.like_cuda}, {answer['groups']}"


def test_what_is_asked_can_tell_right_from_wrong(answers: list[tuple[Case, dict[str, Any]]]) -> None:
    """Caches too small for one request are among the cases, and such that hold many."""
    held = [one for _, answer in answers for one in answer.get("caches", [])]
    assert sum("error" in one for one in held) > 50
    assert sum(one.get("concurrency", 0) > 2 for one in held) > 50
