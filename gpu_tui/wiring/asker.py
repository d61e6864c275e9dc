"""Work that may hang (logs, ports, a disk), done one piece after another on a daemon thread that nobody waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Asker:
    """One daemon thread that does one piece of work after another; what hangs holds up nobody else."""

    MOST = 16
    """Pieces that wait; beyond them new ones are dropped, and come again at a later reading."""

    def __init__(self) -> None:
        self._work: list[Callable[[], None]] = []
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._doing = False
        self.error: Exception | None = None

    @property
    def busy(self) -> bool:
        """Whether something is being done or waits."""
        with self._wake:
            return self._doing or bool(self._work)

    def do(self, work: Callable[[], None]) -> None:
        """Do it soon."""
        with self._wake:
            if self._closed or len(self._work) >= self.MOST:
                return
            self._work.append(work)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="gpu-tui-starts", daemon=True)
                self._thread.start()
            self._wake.notify()

    def close(self) -> None:
        """Take nothing more, and end once the work at hand is done."""
        with self._wake:
            self._closed = True
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._work and not self._closed:
                    self._wake.wait()
                if not self._work:
                    return
                work, self._doing = self._work.pop(0), True
            try:
                work()
            except Exception as error:  # noqa: BLE001 - a mistake here must not end the watch
                self.error = error
            finally:
                with self._wake:
                    self._doing = False
