"""Reads a log's last start within bounds, however large the file: whole when small, else where an engine last began."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpu_tui.core.start_log import GAP

MIB = 1024 * 1024
WHOLE = 8 * MIB
"""A file up to this size is read whole."""
SEARCHED = 512 * MIB
"""How far back from a log's end the last start is looked for; a busy server logs some 20 MiB a day."""
START = 4 * MIB
"""Read from the last start on. A start's own log is some hundred KiB."""
BEFORE = 256 * 1024
"""Read before an engine's first line: its server's version and options stand there."""
TAIL = 256 * 1024
_CHUNK = 4 * MIB
_MARK = b"LLM engine "
"""In the first line of every engine, of every version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogBytes:
    """What was read of a file."""

    text: str
    """Invalid UTF-8 is replaced; `GAP` stands on a line of its own where something was left out."""
    modified_at: float
    """Seconds since the epoch."""


def read_log(path: Path, out_of_time: Callable[[], bool]) -> LogBytes:
    """The last start in a file.

    Raises:
        OSError: it cannot be opened or read, or is no regular file. A FIFO or a device is never waited for.
    """
    # Opening does not wait for a writer; what is no regular file is not read.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is no regular file")
        data = _last_start(handle, status.st_size, out_of_time)
    finally:
        os.close(handle)
    return LogBytes(text=data.decode("utf-8", "replace"), modified_at=status.st_mtime)


def _last_start(handle: int, size: int, out_of_time: Callable[[], bool]) -> bytes:
    if size <= WHOLE:
        return os.pread(handle, size, 0)
    mark = _find_back(handle, size, out_of_time)
    begin = max(0, mark - BEFORE) if mark is not None else 0
    head = _from_a_line(os.pread(handle, START, begin), whole=begin == 0)
    rest = max(begin + START, size - TAIL)
    if rest >= size:
        return head
    tail = os.pread(handle, size - rest, rest)
    if rest == begin + START:
        return head + tail
    return head[: head.rfind(b"\n") + 1] + f"{GAP}\n".encode() + _from_a_line(tail, whole=False)


def _find_back(handle: int, size: int, out_of_time: Callable[[], bool]) -> int | None:
    """Offset of the last engine's first line, looked for from the end."""
    end = size
    while end > max(0, size - SEARCHED) and not out_of_time():
        begin = max(0, end - _CHUNK)
        # A mark may lie across two chunks.
        at = os.pread(handle, end - begin + len(_MARK), begin).rfind(_MARK)
        if at >= 0:
            return begin + at
        end = begin
    return None


def _from_a_line(data: bytes, *, whole: bool) -> bytes:
    """Without the piece of a line that a cut in the middle leaves at the beginning."""
    return data if whole else data[data.find(b"\n") + 1 :]
