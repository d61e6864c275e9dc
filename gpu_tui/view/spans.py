"""Text with meaning: a line is spans of (text, tone). The CLI joins the texts, the TUI turns tones into styles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from unicodedata import category, east_asian_width

Span = tuple[str, str]
"""Text and its tone: "" (plain), "dim", "strong", "ok", "bad", "warn", or a filled area's name such as "svc-kloros"."""

Line = list[Span]


def plain(line: Iterable[Span]) -> str:
    """The line without tones."""
    return "".join(text for text, _ in line)


@lru_cache(maxsize=4096)
def cells(text: str) -> int:
    """Cells a text takes in a terminal: a name in Chinese takes two a character, an accent none."""
    if text.isascii():
        return len(text)
    return sum(map(_cells_of, text))


@lru_cache(maxsize=4096)
def _cells_of(character: str) -> int:
    return 2 if east_asian_width(character) in "WF" else 0 if category(character) in ("Mn", "Me") else 1


def cut(text: str, room: int) -> str:
    """As much of a text as fits into `room` cells."""
    if text.isascii():
        return text[: max(0, room)]
    used = 0
    for i, character in enumerate(text):
        used += _cells_of(character)
        if used > room:
            return text[:i]
    return text


def pad(text: str, room: int) -> str:
    """A text filled with blanks to `room` cells."""
    return text + " " * max(0, room - cells(text))


def cut_line(line: Sequence[Span], room: int) -> Line:
    """A line of at most `room` cells; a longer one ends in ``…``."""
    if sum(cells(text) for text, _ in line) <= room:
        return list(line)
    shown: Line = []
    left = room - 1
    for text, tone in line:
        fits = cut(text, left)
        shown.append((fits, tone))
        left -= cells(fits)
        if left <= 0 or fits != text:
            break
    return [*shown, ("…", shown[-1][1] if shown else "")] if room > 0 else []


def width(line: Iterable[Span]) -> int:
    """Cells the line takes."""
    return sum(cells(text) for text, _ in line)


def wrap(line: Sequence[Span], columns: int, indent: int = 0) -> list[Line]:
    """Break a line at spaces so that no row is wider than `columns`; later rows are indented. Never cuts text.

    A single word that is wider than a row is broken where the row ends.
    """
    columns = max(columns, indent + 1)
    rows: list[Line] = [[]]
    used = 0

    def new_row() -> int:
        if rows[-1]:
            text, tone = rows[-1][-1]
            rows[-1][-1] = (text.rstrip(), tone)
        rows.append([(" " * indent, "")] if indent else [])
        return indent

    for word, tone in _words(line):
        if used > indent and used + cells(word.rstrip()) > columns:
            used = new_row()
            word = word.lstrip()
        while used + cells(word.rstrip()) > columns:
            head = cut(word, columns - used) or ("" if used > indent else word[0])
            rows[-1].append((head, tone))
            word = word[len(head) :]
            used = new_row()
        word = cut(word, max(0, columns - used)) if word.endswith(" ") else word
        if word:
            rows[-1].append((word, tone))
            used += cells(word)
    return rows


def _words(line: Sequence[Span]) -> Iterable[Span]:
    for text, tone in line:
        start = 0
        for i, character in enumerate(text):
            if character == " " and i + 1 < len(text) and text[i + 1] != " ":
                yield text[start : i + 1], tone
                start = i + 1
        if start < len(text):
            yield text[start:], tone
