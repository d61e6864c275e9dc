"""Which of many processes have ended, in one system call and without reading any of them."""

from __future__ import annotations

import os
import resource
import select
from collections.abc import Iterable

FILES_MAX = 2**16
"""The most files this process is ever allowed to open for watching; ours to choose."""


class ExitWatch:
    """Holds a pidfd per process (Linux 5.3), which becomes readable when that very process ends.

    A pid cannot be given to another process while its own lives, so a pid that is watched and not ended still is who
    it was. What cannot be watched (too many, an older kernel, a sandbox) is the caller's to check by other means.
    """

    def __init__(self, limit: int | None = None) -> None:
        """Watch at most `limit` processes.

        By default half of the files this process may have open; when that is reached, its soft limit is raised, up to
        the hard one (a shell usually gives 1024, and a machine with 1600 GPU processes needs more).
        """
        self._fixed = limit is not None
        self._limit = _half_of_files() if limit is None else limit
        self._poll: select.epoll | None = None
        self._fd_of: dict[int, int] = {}
        self._pid_of: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._fd_of)

    def watch(self, pid: int) -> bool:
        """Begin to watch; False when it cannot be."""
        if pid in self._fd_of:
            return True
        if len(self._fd_of) >= self._limit and (self._fixed or not self._raise_limit()):
            return False
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            return False
        try:
            if self._poll is None:
                self._poll = select.epoll()
            self._poll.register(fd, select.EPOLLIN)
        except OSError:
            os.close(fd)
            return False
        self._fd_of[pid] = fd
        self._pid_of[fd] = pid
        return True

    def _raise_limit(self) -> bool:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        ceiling = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
        if soft == resource.RLIM_INFINITY or soft >= ceiling:
            return False
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft * 2, ceiling), hard))
        except (OSError, ValueError):
            return False  # a sandbox forbids it; the caller checks the rest by other means
        self._limit = _half_of_files()
        return True

    def ended(self) -> set[int]:
        """Those that have ended since they are watched; they stay in the answer until forgotten."""
        if self._poll is None or not self._fd_of:
            return set()
        return {self._pid_of[fd] for fd, _event in self._poll.poll(0, maxevents=len(self._fd_of))}

    def forget(self, pids: Iterable[int]) -> None:
        """Stop watching; an unknown pid is ignored."""
        for pid in pids:
            fd = self._fd_of.pop(pid, None)
            if fd is None:
                continue
            del self._pid_of[fd]
            if self._poll is not None:
                self._poll.unregister(fd)
            os.close(fd)

    def close(self) -> None:
        """Give every descriptor back; watching may begin again."""
        self.forget(list(self._fd_of))
        if self._poll is not None:
            self._poll.close()
            self._poll = None


def _half_of_files() -> int:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return FILES_MAX if soft == resource.RLIM_INFINITY else min(soft, FILES_MAX) // 2
