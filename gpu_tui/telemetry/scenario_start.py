"""What a scenario file tells of the model and of how vLLM is started."""

from __future__ import annotations

from gpu_tui.core.model_config import facts_from_config
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.start_terms import Given, TermName
from gpu_tui.errors import ConfigError
from gpu_tui.telemetry.scenario_file import ModelTable, ScenarioFile
from gpu_tui.units import mib_to_bytes

_MULTIPLES = {"k": 1000, "m": 1_000_000, "K": 1024, "M": 1024 * 1024}


def start_inputs(file: ScenarioFile, name: str) -> StartInputs | None:
    """The file's model and flags; None when it tells nothing of either.

    Args:
        file: the scenario.
        name: how it is called where a figure's origin is told.

    Raises:
        ConfigError: max_model_len means nothing, or the model's path cannot be read.
    """
    model, vllm = file.model, file.vllm
    if model == ModelTable() and all(getattr(vllm, key) is None for key in vllm.__struct_fields__):
        return None
    length, fit = max_model_len(vllm.max_model_len)
    return StartInputs(
        facts=_facts(model),
        version=vllm.version,
        gpu_memory_utilization=vllm.gpu_memory_utilization,
        max_model_len=length,
        fit_max_model_len=fit or None,
        tensor_parallel_size=vllm.tensor_parallel_size,
        pipeline_parallel_size=vllm.pipeline_parallel_size,
        kv_cache_dtype=vllm.kv_cache_dtype,
        dtype=vllm.dtype,
        block_size=vllm.block_size,
        enforce_eager=vllm.enforce_eager,
        max_num_seqs=vllm.max_num_seqs,
        max_num_batched_tokens=vllm.max_num_batched_tokens,
        kv_cache_memory_bytes=vllm.kv_cache_memory_bytes,
        given=_given(model, name),
        min_kv_cache_bytes=None if model.min_kv_cache_mib is None else mib_to_bytes(model.min_kv_cache_mib),
        reported=not file.processes and all(gpu.free_mib is None for gpu in (file.gpu, *(file.gpus or ())) if gpu),
    )


def max_model_len(told: int | str | None) -> tuple[int | None, bool]:
    """Tokens, and whether the longest that fits is asked for: ``8192``, ``8k`` (8000), ``8K`` (8192), ``auto``, ``-1``.

    Raises:
        ConfigError: it is none of these.
    """
    if told is None:
        return None, False
    text = str(told).strip()
    if text in ("auto", "-1"):
        return None, True
    number, unit = (text[:-1], text[-1]) if text[-1:] in _MULTIPLES else (text, "")
    try:
        tokens = round(float(number) * _MULTIPLES.get(unit, 1))
    except (ValueError, OverflowError):
        tokens = 0
    if tokens < 1:
        raise ConfigError(f"vllm.max_model_len: found {told!r}.", "Give tokens, such as 8192, or auto.")
    return tokens, False


def _facts(model: ModelTable) -> ModelFacts | None:
    if model.config is not None:
        return facts_from_config(model.config, name=model.name)
    if model.path is not None:
        from gpu_tui.telemetry.model_files import find_model

        return find_model(model.path).facts
    return None


def _given(model: ModelTable, name: str) -> dict[TermName, Given]:
    told = {
        TermName.WEIGHTS: model.weights_mib,
        TermName.ACTIVATION: model.activation_mib,
        TermName.NON_TORCH: model.non_torch_mib,
        TermName.CUDA_GRAPHS: model.cuda_graph_mib,
    }
    origin = Origin(kind=OriginKind.ASSUMED, source=f"scenario {name}")
    return {term: Given(size=mib_to_bytes(mib), origin=origin) for term, mib in told.items() if mib is not None}
