"""What a server's log and port tell while it starts, and its log once it is gone. Slow: on a thread of its own.

Bounded: a log file that has not changed is not parsed again, and one that takes long is read less often.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from gpu_tui.clock import Clock
from gpu_tui.core.deployment import Identity
from gpu_tui.core.deployments import Told
from gpu_tui.core.start_values import StartLog
from gpu_tui.telemetry.cgroups import Keeper
from gpu_tui.telemetry.local_http import get
from gpu_tui.telemetry.log_stamps import phase_times
from gpu_tui.telemetry.service_log import log_files
from gpu_tui.telemetry.start_logs import FoundLog, StartLogs

SHARE = 0.1
"""Of the time at most so much goes into reading one server's log."""
MOST_REMEMBERED = 64
"""Servers whose log's place is remembered; the oldest are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One server that is to be looked at."""

    who: Identity
    pids: tuple[int, ...] = ()
    """The server's first, then those of its engine and workers."""
    inner_pids: frozenset[int] = frozenset()
    """The same, as they are called inside its container."""
    port: int | None = None
    """None: not to be asked, for nothing listens there yet or it is another's."""
    alive: bool = True
    keeper: Keeper = Keeper()
    """Where its log may be kept; found while it was alive."""


class Reader(Protocol):
    """Looks at one server."""

    def look(self, ask: Ask) -> Told:
        """What its log and its port tell; never raises what a log or a port may do."""
        ...


class Logs(Protocol):
    """Finds logs: `StartLogs`, or a test's."""

    def find(
        self,
        pids: Sequence[int],
        *,
        path: Path | None = None,
        started_at: float | None = None,
        who: Keeper | None = None,
    ) -> FoundLog:
        """The last start that a log tells of."""
        ...


@dataclass(slots=True)
class _Memory:
    """What is remembered of one server's log."""

    files: tuple[str, ...] = ()
    stale_line: int | None = None
    """First line of the start before it in the same log: not its own."""
    signature: tuple[tuple[int, int], ...] = ()
    log: StartLog | None = None
    not_before_s: float = 0.0


class StartReader:
    """Reads; belongs to one thread."""

    def __init__(
        self, clock: Clock, *, logs: Logs | None = None, fetch: Callable[[int, str], str | None] = get
    ) -> None:
        """Args: the clock; `logs` and `fetch` stand for this machine's logs and ports in tests."""
        self._clock = clock
        self._logs: Logs = logs if logs is not None else StartLogs(clock=clock)
        self._fetch = fetch
        self._known: dict[Identity, _Memory] = {}

    def look(self, ask: Ask) -> Told:
        """What its log and its port tell."""
        memory = self._known.setdefault(ask.who, _Memory())
        while len(self._known) > MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        health = metrics = None
        if ask.alive and ask.port is not None:
            health = self._fetch(ask.port, "/health") is not None
            if not health:
                metrics = "vllm:" in (self._fetch(ask.port, "/metrics") or "")
        log = self._log(ask, memory)
        times = {} if log is None else phase_times(log, ask.who.started_at, self._clock.wall())
        return Told(health=health, metrics=metrics, log=log, log_times=times)

    def _log(self, ask: Ask, memory: _Memory) -> StartLog | None:
        now = self._clock.monotonic()
        if ask.alive:
            memory.files = log_files(ask.pids) or memory.files
            if now < memory.not_before_s:
                return memory.log
        signature = _signature(memory.files)
        if signature and signature == memory.signature:
            return memory.log
        found = self._found(ask, memory)
        took = self._clock.monotonic() - now
        memory.not_before_s = now + took / SHARE
        memory.signature = signature
        memory.log = self._own(found, ask, memory)
        return memory.log

    def _found(self, ask: Ask, memory: _Memory) -> FoundLog:
        started = ask.who.started_at
        if ask.alive:
            return self._logs.find(ask.pids, started_at=started)
        # Its /proc is gone: what was found while it lived is looked at by name.
        for name in memory.files:
            found = self._logs.find((), path=Path(name))
            if found.log is not None:
                return found
        return self._logs.find((), started_at=started, who=ask.keeper)

    def _own(self, found: FoundLog, ask: Ask, memory: _Memory) -> StartLog | None:
        """The log, unless it tells of the start before: a file that is appended to ends with that one at first."""
        log, started = found.log, ask.who.started_at
        if log is None:
            return None
        if memory.stale_line == log.line_from:
            return None
        written = None if found.age_s is None else self._clock.wall() - found.age_s
        old = started is not None and written is not None and written < started
        if old or _of_another(log, ask):
            memory.stale_line = log.line_from
            return None
        return replace(log)


def _of_another(log: StartLog, ask: Ask) -> bool:
    """Whether the log names processes, and none of them is this server's."""
    named = {one.pid for one in log.ranks if one.pid is not None}
    known = set(ask.pids) | ask.inner_pids
    # In a container whose pids are not told apart nothing can be compared.
    comparable = ask.keeper.container is None or bool(ask.inner_pids)
    return bool(named) and comparable and not named & known


def _signature(files: Sequence[str]) -> tuple[tuple[int, int], ...]:
    found = []
    for name in files:
        try:
            status = os.stat(name)  # noqa: PTH116 - a file that was renamed away is no error
        except OSError:
            continue
        found.append((status.st_size, status.st_mtime_ns))
    return tuple(found)
