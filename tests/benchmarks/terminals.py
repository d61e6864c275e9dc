"""Programs in terminals of 120×40 whose output is timed, for the benchmarks."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

COLUMNS, ROWS = 120, 40
GPU_TUI = (sys.executable, "-m", "gpu_tui")


def environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """`env`, or ours, as a user's shell has it: compiled modules are kept, output is buffered."""
    kept = dict(os.environ if env is None else env)
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"):
        kept.pop(name, None)
    return kept


class Terminal:
    """A program in a pty, with our hands on the keys and our eyes on the bytes."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        whole = environment(env) | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=whole, start_new_session=True, close_fds=True
        )
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def resize(self, columns: int, rows: int) -> None:
        """Another size, as a window manager does it."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.killpg(self.process.pid, signal.SIGWINCH)

    def send(self, keys: bytes) -> float:
        """Press `keys`; the monotonic instant just before."""
        now = time.monotonic()
        os.write(self._master, keys)
        return now

    def read_until(self, wanted: Sequence[bytes], timeout_s: float) -> list[float] | None:
        """For each of `wanted` the monotonic instant at which it had been seen; None when one was not."""
        seen, deadline = b"", time.monotonic() + timeout_s
        when: dict[bytes, float] = {}
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._master], [], [], left)[0]:
                break
            try:
                seen += os.read(self._master, 65536)
            except OSError:  # it has ended
                break
            now = time.monotonic()
            for one in wanted:
                if one not in when and one in seen:
                    when[one] = now
            if len(when) == len(set(wanted)):
                return [when[one] for one in wanted]
        return None

    def drain(self, seconds: float) -> None:
        """Swallow what comes."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._master], [], [], left)[0]:
                os.read(self._master, 65536)

    def drain_behind(self) -> None:
        """Swallow what comes from now on, in a thread."""
        threading.Thread(target=self._swallow, daemon=True).start()

    def _swallow(self) -> None:
        while True:
            try:
                os.read(self._master, 65536)
            except OSError:
                return

    def close(self) -> None:
        """End the program."""
        self.process.terminate()
        try:
            self.process.wait(0.2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
