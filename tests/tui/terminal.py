"""A real terminal without a window: a pty, and pyte reading what the program writes to it."""

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
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

import pyte

GPU_TUI = (sys.executable, "-m", "gpu_tui")


class Terminal:
    """A program in a terminal of a given size, read as a person reads it. Use as a context manager."""

    def __init__(
        self, argv: Sequence[str], *, size: tuple[int, int] = (120, 40), env: Mapping[str, str] | None = None
    ) -> None:
        columns, rows = size
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self._master, slave = pty.openpty()
        self._set_size(columns, rows)
        own = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        full = {**os.environ, **(env or {}), **own}
        for name in ("COLUMNS", "LINES"):
            full.pop(name, None)
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=full, start_new_session=True)
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns: int, rows: int) -> None:
        """Another size, as a window manager does it."""
        self._set_size(columns, rows)
        self.screen.resize(rows, columns)
        os.killpg(self.process.pid, signal.SIGWINCH)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def read(self, seconds: float = 0.05) -> None:
        """Take in what is written within so many seconds."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._master], [], [], left)[0]:
                return
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return
            self.raw += data
            # pyte knows no private-mode queries with a $; they draw nothing.
            self._stream.feed(data.replace(b"$p", b""))

    @property
    def text(self) -> str:
        """The screen as it stands."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wait_for(self, *wanted: str, timeout_s: float = 20.0, without: Sequence[str] = ()) -> str:
        """Read until all of `wanted` are on the screen and none of `without`; fails with the screen."""
        return self.wait_until(
            lambda: all(one in self.text for one in wanted) and not any(one in self.text for one in without),
            timeout_s,
            f"{wanted}",
        )

    def wait_until(self, holds: Callable[[], bool], timeout_s: float, what: str) -> str:
        """Read until something holds; fails with the screen."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self.read(0.1)
            if holds():
                return self.text
        raise AssertionError(f"never seen: {what}\n{self.text}")

    def quit_code(self, timeout_s: float) -> int:
        """Read on until the program has ended; its exit code."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self.read(0.05)
            code = self.process.poll()
            if code is not None:
                self.read(1.0)  # what it wrote last: else its output may end within an escape sequence
                return code
        raise AssertionError(f"it has not ended within {timeout_s} s\n{self.text}")
