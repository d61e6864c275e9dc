"""A log file, a command, a webhook. Each is limited in time, and none tells what may be a secret."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from gpu_tui import __version__
from gpu_tui.alerting.outbox import CarrierError
from gpu_tui.view.text import clean, mask_url


class LogFile:
    """Appends a line for each message; opened anew every time, so that it may be rotated away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = f"log {clean(str(path), 200)}"
        self._torn = False

    def carry(self, message: bytes) -> None:
        """One line, in a single write."""
        line = (b"\n" if self._torn else b"") + message + b"\n"
        try:
            # Alerts name services and their sizes: for the owner alone, like the journal.
            opened = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
            try:
                written = os.write(opened, line)
            finally:
                os.close(opened)
        except OSError as error:
            raise CarrierError(error.strerror or "it cannot be written") from None
        self._torn = 0 < written < len(line)
        if written < len(line):
            raise CarrierError("only a part of the line could be written")


class Command:
    """Starts a program for each message and gives it the message on standard input. No shell is asked.

    Args:
        argv: the program and its arguments.
        timeout_s: then it is ended, with all that it has started in its process group.
    """

    def __init__(self, argv: Sequence[str], timeout_s: float) -> None:
        self._argv = tuple(argv)
        self._timeout_s = timeout_s
        self.name = f"command {clean(argv[0], 200)}"

    def carry(self, message: bytes) -> None:
        """Wait for it to end."""
        nowhere = subprocess.DEVNULL
        try:
            child = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=nowhere,
                stderr=nowhere,
                start_new_session=True,
                close_fds=True,
            )
        except (OSError, ValueError) as error:
            raise CarrierError(getattr(error, "strerror", None) or "it cannot be started") from None
        try:
            child.communicate(message + b"\n", timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            raise CarrierError(f"it had not ended after {self._timeout_s:g} s") from None
        finally:
            _end(child)
        if child.returncode:
            raise CarrierError(f"it ended with {child.returncode}")


def _end(child: subprocess.Popen[bytes]) -> None:
    """End what is left of a child and of its group, and give its pipe back."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nothing is left of it
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdin is not None:
        with contextlib.suppress(OSError):  # it has gone with what was not read of it
            child.stdin.close()


class Webhook:
    """Posts each message as JSON. Redirections are not followed: they could lead anywhere.

    Args:
        url: ``http`` or ``https``.
        timeout_s: for all of it; the look-up of the name alone has the system's own limit.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._parts = urlsplit(url)
        self._timeout_s = timeout_s
        self.name = f"webhook {clean(mask_url(url), 200)}"

    def carry(self, message: bytes) -> None:
        """Any answer of 2xx is a delivery."""
        try:
            status = self._post(message)
        except TimeoutError:
            raise CarrierError(f"no answer within {self._timeout_s:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CarrierError(getattr(error, "strerror", None) or type(error).__name__) from None
        if not 200 <= status < 300:
            raise CarrierError(f"it answered {status}")

    def _post(self, message: bytes) -> int:
        connection = self._connection()
        late = threading.Event()
        try:
            connection.connect()
            timer = threading.Timer(self._timeout_s, _cut, (connection.sock, late))
            timer.daemon = True
            timer.start()
            try:
                path = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
                headers = {
                    "Content-Type": "application/json",
                    "User-Agent": f"gpu-tui/{__version__}",
                    "Connection": "close",
                }
                connection.request("POST", path, message, headers)
                return connection.getresponse().status
            except (OSError, http.client.HTTPException):
                if late.is_set():
                    raise TimeoutError from None
                raise
            finally:
                timer.cancel()
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            import ssl  # 10 ms, for those who need it

            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=context)
        return http.client.HTTPConnection(host, port, timeout=self._timeout_s)


def _cut(sock: socket.socket, late: threading.Event) -> None:
    late.set()
    with contextlib.suppress(OSError):  # it has ended by itself
        sock.shutdown(socket.SHUT_RDWR)
