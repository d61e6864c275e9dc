"""The slider's track, in cells: too low, feasible, too high, and the thumb."""

from __future__ import annotations

from gpu_tui.view.explorer import PERMILLE
from gpu_tui.view.spans import Line

THUMB = "●"
OUTSIDE = "╌"
INSIDE = "━"
ENDS = ("┝", "┥")


def cell_of(permille: int, cells: int) -> int:
    """The cell of a value on a track 0..1 of this many cells."""
    return min(cells - 1, max(0, round(permille * (cells - 1) / PERMILLE)))


def permille_at(cell: int, cells: int) -> int:
    """The value under a cell: the inverse of `cell_of` for a click or drag, kept within 1..1000."""
    if cells <= 1:
        return PERMILLE
    return min(PERMILLE, max(1, round(cell * PERMILLE / (cells - 1))))


def label(feasible: tuple[int, int]) -> str:
    """The range in words."""
    return f" feasible {feasible[0] / PERMILLE:.3f}–{feasible[1] / PERMILLE:.3f} "


def track(permille: int, feasible: tuple[int, int] | None, cells: int) -> Line:
    """Draw the track.

    Args:
        permille: where the thumb stands.
        feasible: ends of the feasible range in per mille; None draws a track without one.
        cells: width of the track.

    The range's label lies on the track where there is room and never under the thumb.
    """
    text = [OUTSIDE] * cells
    tone = ["dim"] * cells
    if feasible is not None:
        low, high = cell_of(feasible[0], cells), cell_of(feasible[1], cells)
        for i in range(low, high + 1):
            text[i], tone[i] = INSIDE, "ok"
        if low < high:
            text[low], text[high] = ENDS
        thumb = cell_of(permille, cells)
        long = label(feasible)
        if not _put_label(text, tone, long, low, high, thumb):
            _put_label(text, tone, long.replace("feasible ", ""), low, high, thumb)
    inside = feasible is not None and feasible[0] <= permille <= feasible[1]
    thumb = cell_of(permille, cells)
    text[thumb], tone[thumb] = THUMB, "thumb-ok" if inside else "thumb-bad" if feasible else "thumb"
    return _merge(text, tone)


def _put_label(text: list[str], tone: list[str], words: str, low: int, high: int, thumb: int) -> bool:
    room = high - low - 1
    if len(words) > room:
        return False
    middle = low + 1 + (room - len(words)) // 2
    left, right = low + 1, high - len(words)
    for start in (middle, thumb + 1, thumb - len(words)):
        if left <= start <= right and not start <= thumb < start + len(words):
            text[start : start + len(words)] = list(words)
            tone[start : start + len(words)] = ["ok"] * len(words)
            return True
    return False


def _merge(text: list[str], tone: list[str]) -> Line:
    line: Line = []
    for character, its in zip(text, tone, strict=True):
        if line and line[-1][1] == its:
            line[-1] = (line[-1][0] + character, its)
        else:
            line.append((character, its))
    return line
