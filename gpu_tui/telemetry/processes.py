"""Who the pids on a GPU are, and their ancestors. Cached by (pid, start time); what cannot have changed is not read."""

from __future__ import annotations

import os
import pwd
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import psutil

from gpu_tui.clock import Clock
from gpu_tui.core.snapshot import ProcessInfo
from gpu_tui.telemetry.exits import ExitWatch
from gpu_tui.telemetry.places import Places
from gpu_tui.telemetry.procfs import (
    GONE,
    PERMISSION_DENIED,
    ZOMBIE,
    NotReadable,
    Stat,
    boot_time,
    in_initial_pid_namespace,
    read_cmdline,
    read_stat,
    valid_pid,
)
from gpu_tui.telemetry.sockets import ListeningPorts

YOUNG_S = 60.0
"""For so long after its start a process may still call exec or setproctitle: vLLM's workers are renamed while
starting. Ours to choose."""
YOUNG_EVERY_S = 2.0
REFRESH_PER_READ = 4
"""How many rows are read again at each reading, in turn, though nothing says that they changed; and `YOUNG_PER_READ`
young ones. They bound a reading's cost whatever the number of processes."""
YOUNG_PER_READ = 16
PORTS_EVERY_S = 15.0
"""How long ports stand as they were found: a server begins to listen long after its start. `PORTS_PER_READ` rows are
looked at again at each reading. Ours to choose."""
PORTS_PER_READ = 2
COMM_MAX = 15
"""TASK_COMM_LEN - 1 of linux/sched.h: longer names are cut."""


@dataclass(slots=True)
class _Row:
    pid: int
    start_ticks: int | None
    comm: str | None
    info: ProcessInfo
    refreshed: float
    raw: bytes | None = None
    watched: bool = False
    lost: bool = False
    ports_at: float = 0.0


