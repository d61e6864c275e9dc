"""What past starts teach, in words."""

from __future__ import annotations

from gpu_tui.core.learned import Learned, starts_words
from gpu_tui.core.start_terms import Correction
from gpu_tui.units import GIB, format_mib, signed_gib
from gpu_tui.view.text import clean


def learned_words(learned: Learned, *, predicted: bool, applied: bool, how: str) -> str:
    """One sentence: ``Learned from 3 starts of Qwen3-8B: activation +0.31 GiB ± 0.05; apply with --learned``.

    Args:
        learned: what they teach.
        predicted: the plan is predicted term by term; False: by hand-set figures.
        applied: the figures shown hold it.
        how: what the user does to apply it: ``apply with --learned``.
    """
    model = clean(learned.model.rstrip("/").rsplit("/", 1)[-1], 60)
    if predicted:
        figures = [f"{name.replace('_', ' ')} {_signed(one)}" for name, one in learned.corrections.items()]
        request = learned.request_bytes
        figures += [] if request is None else [f"least KV cache {format_mib(request.size)} MiB"]
    else:
        seen = (("model", learned.model_bytes), ("least KV cache", learned.min_kv_cache_bytes))
        figures = [f"{name} {format_mib(one.size)} MiB" for name, one in seen if one is not None]
    head = "Applied: learned" if applied else "Learned"
    tail = "" if applied else f"; {how}"
    return f"{head} from {starts_words(learned.starts)} of {model}: {', '.join(figures)}{tail}."


def _signed(one: Correction) -> str:
    size = signed_gib(one.size)
    return size if one.starts == 1 else f"{size} ± {one.spread / GIB:.2f}"
