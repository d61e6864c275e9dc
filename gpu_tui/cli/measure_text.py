"""What ``gpu-tui measure`` prints for people: tables of figures, and what to know when reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_tui.view.machine import phase_text
from gpu_tui.view.text import clean

if TYPE_CHECKING:
    from gpu_tui.bench.events import (
        Figure,
        Interference,
        LlmResult,
        LocalModel,
        Preview,
        SttResult,
        Summary,
        Utilization,
        VoiceResult,
        WhisperSize,
        Workload,
    )

FEW_P95, FEW_P99 = 20, 100
"""Below so many samples a percentile is drawn from the largest one or two."""
_HEADER = f"  {'':<14}" + "".join(f"{word:>10}" for word in ("p50", "p95", "p99", "min", "max", "mean")) + f"{'n':>8}"
_FEW = f"* of fewer than {FEW_P95} (p95) or {FEW_P99} (p99) samples: little more than the largest of them"


def summary_text(summary: Summary) -> str:
    """A run's result."""
    lines = ["SIMULATED endpoints: these figures are invented."] if summary.simulated else []
    if summary.interference is not None:
        lines += _interference(summary.interference)
    else:
        lines += _llm(summary.llm, "LLM") + _stt(summary.stt, "STT")
    if summary.voice is not None:
        lines += _voice(summary.voice)
    if summary.machine_series is not None:
        lines += ["", *phase_text(summary.machine_series)]
    if any("*" in line for line in lines):
        lines += ["", _FEW]
    lines += ["", *_foot(summary.reason, summary.notes, summary.gpu_memory_utilization)]
    if summary.workload is not None:
        lines.append(f"load: {_load(summary.workload)}")
    lag = summary.arrival_lag_ms
    if lag is not None:
        lines.append(f"requests were sent {lag.p50:.1f} ms (p50), {lag.p95:.1f} ms (p95) later than due")
    cost = summary.generator
    if cost.cpu_s is not None and cost.share is not None:
        each = "" if cost.cpu_ms_per_request is None else f", {cost.cpu_ms_per_request:.1f} ms a request"
        each += "" if cost.request_share is None else f" ({cost.request_share:.2%} of its time)"
        lines.append(f"measuring took {cost.cpu_s:.2f} s of CPU{each}, {cost.share:.1%} of a core")
    if summary.oom_events:
        lines.append(f"! {summary.oom_events} answers reported CUDA out of memory")
    return "\n".join(lines).strip("\n")


def preview_text(preview: Preview) -> str:
    """What would be measured."""
    lines = ["SIMULATED endpoints."] if preview.simulated else []
    for name, shown in (("LLM", preview.llm), ("STT", preview.stt)):
        if shown is not None:
            lines.append(f"{name}  {shown.url}  from {shown.origin}")
            lines.append(f"     model {shown.model or 'not named'}  from {shown.model_origin}")
            if shown.size is not None:
                lines.append(f"     whisper {shown.size.name} ({shown.size.origin}: {shown.size.source})")
            if shown.local:
                lines.append("     loaded here for the run: on a GPU it takes memory beside the services")
    if preview.workload is not None:
        lines.append(f"load  {_load(preview.workload)}")
    lines += _foot(preview.reason, preview.notes, preview.gpu_memory_utilization)
    return "\n".join([*lines, "Nothing was measured."])


def _llm(llm: LlmResult | None, title: str) -> list[str]:
    if llm is None:
        return []
    lines = ["", f"{title}  {llm.url}  {llm.model or 'no model named'}  n={llm.n}"]
    lines += [_HEADER] if llm.n else []
    gaps = "chunk gap" if llm.itl_basis == "chunk_gaps" else "ITL"
    lines += _rows(("TTFT", llm.ttft_ms), (gaps, llm.itl_ms), ("TPOT", llm.tpot_ms), ("end to end", llm.e2e_ms))
    if llm.output_tokens_per_s is not None:
        lines.append(f"  {llm.output_tokens_per_s:.1f} output tokens/s")
    if llm.prompt_tokens_mean is not None and llm.output_tokens_mean is not None:
        lines.append(f"  {llm.prompt_tokens_mean:g} tokens a prompt, {llm.output_tokens_mean:g} an answer, on average")
    if llm.queue is not None:
        lines.append(f"  {llm.queue.mean_ms:.1f} ms in the server's queue, mean of {llm.queue.n} ({llm.queue.origin})")
    if llm.kv_cache_tokens is not None:
        lines.append(f"  KV cache of {llm.kv_cache_tokens} tokens ({llm.kv_cache_tokens_origin})")
    if llm.not_streamed:
        lines.append(f"  {llm.not_streamed} answers came whole, not streamed: no time to first token")
    if llm.itl_basis == "mean_per_token":
        lines.append("  chunks are not single tokens: ITL is the mean per token of each answer")
    if llm.itl_basis == "chunk_gaps":
        lines.append("  the server does not say how many tokens a chunk carries: chunk gap is the time between chunks")
    return lines + _errors(llm.errors)


def _stt(stt: SttResult | None, title: str) -> list[str]:
    if stt is None:
        return []
    clip = f"clip {clean(stt.clip, 60)}, {stt.audio_s:.1f} s" if stt.clip else f"clip {stt.audio_s:.1f} s"
    lines = ["", f"{title}  {stt.url}  {stt.model or 'no model named'}  n={stt.n}  {clip}"]
    lines += _which(stt.size, stt.local)
    lines += [_HEADER] if stt.n else []
    lines += _rows(("latency", stt.latency_ms))
    lines += _rows(("RTF", stt.rtf), unit="", digits=3) + _rows(("RTFx", stt.rtfx), unit="")
    return lines + _errors(stt.errors)


