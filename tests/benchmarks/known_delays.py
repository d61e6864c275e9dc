"""A server of known delays whose own cost is small: one connection is kept, and every stamp is taken at the socket.

A server that is slow to see a request would count its own slowness against whoever measures it: so a request's arrival
is the kernel's stamp, as the probe's stamps of the answer are. An error in these adds up in a time to first token, and
does not cancel out: too late at the server makes the truth shorter, too late at the probe makes the figure longer.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Sequence
from typing import Any

from gpu_tui.bench.stamps import StampedSocket
from gpu_tui.clock import SystemClock
from tests.bench.servers import DONE, event, now

FORM = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "known-delays"}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


TOKEN = _chunk(event({**FORM, "choices": [{"index": 0, "delta": {"content": " x"}, "finish_reason": None}]}))


def _end(tokens: int) -> bytes:
    counts = {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": tokens + 7}
    return _chunk(event({**FORM, "choices": [], "usage": counts}) + DONE) + b"0\r\n\r\n"


class Listener(StampedSocket):
    """Accepts sockets that keep the kernel's stamps from their first byte on; `accepted` has the newest by number."""

    def __init__(self) -> None:
        # asyncio turns Nagle off only where TCP is named.
        super().__init__(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self.accepted: dict[int, StampedSocket] = {}
        self.ask_for_stamps()  # what it accepts inherits that
        self.bind(("127.0.0.1", 0))
        self.listen(512)

    def accept(self) -> tuple[StampedSocket, Any]:
        plain, address = super().accept()
        stamped = StampedSocket(plain.family, plain.type, plain.proto, fileno=plain.detach())
        self.accepted[stamped.fileno()] = stamped
        return stamped, address


class KnownDelays(asyncio.Protocol):
    """One connection.

    Args:
        listener: it came from there.
        delays: seconds before each token of the next answer.
        done: told when each answer's request had come, and when each token went out.
    """

    def __init__(
        self,
        listener: Listener,
        delays: Callable[[], Sequence[float]],
        done: Callable[[float, list[float]], None],
    ) -> None:
        self._listener = listener
        self._delays = delays
        self._done = done
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        arrived = self._arrived()
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0].partition(b":")[2]) if lengths else 0
        if found and len(body) >= length:
            self._buffer = body[length:]
            self._answer(head, arrived)

    def _arrived(self) -> float:
        assert self._transport is not None
        stamp = self._listener.accepted[self._transport.get_extra_info("socket").fileno()].stamp
        assert stamp is not None, "this kernel does not stamp: the truth would hold the server's own lateness"
        return now() - (SystemClock().wall() - stamp)

    def _answer(self, head: bytes, arrived: float) -> None:
        if head.startswith(b"GET"):
            body = json.dumps({"object": "list", "data": [{"id": "known-delays"}]}).encode()
            said = body if b"/v1/models " in head else b""
            status = b"200 OK" if said else b"404 Not Found"
            self._write(
                b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (status, len(said), said)
            )
            return
        self._write(HEAD)
        delays = list(self._delays())
        self._loop.call_at(self._loop.time() + delays[0], self._next, arrived, arrived + delays[0], delays, [])

    def _next(self, arrived: float, due: float, delays: list[float], sent: list[float]) -> None:
        while True:
            sent.append(now())
            self._write(TOKEN)
            if len(sent) == len(delays):
                self._done(arrived, sent)
                self._write(_end(len(delays)))
                return
            due += delays[len(sent)]
            if due > now():
                break
        # The loop's clock is the one of `now`.
        self._loop.call_at(due, self._next, arrived, due, delays, sent)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
