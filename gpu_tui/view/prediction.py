"""How a start would end, in words: the call for the verdict's badge, and a line of its own with the outcome."""

from __future__ import annotations

from gpu_tui.core.planning import Judgement
from gpu_tui.core.start import Call, Outcome
from gpu_tui.view.rows import mib
from gpu_tui.view.spans import Line
from gpu_tui.view.text import clean

SIGNS = {
    Call.STARTS: ("✓", "ok"),
    Call.WILL_NOT_START: ("✗", "bad"),
    Call.TOO_CLOSE: ("≈", "warn"),
    Call.UNKNOWN: ("?", "warn"),
}
"""Sign and tone of a call. The sign alone tells it."""

_MEANING = {
    Outcome.STARTED: "it starts",
    Outcome.NOT_ENOUGH_FREE: "too little is free when vLLM looks",
    Outcome.NO_CACHE_BLOCKS: "nothing is left for the KV cache",
    Outcome.MAX_LEN_TOO_LONG: "the KV cache cannot hold one request of max_model_len",
}


def count(number: int) -> str:
    """``17,808``."""
    return f"{number:,}"


def band(low: int, high: int) -> str:
    """A band in MiB."""
    return f"{mib(low)}…{mib(high)}"


def outcome_words(outcome: Outcome | None) -> str:
    """An outcome's name and what it means."""
    return "unknown" if outcome is None else f"{outcome.value}: {_MEANING[outcome]}"


def short_outcome(one: Judgement) -> Line:
    """Call and outcome in a few words; empty where nothing can be said."""
    prediction = one.prediction
    if prediction.call is Call.UNKNOWN or prediction.outcome is None:
        return []
    sign, tone = SIGNS[prediction.call]
    word = prediction.call.value if prediction.outcome is Outcome.STARTED else prediction.outcome.value
    return [(f"   {sign} {word}", tone)]


def outcome_line(one: Judgement, error: str | None = None) -> Line:
    """Call, outcome and the figures that decide it; empty where nothing can be said beyond the three checks.

    Args:
        one: the judgement.
        error: what vLLM itself would print; None or empty: its words are not known.
    """
    prediction = one.prediction
    if prediction.call is Call.UNKNOWN or prediction.outcome is None:
        return []
    sign, tone = SIGNS[prediction.call]
    if prediction.call is Call.STARTS:
        return [(f"   {sign} {prediction.call.value}", tone), (f": {_cache(one)}", "")]
    if prediction.call is Call.WILL_NOT_START:
        words = f"“{clean(error, 600)}”" if error else _MEANING[prediction.outcome]
        return [(f"   {sign} {prediction.outcome.value}", tone), (f": {words}", "")]
    return [(f"   {sign} {prediction.call.value}", tone), (f": {_doubt(one)}", "")]


def _cache(one: Judgement) -> str:
    prediction = one.prediction
    told = [f"KV cache {mib(prediction.kv_cache_bytes)} MiB"]
    if prediction.kv_cache_band is not None:
        told[0] = f"KV cache {mib(prediction.kv_cache_bytes)} MiB ({band(*prediction.kv_cache_band)})"
    if prediction.kv_tokens is not None:
        told.append(f"{count(prediction.kv_tokens)} tokens")
    if prediction.max_concurrency is not None and one.start is not None and one.start.max_model_len is not None:
        told.append(f"{prediction.max_concurrency:.2f} requests of {count(one.start.max_model_len)} at once")
    return ", ".join(told)


def _doubt(one: Judgement) -> str:
    """Why it is too close to call: room beside the tenants, or the least KV cache."""
    prediction, start = one.prediction, one.start
    margin = one.report.checks[2].margin_bytes
    cache_holds = start is None or (
        prediction.kv_cache_band is not None and prediction.kv_cache_band[0] >= start.min_kv_band[1]
    )
    if margin is not None and (cache_holds or margin < 0):
        return f"{mib(margin)} MiB spare beside the tenants, and vLLM's own CUDA context comes before it looks"
    likely = "likely starts" if prediction.outcome is Outcome.STARTED else f"likely {prediction.outcome}"
    left = prediction.kv_cache_band
    spread = f" ({band(*left)})" if left is not None else ""
    needed = mib(one.report.need.min_kv_cache_bytes)
    return f"{likely}, KV cache {mib(prediction.kv_cache_bytes)} MiB{spread} of which one request needs {needed}"
