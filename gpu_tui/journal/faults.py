"""What can be wrong with a journal, told so that one knows what to do."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpu_tui.errors import ConfigError, GpuTuiError, UsageError
from gpu_tui.view.text import clean


class JournalError(GpuTuiError):
    """The journal cannot be read or written now."""


class JournalRefused(JournalError, ConfigError):
    """The file is no journal of ours, damaged, or of a newer gpu-tui. It has been left as it was."""


class UnknownRun(JournalError, UsageError):
    """There is no run of that number."""


ELSEWHERE = "Choose another file with --journal, or --no-journal to do without."
_MOVE = "It was left as it is. Move it away to begin a new one, or choose another with --journal."
_PAGE_BYTES = 32768
"""What SQLite enlarges the file by that readers share (``-shm``)."""
_REFUSING = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
_WORDS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened here",
    sqlite3.SQLITE_PERM: "permission denied",
    sqlite3.SQLITE_BUSY: "another gpu-tui has been writing to it all this time",
    sqlite3.SQLITE_LOCKED: "another gpu-tui has been writing to it all this time",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
}


def name(path: Path) -> str:
    """The file as a sentence calls it."""
    return f"The journal {clean(str(path), 200)}"


def damaged(path: Path, how: str) -> JournalRefused:
    """It is not what we wrote; `how` in SQLite's words, of which the last line tells most."""
    last = how.strip().splitlines()[-1:] or [how]
    return JournalRefused(f"{name(path)} is damaged: {clean(last[0], 120)}.", _MOVE)


def foreign(path: Path, what: str) -> JournalRefused:
    """It never was a journal."""
    return JournalRefused(f"{clean(str(path), 200)} is no journal: {what}.", _MOVE)


def newer(path: Path, version: int, known: int) -> JournalRefused:
    """It was written by a later version."""
    return JournalRefused(
        f"{name(path)} is of a newer gpu-tui (schema {version}, this one knows {known}).",
        "It was left as it is. Update gpu-tui, or choose another file with --journal.",
    )


def _full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < _PAGE_BYTES
    except OSError:
        return False


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's code without its details; errors of the module itself have none."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


@contextmanager
def told(path: Path, doing: str) -> Iterator[None]:
    """Turn what SQLite and the file system say into sentences; `doing` is ``read`` or ``written``.

    Raises:
        JournalRefused: it is damaged.
        JournalError: anything else.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = primary_code(error)
        if code in _REFUSING:
            raise damaged(path, str(error)) from None
        # Where it cannot enlarge the file that readers share, SQLite tells of an error of the disk.
        code = sqlite3.SQLITE_FULL if code == sqlite3.SQLITE_IOERR and _full(path) else code
        why = _WORDS.get(code, clean(str(error), 120))
        raise JournalError(f"{name(path)} could not be {doing}: {why}.", ELSEWHERE) from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise JournalError(f"{name(path)} could not be {doing}: {why}.", ELSEWHERE) from None
