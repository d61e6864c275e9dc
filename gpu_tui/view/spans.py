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
        if used > indent and used + len(word.rstrip()) > columns:
            used = new_row()
            word = word.lstrip()
        while used + len(word.rstrip()) > columns:
            rows[-1].append((word[: columns - used], tone))
            word = word[columns - used :]
            used = new_row()
        word = word[: max(0, columns - used)] if word.endswith(" ") else word
        if word:
            rows[-1].append((word, tone))
            used += len(word)
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
