"""Lines drawn in braille: 2 × 4 dots a cell."""

from __future__ import annotations

from collections.abc import Sequence

from gpu_tui.view.spans import Line

_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK = 0x2800


class Canvas:
    """A field of braille cells; the tone of a cell is that of the last line drawn through it."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = max(columns, 1), max(rows, 1)
        self._bits = [[0] * self.columns for _ in range(self.rows)]
        self._tones = [[""] * self.columns for _ in range(self.rows)]

    @property
    def dots(self) -> tuple[int, int]:
        """Width and height in dots."""
        return self.columns * 2, self.rows * 4

    def dot(self, x: int, y: int, tone: str) -> None:
        """Set one dot; y counts from the bottom. Outside the field nothing happens."""
        wide, high = self.dots
        if 0 <= x < wide and 0 <= y < high:
            row, column = (high - 1 - y) // 4, x // 2
            self._bits[row][column] |= _BITS[(high - 1 - y) % 4][x % 2]
            self._tones[row][column] = tone

    def line(self, ys: Sequence[float | None], top: float, tone: str) -> None:
        """Draw a series, newest at the right edge, one value a dot column; 0 at the bottom, `top` at the top.

        None leaves a gap: what was not seen is not drawn.
        """
        wide, high = self.dots
        shown = list(ys)[-wide:]
        before: int | None = None
        for x, value in enumerate(shown, start=wide - len(shown)):
            if value is None or top <= 0:
                before = None
                continue
            y = min(high - 1, max(0, round(value / top * (high - 1))))
            low, up = (y, y) if before is None else (min(before, y), max(before, y))
            for step in range(low, up + 1):
                self.dot(x, step, tone)
            before = y

    def level(self, value: float, top: float, tone: str) -> None:
        """Draw a dotted horizontal level."""
        wide, high = self.dots
        if top > 0:
            y = min(high - 1, max(0, round(value / top * (high - 1))))
            for x in range(0, wide, 4):
                self.dot(x, y, tone)

    def lines(self) -> list[Line]:
        """The field as lines of spans."""
        drawn: list[Line] = []
        for bits, tones in zip(self._bits, self._tones, strict=True):
            line: Line = []
            for bit, tone in zip(bits, tones, strict=True):
                cell = chr(_BLANK + bit) if bit else " "
                if line and (line[-1][1] == tone or not bit):
                    line[-1] = (line[-1][0] + cell, line[-1][1])
                else:
                    line.append((cell, tone))
            drawn.append(line)
        return drawn
