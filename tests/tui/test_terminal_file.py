"""The explorer's terminal as a file: all of it where it is read, given up where it is not and the app is leaving."""

from __future__ import annotations

import io
import os
import pty
import threading
from collections.abc import Iterator

import pytest

from gpu_tui.tui.terminal_file import LAST_WORDS, PATIENCE_S, LastingFile

LONG = "".join(f"{number:06d} ├─┤\r\n" for number in range(20_000))


class Pair:
    """A terminal: what is written to `file` is read from `master`."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        self.stream = os.fdopen(slave, "w", encoding="utf-8")
        self.gone: list[None] = []
        self.file = LastingFile(self.stream, lambda: self.gone.append(None))

    def writing(self, *texts: str) -> threading.Thread:
        thread = threading.Thread(target=lambda: [self.file.write(text) for text in texts], daemon=True)
        thread.start()
        return thread

    def read(self, size: int = 4096) -> bytes:
        return os.read(self.master, size)


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.file.close()
    made.stream.close()
    if made.master >= 0:
        os.close(made.master)


@pytest.mark.parametrize("leaving", [False, True])
def test_what_is_read_arrives_whole(pair: Pair, leaving: bool) -> None:
    if leaving:
        pair.file.leave()
    thread = pair.writing(LONG)
    wanted = LONG.replace("\n", "\r\n").encode()  # a terminal's own way with ends of lines
    read = b""
    while len(read) < len(wanted):
        read += pair.read()
    thread.join(10)
    assert read == wanted
    assert not pair.gone


def test_it_waits_for_as_long_as_nobody_leaves(pair: Pair) -> None:
    thread = pair.writing(LONG)
    thread.join(PATIENCE_S + 0.5)
    assert thread.is_alive()
    pair.file.leave()
    thread.join(PATIENCE_S + 5)
    assert not thread.is_alive()


def test_last_words_have_room_where_frames_were_dropped(pair: Pair) -> None:
    pair.file.leave()
    thread = pair.writing(LONG, "never seen", LAST_WORDS, "goodbye")
    thread.join(PATIENCE_S + 5)
    assert not thread.is_alive()
    read = b""
    while not read.endswith(b"goodbye"):
        read += pair.read()
    assert b"never seen" not in read
    assert read.endswith(b"\x18goodbye")
    pair.file.stay()
    pair.file.write("back again")
    assert pair.read().endswith(b"back again")


def test_last_words_alone_write_nothing_where_all_went_well(pair: Pair) -> None:
    for text in ("a frame", LAST_WORDS, "goodbye"):
        pair.file.write(text)
    assert pair.read() == b"a framegoodbye"


def test_a_terminal_that_is_gone_is_told_once(pair: Pair) -> None:
    os.close(pair.master)
    pair.master = -1
    for _ in range(3):
        assert pair.file.write("x") in (0, 1)
    assert len(pair.gone) == 1


def test_what_is_no_terminal_is_written_to_as_it_is() -> None:
    text = io.StringIO()
    file = LastingFile(text, lambda: None)
    file.leave()
    for part in ("a", LAST_WORDS, "b"):
        file.write(part)
    file.flush()
    assert text.getvalue() == "ab"