class ProcessTable:
    """Rows of processes. Not thread-safe; belongs to the thread that reads."""

    def __init__(
        self,
        clock: Clock,
        *,
        own_namespace: bool | None = None,
        watch: ExitWatch | None = None,
        root: Path = Path("/"),
    ) -> None:
        """Nothing is read yet.

        Args:
            clock: its wall time tells a process's age.
            own_namespace: whether the driver's pids are this /proc's; found out when None.
            watch: tells which processes have ended.
            root: stands in for the file system's where control groups, containers and sockets are looked up.
        """
        self._clock = clock
        self.places = Places(clock, root)
        self._sockets = ListeningPorts(clock, root)
        self.own_namespace = in_initial_pid_namespace() if own_namespace is None else own_namespace
        self._watch = ExitWatch() if watch is None else watch
        self._rows: dict[int, _Row] = {}
        self._young: deque[_Row] = deque()
        self._settled: deque[_Row] = deque()
        self._listening: deque[_Row] = deque()
        self._users: dict[int, str] = {}
        self._boot_time = boot_time()
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")
        self.full_reads = 0
        """How many rows were read in full so far; for the benchmark and the tests."""
        self.rechecks = 0
        """How many rows took their turn to be compared with what they were."""

    def read(self, pids: Iterable[int]) -> dict[int, ProcessInfo]:
        """These pids and the ancestors of each. A pid that cannot be read is a row with its `problem`."""
        suspects = self._suspects()
        self._refresh_some()
        found: dict[int, ProcessInfo] = {}
        pending = list(pids)
        rows = self._rows
        while pending:
            pid = pending.pop()
            if pid in found:
                continue
            row = rows.get(pid)
            if row is None or not row.watched or pid in suspects:
                row = self._verify(pid, row)
            found[pid] = row.info
            parent = row.info.ppid
            if parent and parent not in found:
                pending.append(parent)
        self._drop(rows.keys() - found.keys())
        return found

    def close(self) -> None:
        """Give the descriptors back and forget every row."""
        self._watch.close()
        self._rows.clear()
        self._young.clear()
        self._settled.clear()
        self._listening.clear()

    def _suspects(self) -> set[int]:
        """Who must be looked at: the ended, and their children, who have another parent now."""
        ended = self._watch.ended()
        ended.update(row.pid for row in self._rows.values() if row.lost)
        if not ended:
            return ended
        return ended | {row.pid for row in self._rows.values() if row.info.ppid in ended}

    def _verify(self, pid: int, row: _Row | None) -> _Row:
        """The row of a pid that is new or may have changed, judged by its stat line."""
        watched = valid_pid(pid) and self._watch.watch(pid)
        try:
            stat = read_stat(pid, own_namespace=self.own_namespace)
        except NotReadable as unreadable:
            return self._lose(pid, row, unreadable.problem)
        if row is not None and row.start_ticks != stat.start_ticks:
            self._watch.forget([pid])
            return self._verify(pid, None)  # the pid has gone to another process
        if row is None:
            row = self._describe(pid, stat)
        elif stat.state != "Z" and (row.comm != stat.comm or row.lost):
            self._fill(row, stat)
        elif row.info.ppid != stat.ppid:
            row.info = replace(row.info, ppid=stat.ppid)
        if stat.state == "Z":
            return self._lose(pid, row, ZOMBIE)
        row.watched, row.lost = watched, False
        return row

    def _lose(self, pid: int, row: _Row | None, problem: str) -> _Row:
        """A row for a pid that the driver still names. What was known of it stays, so that it keeps its service."""
        if row is None:
            row = _Row(pid, None, None, ProcessInfo(pid=pid, name=None, cmdline=None), 0.0)
            self._rows[pid] = row
        self._watch.forget([pid])
        row.info = replace(row.info, problem=problem)
        row.watched, row.lost = False, True
        return row

    def _describe(self, pid: int, stat: Stat) -> _Row:
        """A row for a process not seen before."""
        row = _Row(pid, stat.start_ticks, stat.comm, ProcessInfo(pid=pid, name=None, cmdline=None), 0.0)
        self._fill(row, stat)
        self._rows[pid] = row
        self._young.append(row)
        self._listening.append(row)
        return row

    def _fill(self, row: _Row, stat: Stat) -> None:
        """Read everything about a living process."""
        self.full_reads += 1
        row.comm = stat.comm
        row.refreshed = self._clock.monotonic()
        process, problem = _ask(lambda: psutil.Process(row.pid))
        cmdline, cmdline_problem = _ask(process.cmdline) if process else (None, problem)
        uids, user_problem = _ask(process.uids) if process else (None, problem)
        if cmdline_problem in (GONE, ZOMBIE) and row.info.cmdline is not None:
            return  # what was known stays; the next look at the stat line says that it ended
        argv = None if cmdline is None else clean_argv(cmdline)
        row.info = ProcessInfo(
            pid=row.pid,
            name=full_name(stat.comm, argv),
            cmdline=argv,
            user=None if uids is None else self._user(uids.real),
            ppid=stat.ppid,
            started_at=None if self._boot_time is None else self._boot_time + stat.start_ticks / self._ticks_per_s,
            problem=cmdline_problem or user_problem,
            ports=self._sockets.of(row.pid),
            **self.places.of(row.pid, None if uids is None else uids.real),
        )
        row.ports_at = row.refreshed

    def _user(self, uid: int) -> str:
        """The user's name, asked for once: a directory service may answer slowly. A uid without one is its number."""
        name = self._users.get(uid)
        if name is None:
            try:
                name = pwd.getpwuid(uid).pw_name
            except KeyError:
                name = str(uid)
            self._users[uid] = name
        return name

    def _refresh_some(self) -> None:
        """Read a few rows again: a title or a command line changes without any sign that could be watched."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        self._look_at_ports(now)
        for _ in range(min(YOUNG_PER_READ, len(self._young))):
            if now - self._young[0].refreshed < YOUNG_EVERY_S:
                break
            row = self._young.popleft()
            if self._refresh(row):
                young = wall - (row.info.started_at or 0.0) < YOUNG_S
                (self._young if young else self._settled).append(row)
        for _ in range(min(REFRESH_PER_READ, len(self._settled))):
            row = self._settled.popleft()
            if self._refresh(row):
                self._settled.append(row)

    def _look_at_ports(self, now: float) -> None:
        for _ in range(min(PORTS_PER_READ, len(self._listening))):
            row = self._listening[0]
            if self._rows.get(row.pid) is not row:
                self._listening.popleft()
                continue
            if now - row.ports_at < PORTS_EVERY_S:
                return
            self._listening.rotate(-1)
            row.ports_at = now
            ports = None if row.lost else self._sockets.of(row.pid)
            if ports is not None and ports != row.info.ports:
                row.info = replace(row.info, ports=ports)

    def _refresh(self, row: _Row) -> bool:
        """False when the row is no longer in the table."""
        if self._rows.get(row.pid) is not row:
            return False
        if row.lost:
            return True
        try:
            stat = read_stat(row.pid, own_namespace=self.own_namespace)
        except NotReadable:
            return True  # `_verify` sees the same and says so
        if stat.start_ticks == row.start_ticks and stat.state != "Z":
            self.rechecks += 1
            row.refreshed = self._clock.monotonic()
            raw = read_cmdline(row.pid)
            if raw is None or raw != row.raw or stat.comm != row.comm:
                self._fill(row, stat)
                row.raw = raw
        return True

    def _drop(self, pids: Iterable[int]) -> None:
        gone = list(pids)
        for pid in gone:
            del self._rows[pid]
        self._watch.forget(gone)


def clean_argv(cmdline: Iterable[str]) -> tuple[str, ...]:
    """argv without the empty strings at its end, which setproctitle leaves where the old arguments stood.

    Bytes that are no UTF-8 become U+FFFD, so that a row can always be printed.
    """
    argv = [part.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for part in cmdline]
    while argv and not argv[-1]:
        argv.pop()
    return tuple(argv)


def full_name(comm: str, argv: tuple[str, ...] | None) -> str:
    """The kernel's name, or the file name of argv[0] where the kernel's is a cut beginning of it (psutil's rule)."""
    if argv and len(comm) >= COMM_MAX:
        longer = PurePosixPath(argv[0]).name
        if longer.startswith(comm):
            return longer
    return comm


def _ask(question: Callable[[], Any]) -> tuple[Any, str | None]:
    """The answer and None, or None and why there is none."""
    try:
        return question(), None
    except psutil.ZombieProcess:
        return None, ZOMBIE
    except psutil.NoSuchProcess:
        return None, GONE
    except psutil.AccessDenied:
        return None, PERMISSION_DENIED
    except OSError as error:
        return None, error.strerror or str(error)
