"""What vLLM's own code makes of a model's cache, without serving it: run by the interpreter of vLLM's environment.

One JSON object a line on standard input, one answer a line on standard output:

    {"config": {…config.json…}, "flags": {…EngineArgs…}, "caches": [bytes of one GPU's cache, …], "like_cuda": true}
    {"block_size", "block_bytes", "groups": [[kind, layers, block size, blocks of one request]], "need": bytes,
     "caches": [{"blocks", "tokens", "concurrency", "longest"}]}    or    {"error": "…"}

The model's classes are built on the meta device, rank 0 of every pipeline stage, and asked for their cache; groups,
pages and counts are `vllm.v1.core.kv_cache_utils`'. `like_cuda`: what the platform decides is as on a GPU: blocks of
16 tokens, two batches in flight. Hardware that is not here is not asked.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ |= {"VLLM_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}

import torch
from vllm.config import VllmConfig, set_current_vllm_config
from vllm.distributed import parallel_state
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.layers.attention_layer_base import AttentionLayerBase
from vllm.model_executor.model_loader.utils import initialize_model
from vllm.model_executor.models import registry
from vllm.platforms import current_platform
from vllm.platforms.cpu import CpuPlatform
from vllm.utils.torch_utils import set_default_torch_dtype
from vllm.v1.attention.backend import MultipleOf
from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend
from vllm.v1.attention.backends.mla.cpu_mla import CPUMLABackend
from vllm.v1.attention.backends.utils import get_supported_kv_cache_layouts, resolve_kv_cache_layout
from vllm.v1.core import kv_cache_utils as cache_utils
from vllm.v1.core.kv_cache_utils import get_kv_cache_configs
from vllm.v1.core.single_type_kv_cache_manager import register_all_kvcache_specs
from vllm.v1.kv_cache_interface import get_kv_cache_spec_kind
from vllm.v1.worker.gpu.attn_utils import get_kv_cache_spec

_GPU_BLOCK = 16
"""Tokens of a block on a GPU; FlashAttention, FlashInfer and Triton take multiples of it."""


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever vLLM prints is no answer
    registry._run_in_subprocess = lambda work: work()  # it would import vLLM once more for every architecture
    _as_if_distributed()
    for line in sys.stdin:
        try:
            answer = _answer(json.loads(line))
        except Exception as error:  # noqa: BLE001 - whatever vLLM says is the answer
            answer = {"error": f"{type(error).__name__}: {error}"[:600]}
        print(json.dumps(answer), file=answers, flush=True)


def _answer(case: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, _platform(bool(case.get("like_cuda"))) as like_cuda:
        (Path(folder) / "config.json").write_text(json.dumps(case["config"]))
        flags = {"skip_tokenizer_init": True, "load_format": "dummy", "enforce_eager": True} | case.get("flags", {})
        if like_cuda:
            flags = {"block_size": _GPU_BLOCK} | flags
        config = EngineArgs(model=folder, **flags).create_engine_config()
        if like_cuda:
            config.scheduler_config.async_scheduling = True
            VllmConfig.use_v2_model_runner = property(lambda _: True)
            config.cache_config.block_size = flags["block_size"]
        return _laid_out(config, _specs(config), case["caches"])


def _as_if_distributed() -> None:
    """A process group of this process alone; its sizes are then set to those of the rank that is played."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with set_current_vllm_config(VllmConfig()):
        parallel_state.init_distributed_environment(1, 0, f"tcp://127.0.0.1:{port}", 0, "gloo")
        parallel_state.initialize_model_parallel(1, 1)


@contextmanager
def _platform(like_cuda: bool) -> Iterator[bool]:
    """What this CPU would decide otherwise than a GPU does: kernel blocks, the states' dtype."""
    sizes = {backend: backend.get_supported_kernel_block_sizes for backend in (CPUAttentionBackend, CPUMLABackend)}
    accepts, fast_states = CPUMLABackend.supports_block_size, torch.cpu._is_avx512_bf16_supported
    chosen, runner = CpuPlatform.get_attn_backend_cls, VllmConfig.use_v2_model_runner
    if like_cuda:
        for backend in sizes:
            backend.get_supported_kernel_block_sizes = staticmethod(lambda _=None: [MultipleOf(_GPU_BLOCK)])
        CPUMLABackend.supports_block_size = classmethod(lambda _, size: size is None or size % _GPU_BLOCK == 0)
        torch.cpu._is_avx512_bf16_supported = lambda: False
        CpuPlatform.get_attn_backend_cls = classmethod(
            lambda _, backend, attn_selector_config, **more: chosen(
                backend, attn_selector_config._replace(use_sparse=False), **more
            )
        )
    try:
        yield like_cuda
    finally:
        VllmConfig.use_v2_model_runner = runner
        for backend, own in sizes.items():
            backend.get_supported_kernel_block_sizes = own
        CPUMLABackend.supports_block_size = accepts
        torch.cpu._is_avx512_bf16_supported = fast_states
        CpuPlatform.get_attn_backend_cls = chosen


