"""What a running vLLM tells of itself, as inputs of a prediction: its command line, its start-up log, its metrics.

A term the log prints is *measured*. Where it prints only the KV cache that was left, activation and non-torch memory
are one figure: requested − weights − graphs − KV cache.
"""

from __future__ import annotations

import re

from gpu_tui.core.cache_info import EngineCache
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.serve_options import AUTO, ServeOptions
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.start_terms import GIVEN_PRECISION, Given, TermName
from gpu_tui.core.start_values import Size, StartLog
from gpu_tui.core.vllm_version import accounting_of
from gpu_tui.units import GIB


def inputs_of_options(options: ServeOptions) -> StartInputs:
    """A command line's flags; the model's facts are found by its name elsewhere."""
    fits = options.max_model_len == AUTO
    eagle = options.speculative_method in ("mtp", "deepseek_mtp", "qwen3_next_mtp", "eagle", "eagle3")
    return StartInputs(
        model=options.model,
        quantization=options.quantization,
        gpu_memory_utilization=options.gpu_memory_utilization,
        max_model_len=None if fits else options.max_model_len,
        fit_max_model_len=True if fits else None,
        tensor_parallel_size=options.tensor_parallel_size,
        pipeline_parallel_size=options.pipeline_parallel_size,
        decode_context_parallel_size=options.decode_context_parallel_size,
        kv_cache_dtype=options.kv_cache_dtype,
        dtype=options.dtype,
        block_size=options.block_size,
        enforce_eager=options.enforce_eager,
        max_num_seqs=options.max_num_seqs,
        max_num_batched_tokens=options.max_num_batched_tokens,
        kv_cache_memory_bytes=options.kv_cache_memory_bytes,
        num_gpu_blocks_override=options.num_gpu_blocks_override,
        speculative_tokens=options.num_speculative_tokens,
        draft_layers=1 if eagle else None,
        prefix_caching=options.prefix_caching,
        hybrid_manager=options.hybrid_kv_cache_manager,
        mamba_cache_dtype=options.mamba_cache_dtype,
        mamba_ssm_cache_dtype=options.mamba_ssm_cache_dtype,
    )


def inputs_of_log(log: StartLog, source: str, age_s: float | None) -> StartInputs:
    """A start-up log's version, flags and measured terms.

    Args:
        log: the last start.
        source: where it was read, in words.
        age_s: seconds since it was written.
    """
    config = dict(log.config)
    length = _count(log.option("max_model_len")) or _count(config.get("max_seq_len"))
    if log.fitted_max_len is not None:
        length = log.fitted_max_len.value
    cache = log.option("kv_cache_dtype") or config.get("kv_cache_dtype")
    return StartInputs(
        model=log.model.value if log.model is not None else None,
        quantization=_word(config.get("quantization")) or _word(log.option("quantization")),
        version=version_of(log),
        gpu_memory_utilization=_share(log.option("gpu_memory_utilization")),
        max_model_len=length,
        tensor_parallel_size=_count(config.get("tensor_parallel_size")) or _count(log.option("tensor_parallel_size")),
        pipeline_parallel_size=_count(config.get("pipeline_parallel_size"))
        or _count(log.option("pipeline_parallel_size")),
        dtype=_word((config.get("dtype") or "").removeprefix("torch.")) or _word(log.option("dtype")),
        kv_cache_dtype=None if cache == "auto" else _word(cache),
        enforce_eager=_eager(log),
        prefix_caching=_switch(log, "enable_prefix_caching"),
        mamba_cache_dtype=_word(log.option("mamba_cache_dtype")),
        mamba_ssm_cache_dtype=_word(log.option("mamba_ssm_cache_dtype")),
        max_num_seqs=_count(log.option("max_num_seqs")),
        max_num_batched_tokens=_count(log.option("max_num_batched_tokens")),
        block_size=log.block_size.value if log.block_size is not None else None,
        cuda_total_bytes=log.total.size_bytes if log.total is not None else None,
        given=measured_terms(log, source, age_s),
    )


def version_of(log: StartLog) -> str | None:
    """The release, with ``(V0)`` where the old engine ran."""
    version = log.version.value if log.version is not None else None
    if log.engine is not None and log.engine.value == "V0" and version is not None:
        return f"{version} (V0)"
    return version


def inputs_of_cache(engine: EngineCache) -> StartInputs:
    """What ``vllm:cache_config_info`` adds; of hybrid models its block size is not the attention's."""
    hybrid = engine.mamba_block_size is not None or engine.is_attention_free
    return StartInputs(
        gpu_memory_utilization=engine.gpu_memory_utilization,
        block_size=None if hybrid else engine.block_size,
        kv_cache_dtype=None if engine.cache_dtype == "auto" else engine.cache_dtype,
        prefix_caching=engine.enable_prefix_caching,
        mamba_cache_dtype=None if engine.mamba_cache_dtype == "auto" else engine.mamba_cache_dtype,
        mamba_ssm_cache_dtype=None if engine.mamba_ssm_cache_dtype == "auto" else engine.mamba_ssm_cache_dtype,
    )


