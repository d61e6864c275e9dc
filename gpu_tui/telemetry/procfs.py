"""The two cheapest things /proc tells: one process's stat line, and whether this is the machine's own pid namespace."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

INITIAL_PID_NAMESPACE = "pid:[4026531836]"
"""The inode of the kernel's first pid namespace, PROC_PID_INIT_INO (0xEFFFFFFC) in linux/proc_ns.h."""

GONE = "gone"
ZOMBIE = "zombie"
PERMISSION_DENIED = "permission denied"
NOT_IN_NAMESPACE = "not in this pid namespace"
"""The words of `ProcessInfo.problem`."""

_PID_MAX = 2**22
"""PID_MAX_LIMIT of linux/threads.h: no larger pid exists."""
_STAT_BYTES = 4096
_ALL_STAT_BYTES = 2**20
"""More than /proc/stat of 4096 processors; ``btime`` stands after theirs."""
_CMDLINE_BYTES = 2**17
"""More than any command line that changes later; a longer one is compared by its beginning."""


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/PID/stat that tell who a process is; proc_pid_stat(5)."""

    comm: str
    """Kernel name, at most 15 bytes."""
    state: str
    """One letter; ``Z`` has exited and waits for its parent."""
    ppid: int
    start_ticks: int
    """Start time since boot in clock ticks. With the pid it identifies a process for as long as the machine runs."""


class NotReadable(Exception):
    """/proc does not tell of this pid; `problem` says why in a few words."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def valid_pid(pid: int) -> bool:
    """Whether the kernel could have given out this number."""
    return 0 < pid <= _PID_MAX


def read_stat(pid: int, *, own_namespace: bool) -> Stat:
    """The stat line of `pid`.

    Args:
        pid: as the driver named it.
        own_namespace: whether the driver's pids are this /proc's pids (see `in_initial_pid_namespace`).

    Raises:
        NotReadable: there is no such process here, or it may not be read.
    """
    if not valid_pid(pid):
        raise NotReadable(GONE if own_namespace else NOT_IN_NAMESPACE)
    try:
        handle = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            line = os.read(handle, _STAT_BYTES)
        finally:
            os.close(handle)
    except PermissionError:
        raise NotReadable(PERMISSION_DENIED) from None
    except (FileNotFoundError, ProcessLookupError):
        raise NotReadable(_why_absent(pid, own_namespace=own_namespace)) from None
    except OSError as error:
        raise NotReadable(error.strerror or str(error)) from error
    return parse_stat(line)


def read_cmdline(pid: int) -> bytes | None:
    """The bytes of /proc/PID/cmdline, to be compared with an earlier reading; None where it cannot be read."""
    try:
        handle = os.open(f"/proc/{pid}/cmdline", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # the reading that needs the words asks again and says why
    try:
        return os.read(handle, _CMDLINE_BYTES)
    except OSError:
        return None
    finally:
        os.close(handle)


def parse_stat(line: bytes) -> Stat:
    """The name stands in brackets and may hold spaces and brackets itself, so its end is the last one.

    Raises:
        NotReadable: the line is cut short, as when the process ends while it is read.
    """
    opening, closing = line.find(b"("), line.rfind(b")")
    fields = line[closing + 2 :].split(None, 20)
    if opening < 0 or closing < opening or len(fields) < 20:
        raise NotReadable(GONE)
    comm = line[opening + 1 : closing].decode("utf-8", "replace")
    return Stat(comm=comm, state=fields[0].decode(), ppid=int(fields[1]), start_ticks=int(fields[19]))


def _why_absent(pid: int, *, own_namespace: bool) -> str:
    """With hidepid=2 the processes of others are absent from /proc, but a signal still finds them."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return PERMISSION_DENIED
    except ProcessLookupError:
        return GONE if own_namespace else NOT_IN_NAMESPACE
    return GONE


def in_initial_pid_namespace() -> bool:
    """Whether /proc shows the pids that the driver names.

    False in a container with pids of its own. Where the link cannot be read, True: then an absent pid reads *gone*.
    """
    try:
        return os.readlink("/proc/self/ns/pid") == INITIAL_PID_NAMESPACE  # noqa: PTH115 - Path would try to follow it
    except OSError:
        return True


def boot_time(path: str = "/proc/stat") -> float | None:
    """Seconds since the epoch at which the machine began; None where that is hidden (``ProcSubset=pid``)."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as all of /proc here
            found = re.search(rb"^btime (\d+)$", file.read(_ALL_STAT_BYTES), re.MULTILINE)
    except OSError:
        return None
    return float(found[1]) if found else None


def machine_memory_mib() -> int | None:
    """MemTotal of /proc/meminfo in MiB; None where it cannot be read."""
    try:
        with open("/proc/meminfo", "rb") as file:  # noqa: PTH123 - as all of /proc here
            found = re.search(rb"^MemTotal:\s+(\d+) kB", file.read(_STAT_BYTES), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) // 1024 if found else None


def in_wsl(path: str = "/proc/sys/kernel/osrelease") -> bool:
    """Whether this is Windows' own Linux: its kernels call themselves ``…-microsoft-standard-WSL2``."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as all of /proc here
            return b"microsoft" in file.read(_STAT_BYTES).lower()
    except OSError:
        return False