def _specs(config: Any) -> list[dict[str, Any]]:
    """What every pipeline stage's layers ask of the cache, of the stage's first rank."""
    parallel = config.parallel_config
    stages = []
    for stage in range(parallel.pipeline_parallel_size):
        _play(parallel_state.get_tp_group(), 0, parallel.tensor_parallel_size)
        _play(parallel_state.get_pp_group(), stage, parallel.pipeline_parallel_size)
        config.compilation_config.static_forward_context.clear()
        with set_default_torch_dtype(config.model_config.dtype), torch.device("meta"):
            initialize_model(config)
        with set_current_vllm_config(config):
            current_platform.update_block_size_for_backend(config)
            stages.append(get_kv_cache_spec(config))
            layers = config.compilation_config.static_forward_context.values()
            backends = {one.get_attn_backend() for one in layers if isinstance(one, AttentionLayerBase)}
    layouts = [layout.name for layout in get_supported_kv_cache_layouts(backends)]
    config.cache_config.kv_cache_layout = None
    resolve_kv_cache_layout(config, [layouts], [spec for stage in stages for spec in stage.values()])
    return stages


def _play(group: Any, rank: int, size: int) -> None:
    group.rank = group.rank_in_group = rank
    group.world_size, group.ranks = size, list(range(size))


def _laid_out(config: Any, stages: list[dict[str, Any]], caches: list[int]) -> dict[str, Any]:
    register_all_kvcache_specs(config)
    groups = cache_utils.get_kv_cache_groups(config, {name: spec for stage in stages for name, spec in stage.items()})
    projected = [cache_utils._project_kv_cache_groups_to_worker(groups, stage) for stage in stages]
    block_bytes = max(cache_utils._pool_bytes_per_block(config, each) for each in projected)
    told = [
        [
            get_kv_cache_spec_kind(one.kv_cache_spec).value,
            len(one.layer_names),
            one.kv_cache_spec.block_size,
            -(-one.kv_cache_spec.max_memory_usage_bytes(config) // one.kv_cache_spec.page_size_bytes),
        ]
        for one in groups
    ]
    return {
        "block_size": min(size for _, _, size, _ in told),
        "block_bytes": block_bytes,
        "groups": told,
        "need": max(cache_utils._max_memory_usage_bytes_from_groups(config, each) for each in projected),
        "state_dtype": str(config.cache_config.mamba_ssm_cache_dtype),
        "batched": config.scheduler_config.max_num_batched_tokens,
        "in_flight": config.max_in_flight_tokens,
        "max_model_len": config.model_config.max_model_len,
        "dtype": str(config.model_config.dtype).removeprefix("torch."),
        "prefix_caching": bool(config.cache_config.enable_prefix_caching),
        "mamba_mode": str(config.cache_config.mamba_cache_mode),
        "caches": [_held(config, stages, projected, block_bytes, size) for size in caches],
    }


def _held(config: Any, stages: Any, projected: Any, block_bytes: int, size: int) -> dict[str, Any]:
    usable = size - block_bytes  # one block is nobody's
    longest = min(cache_utils._estimate_max_model_len_from_groups(config, each, usable) for each in projected)
    try:
        configs = get_kv_cache_configs(config, stages, [size] * len(stages))
    except ValueError as error:
        return {"blocks": size // block_bytes, "longest": longest, "error": str(error)}
    scheduled = cache_utils.generate_scheduler_kv_cache_config(configs)
    tokens, concurrency = cache_utils.get_kv_cache_capacity(config, scheduled)
    return {"blocks": scheduled.num_blocks, "tokens": tokens, "concurrency": concurrency, "longest": longest}


if __name__ == "__main__":
    main()
