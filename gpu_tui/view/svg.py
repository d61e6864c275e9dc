"""A plot as SVG, for reports: plain shapes and text, no script, no font or address from elsewhere, white paper.

Series are told apart by their shape as well as by their colour (Okabe and Ito's, which colour-blind people tell apart).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from gpu_tui.view.plots import Plot
from gpu_tui.view.text import clean

WIDTH, HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 72, 48
_INK, _GRID = "#202020", "#d8d8d8"
_COLOURS = {"series-0": "#0072b2", "series-1": "#d55e00", "series-2": "#009e73"}
_HEAD = (
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
    'font-family="sans-serif" font-size="12" role="img">'
)


def svg(plot: Plot) -> str:
    """The plot as an SVG document; one that is empty says so."""
    title = f"{'SIMULATED: ' if plot.simulated else ''}{plot.title}, ms"
    parts = [_HEAD, f"<title>{_safe(title)}</title>", f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>']
    parts.append(_text(_LEFT, 24, title, size=15, weight="bold"))
    if plot.empty:
        parts.append(_text(_LEFT, 60, "No run tells both."))
    else:
        parts += [*_legend(plot), *_Paper(plot).drawn()]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _safe(text: str) -> str:
    return escape(clean(text, 200))


def _text(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", weight: str = "normal") -> str:
    style = f'font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" fill="{_INK}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{_safe(text)}</text>'


def _mark(marker: str, x: float, y: float, colour: str) -> str:
    """A point: filled for ● and ◆, hollow for ○ and ◇; whatever else is a cross."""
    fill = colour if marker in "●◆" else "#ffffff"
    if marker in "●○":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{colour}" stroke-width="1.5"/>'
    if marker in "◆◇":
        path = f"M{x:.1f} {y - 5:.1f}L{x + 5:.1f} {y:.1f}L{x:.1f} {y + 5:.1f}L{x - 5:.1f} {y:.1f}Z"
        return f'<path d="{path}" fill="{fill}" stroke="{colour}" stroke-width="1.5"/>'
    path = f"M{x - 4:.1f} {y - 4:.1f}l8 8M{x - 4:.1f} {y + 4:.1f}l8 -8"
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _legend(plot: Plot) -> Iterator[str]:
    x = float(_LEFT)
    for series in plot.series:
        if series.points:
            yield _mark(series.marker, x + 5, 46, _COLOURS.get(series.tone, _INK))
            yield _text(x + 15, 50, series.name)
            x += 35 + 7 * len(series.name)
    for level in plot.levels:
        yield f'<path d="M{x:.1f} 46h22" stroke="{_INK}" stroke-width="1.5" stroke-dasharray="5 4"/>'
        yield _text(x + 28, 50, f"{level.name} {level.value:g}")
        x += 110


class _Paper:
    """Where a value stands on the paper. Both axes begin at 0."""

    def __init__(self, plot: Plot) -> None:
        self._plot = plot
        points = [point for series in plot.series for point in series.points]
        highest = max([y for _, y in points] + [level.value for level in plot.levels])
        self._xs, self._ys = _ticks(max(x for x, _ in points)), _ticks(highest * 1.02)

    def drawn(self) -> Iterator[str]:
        """Grid, axes, target, points; each point tells its values to whoever rests the pointer on it."""
        right, floor = WIDTH - _RIGHT, HEIGHT - _BOTTOM
        for y in self._ys:
            yield f'<path d="M{_LEFT} {self._y(y):.1f}H{right}" stroke="{_GRID}"/>'
            yield _text(_LEFT - 6, self._y(y) + 4, f"{y:.10g}", anchor="end")
        for x in self._xs:
            yield f'<path d="M{self._x(x):.1f} {floor}v4" stroke="{_INK}"/>'
            yield _text(self._x(x), floor + 18, f"{x:.10g}", anchor="middle")
        yield f'<path d="M{_LEFT} {_TOP}V{floor}H{right}" fill="none" stroke="{_INK}"/>'
        yield _text((_LEFT + right) / 2, HEIGHT - 10, self._plot.x_name, anchor="middle")
        for level in self._plot.levels:
            yield (
                f'<path d="M{_LEFT} {self._y(level.value):.1f}H{right}" stroke="{_INK}" stroke-width="1.5" '
                'stroke-dasharray="5 4"/>'
            )
        for series in self._plot.series:
            for x, y in series.points:
                told = _safe(f"{series.name} {y:.5g} ms at {x:g}")
                mark = _mark(series.marker, self._x(x), self._y(y), _COLOURS.get(series.tone, _INK))
                yield f"<g><title>{told}</title>{mark}</g>"

    def _x(self, value: float) -> float:
        return _LEFT + value / self._xs[-1] * (WIDTH - _LEFT - _RIGHT)

    def _y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - value / self._ys[-1] * (HEIGHT - _TOP - _BOTTOM)


def _ticks(top: float) -> list[float]:
    """From 0 to at least `top` in steps of 1, 2 or 5 times a power of ten; at most seven steps."""
    if not top > 0:
        return [0.0, 1.0]
    step = 10.0 ** math.floor(math.log10(top / 7))
    step *= next(factor for factor in (1, 2, 5, 10) if top / (step * factor) <= 7)
    return [step * i for i in range(math.ceil(top / step - 1e-9) + 1)]
