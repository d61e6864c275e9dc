"""The JSON shape of a prediction: what `gpu-tui check --json` adds to the three checks (schema 1).

MiB are numbers with one decimal, tokens and blocks integers, unknown is null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpu_tui.core.plan import Plan
from gpu_tui.core.planning import Judgement
from gpu_tui.core.start import Call
from gpu_tui.core.start_terms import Term
from gpu_tui.units import wire_mib
from gpu_tui.wire import origin_object

if TYPE_CHECKING:
    from gpu_tui.core.remedies import Remedy


def start_object(
    plan: Plan, judgement: Judgement, case: str | int | None = None, *, judged: bool = True
) -> dict[str, Any]:
    """What vLLM would do, and what would make it start.

    Args:
        plan: what is judged.
        judgement: what it comes to.
        case: the scenario's own id.
        judged: False: this GPU cannot be judged whatever its figures say.
    """
    # Imported at their first use: the text of a check that holds needs neither.
    from gpu_tui.core.remedies import remedies
    from gpu_tui.core.vllm_errors import error_text

    prediction, start = judgement.prediction, judgement.start
    concurrency = prediction.max_concurrency
    known = judged and prediction.outcome is not None
    remediable = known and plan.of_known_model
    return {
        "id": case,
        "outcome": prediction.outcome.value if known and prediction.outcome is not None else None,
        "outcome_certain": prediction.certain and judged,
        "call": prediction.call.value if judged else Call.UNKNOWN.value,
        "error_text": error_text(judgement, plan.rules) if known else None,
        "requested_mib": wire_mib(prediction.requested_bytes),
        "kv_cache_band_mib": _band(prediction.kv_cache_band, wire_mib),
        "kv_tokens": prediction.kv_tokens,
        "kv_tokens_band": _band(prediction.kv_tokens_band, int),
        "num_blocks": prediction.num_blocks,
        "max_concurrency": None if concurrency is None else round(concurrency, 2),
        "largest_max_model_len": prediction.largest_max_model_len,
        "terms": [term_object(term) for term in start.terms] if start is not None else None,
        "remedies": [remedy_object(one) for one in remedies(plan, judgement)] if remediable else None,
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


def remedy_object(remedy: Remedy) -> dict[str, Any]:
    """One change that makes it start; `flags` is empty where a service is stopped."""
    return {
        "kind": remedy.kind.value,
        "sentence": remedy.sentence,
        "flags": remedy.flags,
        "certain": remedy.certain,
    }


def _band(band: tuple[int, int] | None, convert: Any) -> dict[str, Any] | None:
    return None if band is None else {"low": convert(band[0]), "high": convert(band[1])}
