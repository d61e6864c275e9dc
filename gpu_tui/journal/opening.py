"""Opens the file: looks at it first without changing a byte, then as what it is wanted for."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from urllib.parse import quote

from gpu_tui.clock import SystemClock
from gpu_tui.config.places import journal_file
from gpu_tui.journal import faults, schema

BUSY_S = 10.0
"""Longest wait for another instance: it writes for milliseconds, or for a slow disk's second."""

_MAGIC = b"SQLite format 3\x00"


def connect_for_writing(path: Path, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """A connection that may write, to a file of the newest schema; it is made if it is not there.

    Raises:
        JournalRefused: the file is not ours, damaged or newer; not a byte of it has changed.
        JournalError: it cannot be opened or written.
    """
    inspect(path)
    with faults.told(path, "written"):
        if path == journal_file():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # 0700: the XDG rules
        # Made here and not by SQLite, so that what a person measures is theirs alone to read.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = _connect(path, "rw", busy_s)
        try:
            _prepare(connection, busy_s)
            schema.migrate(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def connect_for_reading(path: Path) -> sqlite3.Connection | None:
    """A connection that only reads; None when there is no file, or nothing in it yet.

    An older file is brought to the newest schema, which is the one thing that is written here.

    Raises:
        JournalRefused: the file is not ours, damaged or newer; not a byte of it has changed.
        JournalError: it cannot be read; or it is older and cannot be written.
    """
    version = inspect(path)
    if version == 0:
        return None
    with faults.told(path, "read"):
        connection = _connect(path, _mode(path, version))
        try:
            if version < schema.VERSION:
                schema.migrate(connection)
            connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
    return connection


def inspect(path: Path) -> int:
    """The schema version of a file; 0 when there is none yet. Changes nothing.

    Raises:
        JournalRefused: it is not ours, damaged or newer.
        JournalError: it cannot be read.
    """
    with faults.told(path, "read"):
        try:
            with path.open("rb") as file:
                head = file.read(len(_MAGIC))
        except FileNotFoundError:
            return 0
        if not head:
            return 0
        if head != _MAGIC:
            raise faults.foreign(path, "it is no SQLite file")
        connection = _connect(path, _mode(path, schema.VERSION))
        try:
            return _checked(connection, path)
        finally:
            connection.close()


def _checked(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    mark: int = connection.execute("PRAGMA application_id").fetchone()[0]
    tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version == 0 and mark == 0 and tables == 0:
        return 0  # a power cut between the file and its first table
    if mark != schema.APPLICATION_ID:
        raise faults.foreign(path, "it is another program's SQLite file")
    if version > schema.VERSION:
        raise faults.newer(path, version, schema.VERSION)
    found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok" or version < 1:
        raise faults.damaged(path, found if found != "ok" else f"its schema is {version}")
    return version


def _mode(path: Path, version: int) -> str:
    """How to open the file so that looking at it leaves no trace.

    A connection that may write tidies up the log beside the file (``-wal``) when it closes; that changes nothing if
    the log is empty. Where it is not (another instance is at work, or was killed), it is left alone.
    """
    if _log_size(path):
        return "ro" if version == schema.VERSION else "rw"
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return "rw"
    # A folder that cannot be written cannot take the files that readers share; nobody else can write there either.
    return "ro&immutable=1"


def _log_size(path: Path) -> int:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def _connect(path: Path, mode: str, busy_s: float = BUSY_S) -> sqlite3.Connection:
    uri = f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=busy_s, isolation_level=None)
    # Text that another hand wrote there may not be UTF-8: it is shown as what it is, and keeps no run from being read.
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    return connection


def _prepare(connection: sqlite3.Connection, busy_s: float) -> None:
    _to_wal(connection, busy_s)
    # FULL: after a power cut every run that was said to be kept is there; NORMAL would lose the last ones.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _to_wal(connection: sqlite3.Connection, busy_s: float) -> None:
    """Writers beside readers. SQLite does not wait by itself when two instances do this to a new file at once."""
    clock = SystemClock()
    until = clock.monotonic() + busy_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if faults.primary_code(error) != sqlite3.SQLITE_BUSY or clock.monotonic() >= until:
                raise
            clock.wait(0.01, threading.Event())
        else:
            return
