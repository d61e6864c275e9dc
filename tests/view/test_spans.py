"""Cutting text to cells: the longest beginning that fits, found in one pass."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.view.spans import cells, cut, cut_line, plain

ACCENT, WIDE = "\u0301", "語"


@given(st.text("ab 語😀é" + ACCENT, max_size=60), st.integers(0, 70))
def test_what_is_cut_is_the_longest_beginning_that_fits(text: str, room: int) -> None:
    shown = cut(text, room)
    assert text.startswith(shown)
    assert cells(shown) <= room
    assert shown == text or cells(text[: len(shown) + 1]) > room


def test_nothing_fits_into_less_than_no_room() -> None:
    assert cut("abc", -1) == cut(WIDE, -1) == ""


def test_an_accent_stays_on_its_letter() -> None:
    assert cut(f"{WIDE}e{ACCENT}f", 3) == f"{WIDE}e{ACCENT}"


class Counted(str):
    """A text that counts how many of its characters were looked at."""

    looked_at = 0

    def __iter__(self) -> Iterator[str]:
        for character in super().__iter__():
            self.looked_at += 1
            yield character


def test_cutting_looks_no_further_than_the_room_reaches() -> None:
    """What vLLM itself would print is many times as wide as its row, and is cut anew at every key on the slider."""
    text = Counted("“" + "x" * 5000)
    assert cut(text, 40) == "“" + "x" * 39
    assert text.looked_at <= 41


def test_a_line_that_is_too_long_says_so() -> None:
    assert plain(cut_line([("ab", ""), ("語語", "x"), ("c", "")], 6)) == "ab語…"
    assert cut_line([("ab", "")], 2) == [("ab", "")]
    assert cut_line([("ab", "")], 0) == []
