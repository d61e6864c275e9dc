"""Where a service writes its log, when that is a file: its standard output and error, as /proc shows them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable


def log_files(pids: Iterable[int]) -> tuple[str, ...]:
    """Regular files that these processes have as standard output or error and that this user can read.

    A terminal, a pipe or the journal's socket is none; a process that is gone or another user's gives none.
    """
    found: dict[str, None] = {}
    for pid in pids:
        for descriptor in (1, 2):
            try:
                path = os.readlink(f"/proc/{pid}/fd/{descriptor}")  # noqa: PTH115 - a link that names no path is no error
                regular = stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116
            except OSError:
                continue
            if regular and os.access(path, os.R_OK):
                found[path] = None
    return tuple(found)