def _which(size: WhisperSize | None, ran: LocalModel | None) -> list[str]:
    """Which Whisper, and how it ran."""
    told = [] if size is None else [f"  whisper {size.name} ({size.origin}: {size.source})"]
    return told if ran is None else [*told, _local(ran)]


def _local(ran: LocalModel) -> str:
    where = " ".join(word for word in (ran.device, ran.compute_type) if word) or "an unknown device"
    many = "one at a time" if ran.workers == 1 else f"{ran.workers} at once"
    return f"  in a process of its own on {where}, {many}; loaded in {ran.load_s:.1f} s, which counts in no figure"


def _interference(found: Interference) -> list[str]:
    lines = _stt(found.stt_alone, "STT alone") + _llm(found.llm_alone, "LLM alone")
    if found.together is not None:
        lines += _stt(found.together.stt, "STT beside the LLM") + _llm(found.together.llm, "LLM beside STT")
    lines += ["", f"  {'together ÷ alone':<18}{'p50':>10}{'p95':>10}"]
    for name, ratio in found.slowdown.items():
        told = [f"{'unmeasured':>12}"] if ratio is None else [f"{_times(x):>10}" for x in (ratio.p50, ratio.p95)]
        lines.append(f"  {_NAMES.get(name, name):<18}" + "".join(told))
    return lines


_NAMES = {
    "stt_latency": "STT latency",
    "llm_ttft": "LLM TTFT",
    "llm_itl": "LLM ITL",
    "llm_tpot": "LLM TPOT",
    "llm_e2e": "LLM end to end",
}


def _times(ratio: float | None) -> str:
    return "unknown" if ratio is None else f"{ratio:.2f}×"


def _voice(voice: VoiceResult) -> list[str]:
    lines = ["", f"Voice turn  {voice.stt_url} → {voice.llm_url}  n={voice.n}  clip {voice.audio_s:.1f} s"]
    lines += _which(voice.stt_size, voice.stt_local)
    lines += [_HEADER] if voice.n else []
    lines += _rows(
        ("transcript", voice.stt_ms),
        ("first token", voice.first_token_ms),
        ("first sentence", voice.first_sentence_ms),
        ("whole turn", voice.total_ms),
    )
    if voice.n:
        lines.append("  each stage from the end of the one before it; whole turn from the end of speech")
    if voice.no_sentence:
        lines.append(f"  {voice.no_sentence} answers ended before a sentence did: raise --output-tokens")
    if voice.budget_ms is not None:
        lines.append(f"  {voice.within_budget} of {voice.n} turns within the budget of {voice.budget_ms:g} ms")
    return lines + _errors(voice.errors)


def _rows(*rows: tuple[str, Figure | None], unit: str = "ms", digits: int = 1) -> list[str]:
    return [
        f"  {name:<14}{_cells(figure, digits)}" + f" {unit}".rstrip() for name, figure in rows if figure is not None
    ]


def _cells(figure: Figure, digits: int) -> str:
    n = figure.n
    few95 = "*" if n is not None and n < FEW_P95 else ""
    few99 = "*" if n is not None and n < FEW_P99 else ""
    values = (figure.p50, figure.p95, figure.p99, figure.min, figure.max, figure.mean)
    marks = ("", few95, few99, "", "", "")
    cells = (f"{value:.{digits}f}{mark}" for value, mark in zip(values, marks, strict=True))
    return "".join(f"{cell:>10}" for cell in cells) + f"{'' if n is None else n:>8}"


def _errors(errors: dict[str, int]) -> list[str]:
    return ["  errors: " + ", ".join(f"{kind} {count}" for kind, count in errors.items())] if errors else []


def _load(work: Workload) -> str:
    """The load in words."""
    what = "turns" if work.mode == "voice" else "requests"
    many = f"{work.requests} {what}" if work.duration_s is None else f"{what} for {work.duration_s:g} s"
    many += " of each kind" if work.mode in ("both", "interference") else ""
    come = f"{work.concurrency} at once" if work.rate is None else f"{work.rate:g} a second ({work.arrivals})"
    parts = [f"{many} after {work.warmup} to warm up, {come}, at most {work.timeout_s:g} s each"]
    if work.mode != "stt":
        length = f"{work.prompt_words} words" if work.prompt_tokens is None else f"{work.prompt_tokens} tokens"
        own = {"file": "prompts of yours", "transcript": "the transcript as prompt"}
        parts.append(own.get(work.prompts, f"prompts of {length}") + f", {work.output_tokens} output tokens")
    if work.clip is not None:
        parts.append(f"clip {work.clip}")
    return ";\n      ".join(parts)


def _foot(reason: dict[str, str], notes: list[str], utilization: Utilization) -> list[str]:
    lines = [f"{kind.upper()}  {text}" for kind, text in reason.items()]
    lines += [f"note: {note}" for note in notes]
    actual, planned = utilization.actual, utilization.planned
    running = "unknown" if actual is None else f"{actual:g}"
    lines.append(f"gpu_memory_utilization: running {running}" + ("" if planned is None else f", planned {planned:g}"))
    return lines
