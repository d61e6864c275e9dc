"""What the GPU held and did during a run: a line per phase, and memory and utilization drawn over its seconds.

Shape of a series: `gpu_tui.bench.machine_series.MachineSeries`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from gpu_tui.view.braille import Canvas
from gpu_tui.view.spans import Line, cells, cut, pad
from gpu_tui.view.text import clean

PHASES = {"stt_alone": "STT alone", "llm_alone": "LLM alone", "together": "both", "run": "whole run"}
"""Phase of a run -> its name for people."""

MIN_WIDTH, MIN_HEIGHT = 30, 5
_LEFT, _RIGHT = 6, 8
_UNKNOWN = "unknown"


def phase_name(name: str) -> str:
    """The phase for people."""
    return PHASES.get(name) or clean(name, 12)


def memory_words(phase: Any) -> str:
    """``8392–8402`` MiB, one figure where it stood still, or ``unknown``."""
    low, high = phase.used_mib_min, phase.used_mib_max
    if low is None or high is None:
        return _UNKNOWN
    return f"{low:.0f}" if f"{low:.0f}" == f"{high:.0f}" else f"{low:.0f}–{high:.0f}"


def utilization_words(phase: Any) -> tuple[str, str]:
    """Mean and highest utilization in percent, or ``unknown`` twice."""
    mean, highest = phase.utilization_pct_mean, phase.utilization_pct_max
    return (
        _UNKNOWN if mean is None else f"{mean:.0f} %",
        _UNKNOWN if highest is None else f"{highest:.0f} %",
    )


def phase_lines(series: Any) -> list[Line]:
    """A head and a line per phase; at most 51 cells wide."""
    lines: list[Line] = [[(f"{'GPU':<14}{'memory MiB':>14}{'util mean':>11}{'max':>9}", "dim")]]
    for phase in series.phases:
        mean, highest = utilization_words(phase)
        lines.append([(f"{phase_name(phase.name):<14}{memory_words(phase):>14}{mean:>11}{highest:>9}", "")])
    return lines


def phase_text(series: Any) -> list[str]:
    """The same for a terminal without colour: a head, then a line per phase."""
    lines = [f"GPU memory and utilization over the run, every {series.interval_s:g} s"]
    for phase in series.phases:
        mean, highest = utilization_words(phase)
        memory = memory_words(phase)
        unit = "" if memory == _UNKNOWN else " MiB"
        samples = f"{phase.n} sample{'' if phase.n == 1 else 's'}"
        lines.append(
            f"  {phase_name(phase.name):<10} memory {memory}{unit}, utilization mean {mean}, max {highest}  ({samples})"
        )
    return lines


_PHASE = ("name", "n", "used_mib_min", "used_mib_max", "utilization_pct_mean", "utilization_pct_max")


def phase_text_of_json(told: Mapping[str, Any]) -> list[str]:
    """`phase_text` of a series as the journal keeps it; nothing where it is none."""
    phases, interval = told.get("phases"), told.get("interval_s")
    if not isinstance(phases, Sequence) or not isinstance(interval, (int, float)):
        return []
    known = [SimpleNamespace(**{key: one.get(key) for key in _PHASE}) for one in phases if isinstance(one, Mapping)]
    return phase_text(SimpleNamespace(interval_s=interval, phases=known))


@dataclass(frozen=True, slots=True)
class MachinePlot:
    """A series as a plot; beside `gpu_tui.view.plots.Plot`."""

    series: Any
    simulated: bool = False
    cursor: float | None = None
    """Second of the run at which values are read."""
    title: str = "GPU memory and utilization"

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return self.series is None or not self.series.at_s

    def xs(self) -> list[float]:
        """Where the cursor can stand."""
        return [] if self.series is None else list(self.series.at_s)

    def read_at(self, i: int) -> MachinePlot:
        """The same with the cursor at the i-th sample; without one elsewhere."""
        xs = self.xs()
        return replace(self, cursor=xs[i]) if 0 <= i < len(xs) else self

    def reading(self) -> str:
        """The values under the cursor in words."""
        if self.cursor is None or self.empty:
            return ""
        i = _nearest(self.series.at_s, self.cursor)
        at, used, busy = self.series.at_s[i], self.series.used_mib[i], self.series.utilization_pct[i]
        phase = next((phase_name(p.name) for p in self.series.phases if p.begin_s <= at <= p.end_s), "between phases")
        held = ", ".join(
            f"{clean(name, 12)} {values[i]:.0f}"
            for name, values in self.series.services_mib.items()
            if values[i] is not None
        )
        memory = _UNKNOWN if used is None else f"{used:.0f} MiB" + (f" ({held})" if held else "")
        told = _UNKNOWN if busy is None else f"{busy} %"
        return f"{at:.1f} s, {phase}: utilization {told}, memory {memory}"


def _nearest(ordered: Sequence[float], x: float) -> int:
    i = bisect_left(ordered, x)
    if i == 0 or (i < len(ordered) and ordered[i] - x < x - ordered[i - 1]):
        return min(i, len(ordered) - 1)
    return i - 1


def machine_chart(plot: MachinePlot, width: int, height: int) -> list[Line]:
    """Phases, memory and utilization under each other; nothing where there is no room.

    Args:
        plot: what to draw.
        width: cells of a row.
        height: rows, the phases' names and the seconds included.
    """
    if plot.empty or width < MIN_WIDTH or height < MIN_HEIGHT:
        return []
    frame = _Frame(plot, width - _LEFT - _RIGHT)
    rows = height - 2
    busy_rows = max(1, rows * 2 // 5)
    return [
        frame.names(),
        *frame.memory(rows - busy_rows),
        *frame.utilization(busy_rows),
        frame.seconds(),
    ]


class _Frame:
    """The seconds of a run across so many cells."""

    def __init__(self, plot: MachinePlot, columns: int) -> None:
        self._plot, self._series = plot, plot.series
        self._cells = columns
        ends = [phase.end_s for phase in self._series.phases]
        self._last: float = max(self._series.at_s[-1], *ends, 0.001)
        # A sample stands for the time around it; where the next is farther away than that, nothing was seen.
        at = self._series.at_s
        self._reach = 0.75 * max(self._series.interval_s, (at[-1] - at[0]) / max(1, len(at) - 1))

    def names(self) -> Line:
        """The phases, each from its begin to its end: ``├STT alone───┤``; warm-ups lie between them."""
        text = ""
        for phase in self._series.phases:
            begin = max(self._column(phase.begin_s), cells(text))
            room = self._column(phase.end_s) - begin + 1
            name = phase_name(phase.name)
            name = name if len(name) <= room - 2 else name.split()[0]
            inner = cut(name, max(0, room - 2))
            bar = f"├{inner}{'─' * (room - 2 - cells(inner))}┤" if room >= 2 else "│" * max(0, room)
            text = pad(text, begin) + bar
        return [(" " * _LEFT + pad(cut(text, self._cells), self._cells), "key")]

    def memory(self, rows: int) -> list[Line]:
        """Used memory and, as far as there is room to name them, the services' shares of it."""
        series, canvas = self._series, self._canvas(rows)
        top = series.total_mib or _highest(series.used_mib) or 1.0
        lines = {"used": (series.used_mib, "strong")}
        by_size = sorted(series.services_mib.items(), key=lambda one: -_highest(one[1]))
        lines |= {clean(name, _RIGHT - 1): (values, f"fg-{name}") for name, values in by_size}
        labels = _labels({name: _end(values) / top for name, (values, _) in lines.items()}, rows)
        for name in reversed(list(labels.values())):
            values, tone = lines[name]
            canvas.line(self._columns(values), top, tone)
        tones = {name: tone for name, (_, tone) in lines.items()}
        return self._framed(canvas, {0: _tick(top), rows - 1: "0"}, labels, tones)

    def utilization(self, rows: int) -> list[Line]:
        """GPU utilization, 0 to 100 %."""
        canvas, busy = self._canvas(rows), self._series.utilization_pct
        if all(value is None for value in busy):
            return [[(" " * _LEFT + pad("utilization unknown", self._cells), "dim")]] + [[]] * (rows - 1)
        canvas.line(self._columns(busy), 100.0, "strong")
        return self._framed(
            canvas, {0: "100 %"} | ({rows - 1: "0 %"} if rows > 1 else {}), {0: "util"}, {"util": "strong"}
        )

    def seconds(self) -> Line:
        """The axis below."""
        end = f"{self._last:.0f} s"
        text = pad("0", self._cells - len(end)) + end
        return [(" " * _LEFT + text, "dim")]

    def _canvas(self, rows: int) -> Canvas:
        canvas = Canvas(self._cells, rows)
        for phase in self._series.phases:
            self._upright(canvas, phase.begin_s, "dim", 2)
        if self._plot.cursor is not None:
            self._upright(canvas, self._plot.cursor, "warn", 1)
        return canvas

    def _upright(self, canvas: Canvas, at_s: float, tone: str, step: int) -> None:
        for y in range(0, canvas.dots[1], step):
            canvas.dot(2 * self._column(at_s), y, tone)

    def _column(self, at_s: float) -> int:
        return min(self._cells - 1, max(0, round(at_s / self._last * (self._cells - 1))))

    def _columns(self, values: Sequence[float | None]) -> list[float | None]:
        """A value per dot column: that of the nearest sample."""
        dots, at = self._cells * 2, self._series.at_s
        shown: list[float | None] = []
        for i in range(dots):
            second = i / (dots - 1) * self._last
            near = _nearest(at, second)
            shown.append(values[near] if abs(at[near] - second) <= self._reach else None)
        return shown

    def _framed(self, canvas: Canvas, left: dict[int, str], right: dict[int, str], tones: dict[str, str]) -> list[Line]:
        return [
            [
                (f"{left.get(i, ''):>{_LEFT - 1}} ", "dim"),
                *line,
                (f" {right.get(i, '')}", tones.get(right.get(i, ""), "")),
            ]
            for i, line in enumerate(canvas.lines())
        ]


def _tick(mib: float) -> str:
    """A size in MiB in at most five cells; ``976G`` where that has more digits."""
    return f"{mib:.0f}" if mib < 99_999.5 else f"{mib / 1024:.0f}G" if mib < 1024 * 9_999 else f"{mib / 1024**2:.0f}T"


def _highest(values: Sequence[float | None]) -> float:
    return max((value for value in values if value is not None), default=0.0)


def _end(values: Sequence[float | None]) -> float:
    return next((value for value in reversed(values) if value is not None), 0.0)


def _labels(shares: dict[str, float], rows: int) -> dict[int, str]:
    """Row -> name, each as near as may be to where its line ends, the higher above the lower.

    As many as there are rows, those given first.
    """
    names = sorted(list(shares)[:rows], key=lambda name: -shares[name])
    places: list[int] = []
    for name in names:
        wanted = min(rows - 1, max(0, round((1 - shares[name]) * rows - 0.5)))
        places.append(max(wanted, places[-1] + 1) if places else wanted)
    for i in range(len(places) - 1, -1, -1):  # what was pushed below the last row moves up again
        places[i] = min(places[i], (places[i + 1] if i + 1 < len(places) else rows) - 1)
    return dict(zip(places, names, strict=True))