def measured_terms(log: StartLog, source: str, age_s: float | None) -> dict[TermName, Given]:
    """The terms a log tells, each with the words it stands in.

    Releases that count other tenants' memory as their own (0.6.4, V1 up to 0.9.0) print no figure of which that could
    be taken off: of them only weights and activation are measured.
    """

    def given(size: int, told: str, precision: int = GIVEN_PRECISION, part_of: TermName | None = None) -> Given:
        origin = Origin(kind=OriginKind.MEASURED, source=f"{source}: {told}", age_s=age_s)
        return Given(size=size, origin=origin, precision=precision, part_of=part_of)

    def printed(size: Size) -> Given:
        return given(size.size_bytes, _clause(size), max(size.precision_bytes, _LEAST))

    terms: dict[TermName, Given] = {}
    rules = accounting_of(version_of(log))
    if log.weights is not None:
        terms[TermName.WEIGHTS] = printed(log.weights)
    graphs = _graphs_taken(log)
    if graphs is not None:
        size, told = graphs
        terms[TermName.CUDA_GRAPHS] = given(size, told, _LEAST if size else 0)
    activation = _activation(log)
    if activation is not None:
        terms[TermName.ACTIVATION] = given(*activation)
        if log.activation_holds_graphs and log.cuda_graph_estimate is None:
            inside = "inside the activation figure"
            terms[TermName.CUDA_GRAPHS] = given(0, inside, 0, part_of=TermName.ACTIVATION)
    if rules.counts_others:
        return terms
    if log.non_torch is not None:
        terms[TermName.NON_TORCH] = printed(log.non_torch)
    elif log.consumed is not None and log.weights is not None:
        told = f"consumed memory − weights: {_clause(log.consumed)}"
        terms[TermName.NON_TORCH] = given(log.consumed.size_bytes - log.weights.size_bytes, told)
    if TermName.ACTIVATION not in terms and (rest := _rest(log)) is not None:
        terms[TermName.ACTIVATION] = given(*rest, 2 * GIVEN_PRECISION)
        inside = "inside the activation figure"
        terms[TermName.NON_TORCH] = given(0, inside, 0, part_of=TermName.ACTIVATION)
    return terms


def _clause(size: Size) -> str:
    """The words a figure stands in, without the rest of a line that tells several."""
    clauses = re.split(r"[,;.] ", size.excerpt)
    for clause in clauses:
        if any(abs(float(number) * GIB - size.size_bytes) <= 1 for number in _NUMBER.findall(clause)):
            return clause
    return clauses[0]


_NUMBER = re.compile(r"-?\d{1,9}(?:\.\d{1,9})?")


_LEAST = round(0.005 * GIB)


def _graphs_taken(log: StartLog) -> tuple[int, str] | None:
    """What this start took off its KV cache for CUDA graphs, however its release usually does it."""
    rules, taken = accounting_of(version_of(log)), log.graphs_subtracted
    if taken is not None and not taken.value and rules.graphs_inside:
        return 0, taken.excerpt
    graphs = log.cuda_graph_estimate
    return None if graphs is None else (graphs.size_bytes, _clause(graphs))


def _activation(log: StartLog) -> tuple[int, str, int] | None:
    """Peak activation without CUDA graphs, its words and its precision."""
    size, graphs = log.activation, log.cuda_graph_estimate
    if size is not None:
        inside = graphs.size_bytes if graphs is not None and log.activation_holds_graphs else 0
        told = f"{_clause(size)} − graphs" if inside else _clause(size)
        return size.size_bytes - inside, told, max(size.precision_bytes, _LEAST)
    if log.torch_peak is not None and log.weights is not None:
        told = f"torch's peak − weights: {_clause(log.torch_peak)}"
        return log.torch_peak.size_bytes - log.weights.size_bytes, told, GIVEN_PRECISION
    return None


def _rest(log: StartLog) -> tuple[int, str] | None:
    """Activation and non-torch memory together, where the log tells only what was left over."""
    asked, kv_cache, weights = requested(log), log.available_kv, log.weights
    if asked is None or kv_cache is None or weights is None or log.kv_cache_memory is not None:
        return None
    graphs, formula = 0, "requested − weights − KV cache"
    inside = accounting_of(version_of(log)).graphs_inside
    if log.graphs_subtracted is not None:
        inside = log.graphs_subtracted.value
    if inside and not _eager(log):
        if log.cuda_graph_estimate is None:
            return None
        graphs = log.cuda_graph_estimate.size_bytes
        formula += " − graphs"
    return asked - weights.size_bytes - kv_cache.size_bytes - graphs, formula


def _eager(log: StartLog) -> bool | None:
    return _switch(log, "enforce_eager")


def _switch(log: StartLog, name: str) -> bool | None:
    told = log.option(name) or dict(log.config).get(name)
    return {"true": True, "false": False}.get((told or "").lower())


def requested(log: StartLog) -> int | None:
    """What the start asked for, in bytes: as printed, else total × utilization; None when the log tells neither."""
    if log.requested is not None:
        return log.requested.size_bytes
    share = log.utilization.value if log.utilization is not None else _share(log.option("gpu_memory_utilization"))
    if log.total is None or share is None:
        return None
    return round(log.total.size_bytes * share)


def _word(text: str | None) -> str | None:
    return text if text not in (None, "", "None") else None


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None


def _share(text: str | None) -> float | None:
    try:
        share = float(text or "")
    except ValueError:
        return None
    return share if 0 < share <= 1 else None
