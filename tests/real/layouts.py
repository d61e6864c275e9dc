"""vLLM's own arithmetic of caches, asked of its code in its own environment, and ours in the same words."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpu_tui.core.kv_layout import KvLayout
from gpu_tui.core.kv_options import CacheOptions
from gpu_tui.core.kv_pages import kv_layout
from gpu_tui.core.model_config import facts_from_config
from gpu_tui.core.model_facts import LayerKind, ModelFacts
from gpu_tui.core.vllm_version import accounting_of
from tests.real.installing import Installed

VERSION = "0.32.0"
SCRIPT = Path(__file__).parent / "vllm_layouts.py"
CPU_BLOCK, CPU_KERNEL_BLOCK, CPU_MLA_BLOCK = 128, 32, 16
"""Tokens: the CPU build's default, what its kernels take, and all that its MLA kernel takes (`platforms/cpu.py`)."""
_FLAGS = {
    "tensor_parallel_size": "tensor_parallel_size",
    "pipeline_parallel_size": "pipeline_parallel_size",
    "decode_context_parallel_size": "decode_context_parallel_size",
    "block_size": "block_size",
    "kv_cache_dtype": "kv_cache_dtype",
    "dtype": "dtype",
    "enable_prefix_caching": "prefix_caching",
    "mamba_cache_dtype": "state_dtype",
    "mamba_ssm_cache_dtype": "ssm_state_dtype",
}
"""vLLM's names and ours."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model under some flags of vLLM's (`EngineArgs`), with caches of several sizes in bytes."""

    name: str
    config: Mapping[str, Any]
    flags: Mapping[str, Any]
    caches: Sequence[int]
    like_cuda: bool = True

    def line(self) -> str:
        """What `vllm_layouts.py` reads."""
        flags = {"dtype": "bfloat16", **self.flags}
        case = {"config": self.config, "flags": flags, "caches": self.caches, "like_cuda": self.like_cuda}
        return json.dumps(case)


def asked(installed: Installed, cases: Sequence[Case]) -> list[dict[str, Any]]:
    """vLLM's answer to each case, in their order."""
    env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(installed.home), "OMP_NUM_THREADS": "1"}
    env |= {"VLLM_TARGET_DEVICE": "cpu", "VLLM_HOST_IP": "127.0.0.1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    done = subprocess.run(
        [str(installed.vllm.with_name("python")), str(SCRIPT)],
        input="".join(f"{case.line()}\n" for case in cases),
        env=env,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(cases), f"{len(answers)} answers to {len(cases)} cases:\n{done.stderr[-4000:]}"
    return answers


def cpu_options(facts: ModelFacts, options: CacheOptions, state_dtype: str) -> CacheOptions:
    """What the CPU build decides otherwise than a GPU does.

    Args:
        state_dtype: of recurrent states; with AVX512-BF16 the build sets it to float32.
    """
    mla = any(group.kind is LayerKind.MLA for group in facts.groups)
    return replace(
        options,
        block_size=CPU_MLA_BLOCK if mla else options.block_size or CPU_BLOCK,
        kernel_block=CPU_MLA_BLOCK if mla else CPU_KERNEL_BLOCK,
        batches_in_flight=options.pipeline_parallel_size,
        ssm_state_dtype=options.ssm_state_dtype if state_dtype == "auto" else state_dtype,
    )


def predicted(case: Case, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Our figures in the words of vLLM's answer. Of it are taken what a start is told or the machine decides."""
    facts = facts_from_config(case.config, name=case.name)
    told = {ours: case.flags[theirs] for theirs, ours in _FLAGS.items() if theirs in case.flags}
    options = CacheOptions(
        **{"dtype": "bfloat16", **told},
        max_num_batched_tokens=answer["batched"],
        hybrid_manager=not case.flags.get("disable_hybrid_kv_cache_manager"),
    )
    if not case.like_cuda:
        options = cpu_options(facts, options, answer["state_dtype"])
    layout = kv_layout(facts, options, accounting_of(VERSION))
    assert layout is not None, f"no layout for {case.name}"
    length = answer["max_model_len"]
    return {
        "block_bytes": layout.bytes_per_block,
        "need": layout.need_bytes(length),
        "groups": layout.num_groups,
        "caches": [held(layout, size, length) for size in case.caches],
    }


def held(layout: KvLayout, size: int, length: int) -> dict[str, Any]:
    """What a cache of so many bytes holds, for requests of at most `length`; of a start that fails fewer figures."""
    blocks = layout.num_blocks(size)
    usable = blocks - 1  # one block is nobody's
    told: dict[str, Any] = {"blocks": blocks, "longest": layout.largest_request(usable, length)}
    if layout.blocks_per_request(length) > usable:
        return told
    return {**told, "tokens": layout.tokens(blocks, length), "concurrency": layout.concurrency(blocks, length)}
