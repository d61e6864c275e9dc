"""The slider's track, in cells: too low, too close to call, feasible, too high, and the thumb."""

from __future__ import annotations

from gpu_tui.view.bands import Bands, Steps
from gpu_tui.view.spans import Line
from gpu_tui.view.utilization import PERMILLE

THUMB = "●"
OUTSIDE = "╌"
INSIDE = "━"
CLOSE = "▒"
ENDS = ("┝", "┥")


def cell_of(permille: int, cells: int) -> int:
    """The cell of a value on a track 0..1 of this many cells."""
    return min(cells - 1, max(0, round(permille * (cells - 1) / PERMILLE)))


def permille_at(cell: int, cells: int) -> int:
    """The value under a cell: the inverse of `cell_of` for a click or drag, kept within 1..1000."""
    if cells <= 1:
        return PERMILLE
    return min(PERMILLE, max(1, round(cell * PERMILLE / (cells - 1))))


def label(feasible: Steps) -> str:
    """The range in words."""
    return f" feasible {feasible[0] / PERMILLE:.3f}–{feasible[1] / PERMILLE:.3f} "


def legend(zones: Bands | None, *, predicted: bool) -> Line:
    """What the track's signs mean; empty before anything is known."""
    if zones is None:
        return []
    where = "" if zones.starts is None else f" {zones.starts[0] / PERMILLE:.3f}–{zones.starts[1] / PERMILLE:.3f}"
    line: Line = [(INSIDE, "ok"), (f" starts{where if predicted else ''}  ", "")] if zones.starts is not None else []
    if zones.close:
        line += [(CLOSE, "warn"), (" too close to call  ", "")]
    return [*line, (f"{OUTSIDE} will not start", "")]


def track(permille: int, feasible: Steps | None, cells: int, zones: Bands | None = None) -> Line:
    """Draw the track.

    Args:
        permille: where the thumb stands.
        feasible: ends of the feasible range in per mille; None draws a track without one.
        cells: width of the track.
        zones: where it starts and where that is too close to call; None: not told, all that is feasible is drawn alike.

    The range's label lies on the track where there is room and never under the thumb.
    """
    text = [OUTSIDE] * cells
    tone = ["dim"] * cells
    starts = feasible if zones is None else zones.starts
    for zone in zones.close if zones is not None else ():
        _fill(text, tone, zone, CLOSE, "warn")
    if starts is not None:
        _fill(text, tone, starts, INSIDE, "ok")
    if feasible is not None:
        low, high = cell_of(feasible[0], cells), cell_of(feasible[1], cells)
        if low < high:
            text[low], text[high] = ENDS
    thumb = cell_of(permille, cells)
    if feasible is not None and starts is not None:
        # Where all of it starts for certain there is room for the words; they must not hide what is too close.
        ends = cell_of(max(feasible[0], starts[0]), cells), cell_of(min(feasible[1], starts[1]), cells)
        long = label(feasible)
        if not _put_label(text, tone, long, *ends, thumb):
            _put_label(text, tone, long.replace("feasible ", ""), *ends, thumb)
    text[thumb], tone[thumb] = THUMB, _thumb_tone(permille, feasible, zones)
    return _merge(text, tone)


def _fill(text: list[str], tone: list[str], zone: Steps, sign: str, its: str) -> None:
    for i in range(cell_of(zone[0], len(text)), cell_of(zone[1], len(text)) + 1):
        text[i], tone[i] = sign, its


def _thumb_tone(permille: int, feasible: Steps | None, zones: Bands | None) -> str:
    if zones is not None and any(low <= permille <= high for low, high in zones.close):
        return "thumb-warn"
    inside = feasible if zones is None else zones.starts
    if inside is not None and inside[0] <= permille <= inside[1]:
        return "thumb-ok"
    return "thumb-bad" if feasible or zones else "thumb"


def _put_label(text: list[str], tone: list[str], words: str, low: int, high: int, thumb: int) -> bool:
    room = high - low - 1
    if len(words) > room:
        return False
    middle = low + 1 + (room - len(words)) // 2
    left, right = low + 1, high - len(words)
    for start in (middle, thumb + 1, thumb - len(words)):
        if left <= start <= right and not start <= thumb < start + len(words):
            text[start : start + len(words)] = list(words)
            tone[start : start + len(words)] = [tone[low]] * len(words)
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
