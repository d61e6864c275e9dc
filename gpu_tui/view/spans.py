"""Text with meaning: a line is spans of (text, tone). The CLI joins the texts, the TUI turns tones into styles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Span = tuple[str, str]
"""Text and its tone: "" (plain), "dim", "strong", "ok", "bad", "warn", or a filled area's name such as "svc-kloros"."""

Line = list[Span]


def plain(line: Iterable[Span]) -> str:
    """The line without tones."""
    return "".join(text for text, _ in line)


def width(line: Iterable[Span]) -> int:
    """Cells the line takes. Every character the product draws itself is one cell wide; names are cleaned before."""
    return sum(len(text) for text, _ in line)


def wrap(line: Sequence[Span], columns: int, indent: int = 0) -> list[Line]:
    """Break a line at spaces so that no row is wider than `columns`; later rows are indented. Never cuts text."""
    rows: list[Line] = [[]]
    used = 0
    for word, tone in _words(line):
        text = word
        if used and used + len(text.rstrip()) > columns:
            rows.append([(" " * indent, "")] if indent else [])
            used = indent
            text = text.lstrip() or ""
        while used + len(text.rstrip()) > columns > used:
            room = columns - used
            rows[-1].append((text[:room], tone))
            text = text[room:]
            rows.append([(" " * indent, "")] if indent else [])
            used = indent
        rows[-1].append((text, tone))
        used += len(text)
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
