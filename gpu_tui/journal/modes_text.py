"""What a kept summary says beside its plain figures: interference, voice turns, what stands under the name of ITL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gpu_tui.view.latency import ms

_ROWS = (
    ("LLM TTFT", "llm", "ttft_ms", "llm_ttft"),
    ("LLM ITL", "llm", "itl_ms", "llm_itl"),
    ("LLM TPOT", "llm", "tpot_ms", "llm_tpot"),
    ("LLM end to end", "llm", "e2e_ms", "llm_e2e"),
    ("STT latency", "stt", "latency_ms", "stt_latency"),
)
_STAGES = (
    ("transcript", "stt_ms"),
    ("first token", "first_token_ms"),
    ("first sentence", "first_sentence_ms"),
    ("whole turn", "total_ms"),
)
CHUNK_GAPS = "chunk_gaps"


def bases(summary: Mapping[str, Any]) -> set[str]:
    """What the samples called ITL are in a run, by the names of `gpu_tui.core.timings.ItlBasis`; empty: nobody says."""
    results = [summary.get("llm"), _in(summary, "interference", "together", "llm")]
    told = (result.get("itl_basis") for result in results if isinstance(result, Mapping))
    return {basis for basis in told if isinstance(basis, str)}


def mode_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Lines for people; none of a plain run whose server counts tokens."""
    if CHUNK_GAPS in bases(summary):
        yield "ITL       is the time between chunks: the server did not say how many tokens each carried"
    if isinstance(summary.get("interference"), Mapping):
        yield "together  p50/p95 in ms beside the other service, and together ÷ alone"
        for name, kind, figure, ratio in _ROWS:
            beside = _in(summary, "interference", "together", kind, figure)
            slower = _in(summary, "interference", "slowdown", ratio)
            if beside is not None or slower is not None:
                yield f"  {name:<20} {_pair(beside, ms):>12}   {_pair(slower, _times)}"
    if isinstance(summary.get("voice"), Mapping):
        untold = summary["voice"].get("no_sentence")
        without = f", {untold} of them without a whole sentence, and so without a total" if untold else ""
        yield f"turns     p50/p95 in ms, {summary['voice'].get('n')} went well{without}"
        for name, figure in _STAGES:
            yield f"  {name:<20} {_pair(_in(summary, 'voice', figure), ms):>12}"


def _in(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _pair(figure: Any, word: Any) -> str:
    values = [_in(figure, which) for which in ("p50", "p95")]
    return "/".join(word(value) if isinstance(value, (int, float)) else "?" for value in values)


def _times(ratio: float) -> str:
    return f"{ratio:.2f}×"
