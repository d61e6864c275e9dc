"""The model planned with, in words: one line for the panel, the rows of the picker."""

from __future__ import annotations

from gpu_tui.core.checks import ModelNeed
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.start import StartModel
from gpu_tui.core.start_terms import TermName
from gpu_tui.view.rows import mib
from gpu_tui.view.spans import Line
from gpu_tui.view.text import clean

_LONGEST = 64


def shortened(text: str, most: int = _LONGEST) -> str:
    """Others' text fit for a line: cleaned, its middle left out where it is long."""
    text = clean(text)
    if len(text) <= most:
        return text
    tail = (most - 1) * 2 // 3
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def name_of(facts: ModelFacts | None) -> str:
    """What to call a model."""
    if facts is None:
        return "model of unknown files"
    return shortened(facts.name or facts.architecture or "unnamed model", 48)


def planned_line(start: StartModel | None, need: ModelNeed, *, reading: bool = False) -> Line:
    """The model planned with and where its weights are from.

    Args:
        start: its terms; None where the hand-set figures are planned with.
        need: those figures.
        reading: the running server's model is just being looked at.
    """
    if start is None:
        told = "reading the running server's model…" if reading else f"hand-set ({clean(need.model_origin.source, 60)})"
        return [("model: ", "dim"), (told, "warn" if reading else "dim")]
    weights = start.term(TermName.WEIGHTS)
    line: Line = [("model: ", "dim"), (name_of(start.facts), "")]
    if weights is not None:
        line.append((f" ({weights.origin.kind.value}: {shortened(weights.origin.source)})", "dim"))
    return line


def facts_words(facts: ModelFacts) -> str:
    """A model in a few words."""
    parts = [name_of(facts)]
    if facts.weights_bytes is not None:
        parts.append(f"{mib(facts.weights_bytes)} MiB of weights")
    if facts.quantization:
        parts.append(clean(facts.quantization, 24))
    if facts.max_model_len is not None:
        parts.append(f"context {facts.max_model_len:,}")
    return ", ".join(parts)
