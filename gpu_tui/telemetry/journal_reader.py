"""Lines out of systemd's journal through journalctl: bounded in time and bytes, and absent without harm."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Sequence
from typing import Protocol

from gpu_tui.clock import Clock, SystemClock


class JournalRunner(Protocol):
    """Runs journalctl; a test hands in its own."""

    def __call__(self, command: Sequence[str], *, seconds: float, most_bytes: int) -> bytes:
        """Standard output, up to that many bytes and seconds.

        Raises:
            OSError: the program cannot be started.
        """
        ...


def run_bounded(command: Sequence[str], *, seconds: float, most_bytes: int, clock: Clock | None = None) -> bytes:
    """Standard output of a program, which is killed when it has said enough or has taken too long.

    Raises:
        OSError: it cannot be started.
    """
    clock = clock if clock is not None else SystemClock()
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
    child = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    try:
        return _read(child, clock, clock.monotonic() + seconds, most_bytes)
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def _read(child: subprocess.Popen[bytes], clock: Clock, deadline: float, most_bytes: int) -> bytes:
    assert child.stdout is not None  # noqa: S101 - it was asked for
    handle, data = child.stdout.fileno(), bytearray()
    while len(data) < most_bytes and (left := deadline - clock.monotonic()) > 0:
        ready, _, _ = select.select([handle], [], [], left)
        if not ready:
            break
        piece = os.read(handle, min(65536, most_bytes - len(data)))
        if not piece:
            break
        data += piece
    return bytes(data)
