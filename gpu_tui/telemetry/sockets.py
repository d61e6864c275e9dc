"""On which TCP ports a process listens, by /proc/PID/net/tcp and the process's descriptors; proc(5)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from gpu_tui.clock import Clock

TABLE_FOR_S = 5.0
"""How long one reading of a network namespace's sockets serves: rows of one namespace share it."""
_LISTEN = "0A"
"""TCP_LISTEN of linux/tcp_states.h, as the table prints it."""
_MOST_BYTES = 8 * 1024 * 1024


@dataclass(slots=True)
class _Table:
    read_at: float
    ports: dict[str, int] = field(default_factory=dict)
    """By the socket's inode."""


class ListeningPorts:
    """Not thread-safe."""

    def __init__(self, clock: Clock, root: Path = Path("/")) -> None:
        self._clock = clock
        self._proc = os.fspath(root / "proc")
        self._tables: dict[str, _Table] = {}

    def of(self, pid: int) -> tuple[int, ...] | None:
        """Its own ports, in order; None where they may not be read."""
        try:
            space = os.readlink(f"{self._proc}/{pid}/ns/net")  # noqa: PTH115 - Path would try to follow it
            listening = self._table(pid, space)
            if not listening:
                return ()
            return tuple(sorted({listening[inode] for inode in self._inodes(pid) if inode in listening}))
        except OSError:
            return None

    def _table(self, pid: int, space: str) -> dict[str, int]:
        now = self._clock.monotonic()
        table = self._tables.get(space)
        if table is None or now - table.read_at >= TABLE_FOR_S:
            if len(self._tables) > 256:
                self._tables.clear()
            table = self._tables[space] = _Table(now)
            for kind in ("tcp", "tcp6"):
                table.ports |= listeners(self._text(f"{self._proc}/{pid}/net/{kind}"))
        return table.ports

    def _text(self, path: str) -> str:
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - many a reading
                return file.read(_MOST_BYTES).decode("ascii", "replace")
        except FileNotFoundError:
            return ""  # a kernel without IPv6

    def _inodes(self, pid: int) -> list[str]:
        folder = f"{self._proc}/{pid}/fd"
        found = []
        for name in os.listdir(folder):  # noqa: PTH208 - many a reading
            try:
                target = os.readlink(f"{folder}/{name}")  # noqa: PTH115
            except OSError:
                continue  # closed meanwhile
            if target.startswith("socket:["):
                found.append(target[8:-1])
        return found


def listeners(table: str) -> dict[str, int]:
    """Ports by inode from the text of /proc/net/tcp; lines that are cut short are left out."""
    found: dict[str, int] = {}
    for line in table.splitlines()[1:]:
        fields = line.split(None, 10)
        if len(fields) > 9 and fields[3] == _LISTEN:
            try:
                found[fields[9]] = int(fields[1].rpartition(":")[2], 16)
            except ValueError:
                continue
    return found
