"""One short GET to a server on this machine, with the standard library: the explorer never loads the HTTP client."""

from __future__ import annotations

import http.client

LOCAL = ("127.0.0.1", "localhost", "::1")
MOST_BYTES = 2 * 1024 * 1024
TIMEOUT_S = 1.0
"""For each step of a request; a server that is loading does not answer."""


def get(port: int, path: str, *, host: str = "127.0.0.1", timeout_s: float = TIMEOUT_S) -> str | None:
    """The body of a 200 answer as text, cut at 2 MiB; None when there is none. Only this machine is asked.

    Args:
        port: where it listens.
        path: ``/metrics``.
        host: one of `LOCAL`; anything else is answered with None.
        timeout_s: for connecting, and for each read.
    """
    if host not in LOCAL or not 0 < port < 65536:
        return None
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"Connection": "close", "Accept-Encoding": "identity"})
        answer = connection.getresponse()
        body = answer.read(MOST_BYTES)
    except (OSError, http.client.HTTPException):
        return None  # nothing listens, or it is no HTTP server: then it says nothing
    finally:
        connection.close()
    return body.decode("utf-8", "replace") if answer.status == 200 else None
