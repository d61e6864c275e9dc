"""What the result plots show, apart from how they are drawn: series, levels, and the reading under a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from gpu_tui.view.latency import ms


class RequestLike(Protocol):
    """One measured request; see `gpu_tui.bench.events.RequestDone`."""

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def started_s(self) -> float | None: ...  # noqa: D102
    @property
    def ttft_ms(self) -> float | None: ...  # noqa: D102
    @property
    def e2e_ms(self) -> float | None: ...  # noqa: D102
    @property
    def latency_ms(self) -> float | None: ...  # noqa: D102
    @property
    def error(self) -> str | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Series:
    """One series: (x, milliseconds), by x."""

    name: str
    points: tuple[tuple[float, float], ...]
    marker: str
    """A glyph that stands nowhere else in a plot: it tells the series apart without colour."""
    tone: str


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line, such as a target."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot; y is milliseconds from 0."""

    title: str
    x_name: str
    series: tuple[Series, ...]
    levels: tuple[Level, ...] = ()
    cursor: float | None = None
    """x of the vertical line that reads values."""
    stops: tuple[tuple[float, str], ...] = ()
    """Where the cursor can stand and what it reads there, by x; empty: at every point."""
    at: int = -1
    """Which of `stops` the cursor is at."""
    keep_levels: bool = False
    """Draw the levels however far they are from the points: a target is what such a plot is about."""
    simulated: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(series.points for series in self.series)

    def xs(self) -> list[float]:
        """Where the cursor can stand."""
        if self.stops:
            return [x for x, _ in self.stops]
        return sorted({x for series in self.series for x, _ in series.points})

    def read_at(self, i: int) -> Plot:
        """The same with the cursor at the i-th place where it can stand; without one elsewhere."""
        xs = self.xs()
        return replace(self, cursor=xs[i], at=i) if 0 <= i < len(xs) else self

    def reading(self) -> str:
        """The values under the cursor in words."""
        if 0 <= self.at < len(self.stops):
            return self.stops[self.at][1]
        if self.cursor is None or self.empty:
            return ""
        cursor, near = self.cursor, []
        for series in self.series:
            if series.points:
                x, y = min(series.points, key=lambda point: abs(point[0] - cursor))
                if x == cursor:
                    near.append(f"{series.marker} {series.name} {ms(y)} ms")
        return f"{self.x_name} {cursor:g}: {', '.join(near)}"


_FIGURES = (
    ("TTFT", "llm", "ttft_ms", "●", "series-0"),
    ("end-to-end", "llm", "e2e_ms", "◆", "series-1"),
    ("STT", "stt", "latency_ms", "×", "series-2"),
)


def by_request(requests: Sequence[RequestLike], levels: Sequence[Level] = ()) -> Plot:
    """Each request's figures in the order in which they ended, each kind counted from 1."""
    return _plot("by request", "request", requests, levels, lambda i, _r: i + 1.0)


def over_time(requests: Sequence[RequestLike], levels: Sequence[Level] = ()) -> Plot:
    """Each request's figures at the second of the run at which it was sent."""
    return _plot("over time", "second", requests, levels, lambda _i, request: round(request.started_s or 0.0, 2))


def distribution(requests: Sequence[RequestLike], levels: Sequence[Level] = ()) -> Plot:
    """Sorted figures over their rank in percent, (i + ½) ÷ n: the median stands at 50."""
    plot = _plot("distribution", "percent of requests", requests, levels, lambda i, _r: float(i))
    ranked = []
    for series in plot.series:
        ys = sorted(y for _, y in series.points)
        points = tuple((round(100 * (i + 0.5) / len(ys), 1), y) for i, y in enumerate(ys))
        ranked.append(Series(series.name, points, series.marker, series.tone))
    return Plot(plot.title, plot.x_name, tuple(ranked), plot.levels)


PLOTS = (by_request, over_time, distribution)


def _plot(title: str, x_name: str, requests: Sequence[RequestLike], levels: Sequence[Level], x_of: _XOf) -> Plot:
    made = []
    for name, kind, field, marker, tone in _FIGURES:
        good = [r for r in requests if r.kind == kind and r.error is None and getattr(r, field) is not None]
        points = tuple(sorted((x_of(i, r), getattr(r, field)) for i, r in enumerate(good)))
        made.append(Series(name, points, marker, tone))
    return Plot(title, x_name, tuple(made), tuple(levels))


class _XOf(Protocol):
    def __call__(self, index: int, request: RequestLike, /) -> float: ...
