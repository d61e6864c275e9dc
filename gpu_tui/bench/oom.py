"""How running out of GPU memory reads, in an answer and in a service's log. What is not written is not guessed."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass

PATTERN = re.compile(
    r"(?i)(torch(\.cuda)?\.)?OutOfMemoryError|(CUDA|HIP)( error:| failed with error)? out of memory|"
    r"cudaMalloc failed: out of memory|cudaErrorMemoryAllocation|CUBLAS_STATUS_ALLOC_FAILED"
)
"""As torch, CTranslate2 and ggml word it. Looked for in error answers and logs, never in text a model has written."""

MAX_LOG_BYTES = 8 * 1024 * 1024
"""Read at most of what a log grew by during a run; a log that grows faster is read from its end."""


@dataclass(frozen=True)
class _Mark:
    path: str
    inode: int
    size: int


class LogWatch:
    """Watches what log files grow by while a run is under way. Only regular files that this user can read."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self._marks = [mark for mark in map(_mark, paths) if mark is not None]

    @property
    def paths(self) -> list[str]:
        """The files that are watched."""
        return [mark.path for mark in self._marks]

    def ooms(self) -> int:
        """Lines about running out of GPU memory written since, in all files together.

        A file that was rotated or cut meanwhile is read from its beginning.
        """
        return sum(_count(mark) for mark in self._marks)


def _mark(path: str) -> _Mark | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - one call, for type, inode and size
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode) or not os.access(path, os.R_OK):
        return None
    return _Mark(path, status.st_ino, status.st_size)


def _count(mark: _Mark) -> int:
    now = _mark(mark.path)
    if now is None:
        return 0
    start = mark.size if now.inode == mark.inode and now.size >= mark.size else 0
    with open(mark.path, "rb") as log:  # noqa: PTH123 - a path as /proc gives it
        log.seek(max(start, now.size - MAX_LOG_BYTES))
        lines = log.read(MAX_LOG_BYTES).decode("utf-8", "replace").splitlines()
    return sum(PATTERN.search(line) is not None for line in lines)
