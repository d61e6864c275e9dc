"""A terminal that may go away: a closed window, a dropped connection.

Textual's writer thread ends at the first failed write and leaves the app blocked on its full queue for ever, while its
input thread spins. Here a failed write is swallowed, and the app is told once to leave.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any

from textual.drivers.linux_driver import LinuxDriver


class LastingFile:
    """A text file that outlives its terminal: once a write has failed, all later ones do nothing."""

    def __init__(self, file: IO[str], on_gone: Callable[[], object]) -> None:
        """Write to `file`; call `on_gone` once, from the writing thread, when that fails."""
        self._file = file
        self._on_gone = on_gone
        self._gone = False

    def write(self, text: str) -> int:
        """Write, or do nothing."""
        return self._tried(lambda: self._file.write(text))

    def flush(self) -> None:
        """Flush, or do nothing."""
        self._tried(self._file.flush)

    def fileno(self) -> int:
        """Of the file itself."""
        return self._file.fileno()

    def isatty(self) -> bool:
        """Of the file itself."""
        return self._file.isatty()

    def _tried(self, action: Callable[[], int | None]) -> int:
        if not self._gone:
            try:
                return action() or 0
            except (OSError, ValueError):  # ValueError: closed under us
                self._gone = True
                self._on_gone()
        return 0


class LastingDriver(LinuxDriver):
    """Textual's driver, which leaves when its terminal does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As Textual makes it."""
        super().__init__(*args, **kwargs)
        self._file: Any = LastingFile(self._file, self._leave)

    def _leave(self) -> None:
        self._loop.call_soon_threadsafe(self._app.exit)
