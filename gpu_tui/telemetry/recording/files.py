"""A recording's files: FILE is being written, FILE.1 is what came before it, FILE.2 before that."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

from gpu_tui.errors import ConfigError, UsageError
from gpu_tui.view.text import clean

MOST_FILES = 999


def numbered(path: Path, number: int) -> Path:
    """FILE.3; FILE itself for 0."""
    return path.parent / f"{path.name}.{number}" if number else path


def older(path: Path) -> list[Path]:
    """The rotated files of this recording that are there, oldest first."""
    found: list[Path] = []
    if not path.name:
        return found
    while len(found) < MOST_FILES and _is_file(one := numbered(path, len(found) + 1)):
        found.append(one)
    return found[::-1]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # what was typed can be no file's name; opening the recording says so
        return False


def open_locked(path: Path) -> int:
    """Open a file to be recorded into, made where there is none; this process's alone until it is closed.

    Raises:
        UsageError: another recorder has it.
        ConfigError: it cannot be opened, or is no regular file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Nobody else's business: command lines and users' names are in it.
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"{clean(str(path))} cannot be written: {why}.", "Give another file.") from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ConfigError(f"{clean(str(path))} is no regular file.", "Give another file.")
        _lock(fd, path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _lock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            return  # a file system without locks: then nobody can tell
        raise UsageError(
            f"{clean(str(path))} is being recorded into by another gpu-tui.",
            "Give another file, or end that recording.",
        ) from error


def open_to_read(path: Path) -> tuple[int, bool]:
    """Open a recording to read, and whether somebody is writing it.

    Raises:
        ConfigError: it is not there, may not be read, or is no regular file.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(
            f"{clean(str(path))} cannot be read: {why}.", "Give a file written by: gpu-tui record FILE."
        ) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ConfigError(f"{clean(str(path))} is no regular file.", "Give a file written by: gpu-tui record FILE.")
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_UN)
    except OSError as error:
        return fd, error.errno in (errno.EWOULDBLOCK, errno.EACCES)
    return fd, False


def rotate(path: Path, keep: int) -> None:
    """FILE becomes FILE.1, FILE.1 becomes FILE.2; of the older ones `keep` stay.

    Raises:
        OSError: a file cannot be renamed or deleted.
    """
    there = len(older(path))
    for number in range(there, -1, -1):
        one = numbered(path, number)
        if number >= keep:
            one.unlink(missing_ok=True)
        else:
            one.rename(numbered(path, number + 1))
