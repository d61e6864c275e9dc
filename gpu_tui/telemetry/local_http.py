"""One short GET to a server on this machine, with the standard library: the explorer never loads the HTTP client."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator

LOCAL = ("127.0.0.1", "localhost", "::1")
MOST_BYTES = 2 * 1024 * 1024
TIMEOUT_S = 1.0
"""For each step of a request; a server that is loading does not answer."""
WHOLE_S = 3.0
"""For the whole request: a server that drips a byte now and then is given up."""


def get(
    port: int, path: str, *, host: str = "127.0.0.1", timeout_s: float = TIMEOUT_S, whole_s: float = WHOLE_S
) -> str | None:
    """The body of a 200 answer as text, cut at 2 MiB; None when there is none. Only this machine is asked.

    Args:
        port: where it listens.
        path: ``/metrics``.
        host: one of `LOCAL`; anything else is answered with None.
        timeout_s: for connecting, and for each read.
        whole_s: for all of it.
    """
    if host not in LOCAL or not 0 < port < 65536:
        return None
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.connect()
        with _ended_after(whole_s, connection.sock) as ended:
            connection.request("GET", path, headers={"Connection": "close", "Accept-Encoding": "identity"})
            answer = connection.getresponse()
            body = answer.read(MOST_BYTES)
    except (OSError, http.client.HTTPException):
        return None  # nothing listens, or it is no HTTP server: then it says nothing
    finally:
        connection.close()
    cut_short = ended.is_set() or (bool(answer.length) and len(body) < MOST_BYTES)
    return body.decode("utf-8", "replace") if answer.status == 200 and not cut_short else None


@contextlib.contextmanager
def _ended_after(seconds: float, sock: socket.socket) -> Iterator[threading.Event]:
    """End the connection when the time is over, whatever is being read from it; the event tells that it was."""
    ended = threading.Event()

    def end() -> None:
        ended.set()
        with contextlib.suppress(OSError):  # it has ended by itself
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield ended
    finally:
        timer.cancel()
