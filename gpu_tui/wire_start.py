"""The JSON shape of a prediction: what `gpu-tui check --json` adds to the three checks (schema 1).

MiB are numbers with one decimal, tokens and blocks integers, unknown is null.
"""

from __future__ import annotations

from typing import Any

from gpu_tui.core.planning import Judgement
from gpu_tui.core.start_terms import Term
from gpu_tui.units import wire_mib
from gpu_tui.wire import origin_object


def start_object(judgement: Judgement, case: str | int | None = None, *, judged: bool = True) -> dict[str, Any]:
    """What vLLM would do.

    Args:
        judgement: of one utilization.
        case: the scenario's own id.
        judged: False: this GPU cannot be judged whatever its figures say.
    """
    prediction, start = judgement.prediction, judgement.start
    concurrency = prediction.max_concurrency
    return {
        "id": case,
        "outcome": prediction.outcome.value if prediction.outcome is not None and judged else None,
        "outcome_certain": prediction.certain and judged,
        "requested_mib": wire_mib(prediction.requested_bytes),
        "kv_cache_band_mib": _band(prediction.kv_cache_band, wire_mib),
        "kv_tokens": prediction.kv_tokens,
        "kv_tokens_band": _band(prediction.kv_tokens_band, int),
        "num_blocks": prediction.num_blocks,
        "max_concurrency": None if concurrency is None else round(concurrency, 2),
        "largest_max_model_len": prediction.largest_max_model_len,
        "terms": [term_object(term) for term in start.terms] if start is not None else None,
    }


def term_object(term: Term) -> dict[str, Any]:
    """One term of the sum."""
    return {
        "name": term.name.value,
        "mib": wire_mib(term.size),
        "low_mib": wire_mib(term.low),
        "high_mib": wire_mib(term.high),
        "origin": origin_object(term.origin),
    }


def _band(band: tuple[int, int] | None, convert: Any) -> dict[str, Any] | None:
    return None if band is None else {"low": convert(band[0]), "high": convert(band[1])}
