"""What the special runs say: interference side by side, voice turns as stacked bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gpu_tui.view.latency import FEW_P95, gaps_name, ms
from gpu_tui.view.spans import Line, plain
from gpu_tui.view.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

MODES = (
    ("both", "LLM, then STT", "each by itself: what they deliver alone"),
    ("interference", "Interference", "STT alone, LLM alone, then both together: what they cost each other"),
    ("voice", "Voice turn", "end of speech, transcript, first token, first sentence"),
    ("llm", "LLM only", "streamed chat completions"),
    ("stt", "STT only", "clips of speech"),
)
"""Mode of `gpu-tui measure`, its name, what it tells."""

_ROWS = (
    ("LLM TTFT", "llm", "ttft_ms", "llm_ttft"),
    ("    ITL", "llm", "itl_ms", "llm_itl"),
    ("    end-to-end", "llm", "e2e_ms", "llm_e2e"),
    ("STT latency", "stt", "latency_ms", "stt_latency"),
)
_STAGES = (("stt_ms", "STT", "█", "series-2"), ("first_token_ms", "first token", "▓", "series-0"))
_LAST = ("first_sentence_ms", "first sentence", "░", "series-1")


def interference_lines(result: Any) -> list[Line]:
    """Alone and together, p50 and p95, and the slowdown; shape: `gpu_tui.bench.shapes.Interference`."""
    head = f"{'ms':<14}{'alone':>7}{'p95':>7}{'both':>8}{'p95':>7}{'slower':>8}"
    lines: list[Line] = [[(head, "dim")]]
    for name, kind, field, ratio in _ROWS:
        alone = getattr(getattr(result, f"{kind}_alone"), field, None)
        together = getattr(getattr(result.together, kind, None), field, None)
        slower = _ratio(result.slowdown, ratio)
        tone = "warn" if slower is not None and slower > 1.1 else ""
        cells = f"{_p(alone, 'p50'):>7}{_p95(alone):>7}{_p(together, 'p50'):>8}{_p95(together):>7}"
        told = "?" if slower is None else f"×{slower:.2f}"
        if field == "itl_ms":
            name = f"    {gaps_name(getattr(result.llm_alone, 'itl_basis', None))}"
        lines.append([(f"{name:<14}", ""), (cells, ""), (f"{told:>8}", tone)])
    return lines


def _p(figure: Any, which: str) -> str:
    return "?" if figure is None else ms(getattr(figure, which))


def _p95(figure: Any) -> str:
    """With a star where it is of few samples."""
    few = figure is not None and figure.n is not None and figure.n < FEW_P95
    return _p(figure, "p95") + ("*" if few else "")


def _ratio(slowdown: Mapping[str, Any], name: str) -> float | None:
    ratio = slowdown.get(name)
    return None if ratio is None else ratio.p50


def voice_summary(voice: Any) -> list[Line]:
    """Medians of the stages, and how many turns kept the budget; shape: `gpu_tui.bench.shapes.VoiceResult`."""
    total = voice.total_ms
    parts = f"STT {_p(voice.stt_ms, 'p50')} + first token {_p(voice.first_token_ms, 'p50')}"
    parts += f" + first sentence {_p(voice.first_sentence_ms, 'p50')}"
    few = "*" if voice.n < 20 else ""
    lines: list[Line] = [
        [("Voice turn ", "strong"), (f"p50 {_p(total, 'p50')}  p95{few} {_p(total, 'p95')} ms  n={voice.n}", "")],
        [(f"p50 of the stages: {parts} ms", "dim")],
    ]
    if voice.no_sentence:
        lines.append([(f"! in {voice.no_sentence} answers no sentence ended: they have no total", "warn")])
    if voice.budget_ms is not None:
        kept = voice.within_budget or 0
        tone = "ok" if kept == voice.n else "bad"
        sign = "✓" if kept == voice.n else "✗"
        lines.append([(f"{sign} {kept} of {voice.n} within the budget of {ms(voice.budget_ms)} ms", tone)])
    return lines


@dataclass(frozen=True, slots=True)
class TurnsPlot:
    """Turns as stacked bars, read by a cursor; beside `gpu_tui.view.plots.Plot`."""

    turns: tuple[Any, ...]
    """Shape `gpu_tui.bench.shapes.VoiceTurn`."""
    budget_ms: float | None = None
    simulated: bool = False
    at: int = -1
    """Which turn the cursor is at; -1: none."""
    title: str = "voice turns"

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.turns

    def xs(self) -> list[float]:
        """Where the cursor can stand."""
        return [float(i) for i in range(len(self.turns))]

    def read_at(self, i: int) -> TurnsPlot:
        """The same with the cursor at the i-th turn; without one elsewhere."""
        return replace(self, at=i) if 0 <= i < len(self.turns) else self

    def reading(self) -> str:
        """The turn under the cursor in words."""
        if not 0 <= self.at < len(self.turns):
            return ""
        turn = self.turns[self.at]
        if turn.error is not None:
            return f"turn {turn.index + 1}: failed, {clean(turn.error, 80)}"
        stages = [(name, getattr(turn, field)) for field, name, *_ in (*_STAGES, _LAST)]
        words = " + ".join(f"{name} {'?' if value is None else ms(value)}" for name, value in stages)
        if turn.total_ms is None:
            return f"turn {turn.index + 1}: {words} ms; no total"
        told = f"turn {turn.index + 1}: {words} = {ms(turn.total_ms)} ms"
        if self.budget_ms is None:
            return told
        return f"{told}, {'above' if turn.total_ms > self.budget_ms else 'within'} the budget of {ms(self.budget_ms)}"


def turns_chart(plot: TurnsPlot, width: int, height: int) -> list[Line]:
    """The newest bars that there is room for, or those up to the cursor, which ``▸`` marks.

    Args:
        plot: what to draw.
        width: cells of a row.
        height: rows, the legend included.
    """
    last = max(plot.at + 1, height - 1) if plot.at >= 0 else len(plot.turns)
    lines = voice_bars(plot.turns[:last], plot.budget_ms, width, height)
    number = plot.at - max(0, min(last, len(plot.turns)) - (height - 1)) + 1
    if lines and plot.at >= 0:
        lines[number] = [("▸", "strong"), (plain(lines[number][:1])[1:], "strong"), *lines[number][1:]]
    return lines


def voice_bars(turns: Sequence[Any], budget_ms: float | None, width: int, height: int) -> list[Line]:
    """The newest turns, one stacked bar each; ``|`` marks the budget, ``!`` what is above it.

    Args:
        turns: shape `gpu_tui.bench.shapes.VoiceTurn`; failed ones are named, not drawn.
        budget_ms: None draws no mark.
        width: cells of a row.
        height: rows, the legend included.
    """
    if not turns or height < 2 or width < 30:
        return []
    shown = list(turns)[-(height - 1) :]
    longest = max([_sum(turn) for turn in shown] + [budget_ms or 0.0])
    cells = width - 12
    legend: Line = [(f"{mark} {name}  ", tone) for _, name, mark, tone in (*_STAGES, _LAST)]
    if budget_ms is not None:
        legend.append(("| budget", "warn"))
    while len(legend) > 1 and len(plain(legend).rstrip()) > width:
        legend.pop()
    return [legend, *(_bar(turn, budget_ms, longest, cells) for turn in shown)]


def _sum(turn: Any) -> float:
    return sum(getattr(turn, field) or 0.0 for field, *_ in (*_STAGES, _LAST))


def _bar(turn: Any, budget_ms: float | None, longest: float, cells: int) -> Line:
    head = f"{turn.index + 1:>3} "
    if turn.error is not None or longest <= 0:
        return [(head, "dim"), (f"failed: {turn.error}"[:cells], "warn")]
    text, tones, running = "", "", 0.0
    marks: list[tuple[str, str]] = []
    for field, _, mark, tone in (*_STAGES, _LAST):
        before = round(running / longest * cells)
        running += getattr(turn, field) or 0.0
        marks += [(mark, tone)] * (round(running / longest * cells) - before)
    marks += [(" ", "")] * (cells - len(marks))
    if budget_ms is not None:
        marks[min(cells - 1, round(budget_ms / longest * cells))] = ("|", "warn")
    line: Line = [(head, "dim")]
    for text, tones in marks:
        if line[-1][1] == tones and len(line) > 1:
            line[-1] = (line[-1][0] + text, tones)
        else:
            line.append((text, tones))
    over = budget_ms is not None and running > budget_ms
    return [*line, (f"{ms(running):>7}{'!' if over else ''}", "warn" if over else "")]
