"""The predicted start, figure by figure: the arithmetic, each term with band and source, the KV cache, the model."""

from __future__ import annotations

from collections.abc import Sequence

from gpu_tui.core.checks import allocation_total
from gpu_tui.core.model_facts import LayerGroup, LayerKind, ModelFacts
from gpu_tui.core.origins import Origin
from gpu_tui.core.planning import Judgement
from gpu_tui.core.remedies import Remedy
from gpu_tui.core.start import Call, StartModel
from gpu_tui.core.start_terms import Term
from gpu_tui.view.explain import age_words
from gpu_tui.view.model import name_of, shortened
from gpu_tui.view.prediction import SIGNS, band, count, outcome_words
from gpu_tui.view.rows import mib
from gpu_tui.view.spans import Line
from gpu_tui.view.text import clean

_KINDS = {
    LayerKind.FULL: "full attention",
    LayerKind.SLIDING: "sliding window",
    LayerKind.CHUNKED: "chunked local attention",
    LayerKind.MLA: "latent attention (MLA)",
    LayerKind.STATE: "state (Mamba, linear attention)",
}


def row(name: str, value: str, more: str = "", tone: str = "") -> Line:
    """One figure."""
    return [(f"{name:<24}", "strong"), (f"{value:>11}", tone), (f"  {more}" if more else "", "")]


def source_line(origin: Origin) -> Line:
    """Where a figure is from and how old it is."""
    age = age_words(origin)
    told = f"{origin.kind.value}: {shortened(origin.source, 200)}" + (f", {age}" if age else "")
    return [(f"    {told}", "dim")]


def start_lines(one: Judgement, error: str | None, remedies: Sequence[Remedy]) -> list[Line]:
    """All of a prediction.

    Args:
        one: the judgement.
        error: what vLLM itself would print.
        remedies: what makes it start, the cheapest first.
    """
    lines = _ending(one, error, remedies)
    if one.start is None:
        return [*lines, [("The model is hand-set: M chooses one whose terms can be predicted.", "dim")], []]
    lines += _arithmetic(one, one.start)
    lines += _cache(one, one.start)
    if one.start.facts is not None:
        lines += _model(one.start.facts, one.start)
    return lines


def _ending(one: Judgement, error: str | None, remedies: Sequence[Remedy]) -> list[Line]:
    prediction = one.prediction
    lines: list[Line] = []
    if prediction.call is not Call.UNKNOWN:
        sign, tone = SIGNS[prediction.call]
        sure = "" if prediction.certain else " (by the middle estimate)"
        lines += [[(f"{sign} {prediction.call.value}", tone), (f"  {outcome_words(prediction.outcome)}{sure}", "")]]
    if error:
        lines += [[("vLLM would print: ", "dim"), (clean(error, 900), "")]]
    for remedy in remedies:
        mark = ("  → ", "key") if remedy.certain else ("  ≈ ", "warn")
        lines.append([mark, (clean(remedy.sentence, 400), "")])
    if any(not remedy.certain for remedy in remedies):
        lines.append([("  ≈ starts by the middle estimate, not over the whole band", "dim")])
    return [*lines, []] if lines else []


def _arithmetic(one: Judgement, start: StartModel) -> list[Line]:
    report, prediction = one.report, one.prediction
    total = allocation_total(report.books, report.need)
    u = f"{report.gpu_memory_utilization:.3f}"
    lines: list[Line] = [[(f"What {start.options.rules.label} does with {u}, MiB", "strong")]]
    lines.append(row("CUDA's total", mib(total), "NVML's total − reserved, or as told"))
    lines.append(row("requested", mib(prediction.requested_bytes), f"ceil(total × {u})"))
    for term in start.terms:
        lines += _term(term)
    left = prediction.kv_cache_band
    fixed = start.options.kv_cache_memory_bytes is not None
    lines.append(
        row(
            "= KV cache left",
            mib(prediction.kv_cache_bytes),
            "fixed by --kv-cache-memory-bytes" if fixed else f"{band(*left)}  requested − terms" if left else "",
        )
    )
    floor = report.need.min_kv_cache_bytes
    low, high = start.min_kv_band
    lines.append(row("least KV cache", mib(floor), band(low, high) if low != high else ""))
    lines.append(source_line(report.need.min_kv_cache_origin))
    lines.append(row("room beside tenants", mib(report.available_bytes), "free + what comes free, at the start"))
    return [*lines, []]


def _term(term: Term) -> list[Line]:
    name = f"− {term.name.replace('_', ' ')}"
    return [
        row(name, mib(term.size), band(term.low, term.high)),
        source_line(term.origin),
    ]


def _cache(one: Judgement, start: StartModel) -> list[Line]:
    prediction, layout, length = one.prediction, start.layout, start.max_model_len
    lines: list[Line] = [[("KV cache", "strong")]]
    if layout is None:
        return [*lines, [("The layers are not known, so neither are tokens and blocks.", "dim")], []]
    tokens = prediction.kv_tokens_band
    spread = f"{count(tokens[0])}…{count(tokens[1])}" if tokens else ""
    lines.append(row("tokens", _count(prediction.kv_tokens), spread))
    blocks = f"of {layout.block_size} tokens, {count(layout.bytes_per_block)} bytes each"
    lines.append(row("blocks", _count(prediction.num_blocks), blocks))
    lines.append(
        row("bytes per token", f"{layout.bytes_per_token:,.0f}", f"{layout.num_groups} block table(s) a request")
    )
    if length is not None:
        lines.append(row("max_model_len", count(length), f"one request takes {mib(layout.need_bytes(length))} MiB"))
    many = prediction.max_concurrency
    lines.append(row("requests at once", "unknown" if many is None else f"{many:.2f}", "of max_model_len"))
    lines.append(row("largest max_model_len", _count(prediction.largest_max_model_len), "that would still start"))
    return [*lines, []]


def _count(number: int | None) -> str:
    return "unknown" if number is None else count(number)


def _model(facts: ModelFacts, start: StartModel) -> list[Line]:
    lines: list[Line] = [[(f"Model: {name_of(facts)}", "strong")]]
    if facts.architecture:
        lines.append([(f"  {shortened(facts.architecture)}, {_count(facts.num_layers)} layers", "")])
    lines += [[(f"  {_group(group)}", "")] for group in facts.groups]
    options = start.options
    dtype = clean(facts.dtype or "unknown", 24)
    cache = clean(options.cache.kv_cache_dtype or facts.kv_cache_dtype or "as the model", 24)
    quantized = clean(facts.quantization or "none", 32)
    lines.append([(f"  dtype {dtype}, quantization {quantized}, KV cache {cache}", "")])
    ranks = f"tensor parallel {options.cache.tensor_parallel_size}, pipeline {options.cache.pipeline_parallel_size}"
    eager = "eager" if options.enforce_eager else "CUDA graphs"
    lines.append([(f"  {ranks}, {options.max_num_seqs} sequences, {eager}", "")])
    lines.append([(f"  batch of {count(options.cache.max_num_batched_tokens)} tokens in the profile run", "")])
    lines += [[(f"  assumed: {clean(words, 300)}", "warn")] for words in facts.assumptions]
    return [*lines, []]


def _group(group: LayerGroup) -> str:
    told = [f"{group.count} × {_KINDS[group.kind]}"]
    if group.latent_dim is not None:
        told.append(f"{group.latent_dim} latent elements")
    elif group.kv_heads is not None:
        told.append(f"{group.kv_heads} KV heads of {_count(group.head_dim)}")
    if group.window is not None:
        told.append(f"window {count(group.window)}")
    return ", ".join(told)
