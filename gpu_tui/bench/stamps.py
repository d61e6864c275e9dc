"""When an answer's bytes arrived, as the kernel says: stamps are taken below aiohttp, and follow the bytes through it.

An event loop reads its connections one after the other, and late when other processes want the cores: with 32 streams
that is milliseconds. Linux stamps what comes in as it comes in (``SO_TIMESTAMPNS``, socket(7)) and hands the stamp of
the last byte over with the bytes. Where a kernel does not, the stamp is taken as they are read from the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import struct
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

import aiohttp
from aiohttp.client_proto import ResponseHandler

from gpu_tui.clock import Clock

if TYPE_CHECKING:
    from aiohttp.connector import Connection

_SO_TIMESTAMPNS = 35
"""Of Linux's asm-generic/socket.h, which x86-64 and arm64 use; Python's socket module has no name for it."""
_TIMESPEC = struct.Struct("@qq")
_CONTROL_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)
_AT_ONCE_S = 20e-6
"""Three readings of a clock take a microsecond; when they took longer, another process had the core between them."""
_TRIES = 4
LATE_S = 0.005
"""Bytes that wait longer than this to be read are counted: tokens are often 5 to 10 ms apart, and the kernel keeps one
stamp for all that wait together."""


class StampedSocket(socket.socket):
    """A TCP socket that keeps the kernel's stamp of what it read last."""

    stamp: float | None = None
    """Seconds since the epoch at which the last of those bytes came in; None when the kernel did not say."""

    def ask_for_stamps(self) -> None:
        """From here on; a kernel that has none goes on as it is."""
        with contextlib.suppress(OSError):
            self.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As `socket.socket.recv`; asyncio calls it for plain connections."""
        data, control, _, _ = self.recvmsg(bufsize, _CONTROL_BYTES, flags)
        self._keep(control)
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As `socket.socket.recv_into`; asyncio calls it for TLS."""
        room = memoryview(buffer)[: nbytes or None]
        size, control, _, _ = self.recvmsg_into([room], _CONTROL_BYTES, flags)
        self._keep(control)
        return size

    def _keep(self, control: list[tuple[int, int, bytes]]) -> None:
        self.stamp = None
        for level, kind, value in control:
            if (level, kind, len(value)) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS, _TIMESPEC.size):
                seconds, nanoseconds = _TIMESPEC.unpack(value)
                self.stamp = seconds + nanoseconds / 1e9


def on_monotonic(stamp: float, clock: Clock) -> float:
    """A stamp in seconds since the epoch, told on the monotonic clock, in seconds; never later than now."""
    for _ in range(_TRIES):
        before, wall, now = clock.monotonic(), clock.wall(), clock.monotonic()
        if now - before <= _AT_ONCE_S:
            break
    return now - max(0.0, wall - stamp)


class Body(Protocol):
    """What is asked of aiohttp's stream of a body."""

    total_bytes: int
    """So many have come in all."""

    def is_eof(self) -> bool:
        """Whether all have come."""
        ...


class Stamps:
    """When the bytes of one answer came, in seconds on the monotonic clock.

    Args:
        head: when those did that completed its head.
        body: whose bytes are counted.
    """

    def __init__(self, head: float, body: Body) -> None:
        self.head = self.last = head
        self._body = body
        self._marks: deque[tuple[int, float]] = deque()
        self._noted = self._taken = 0

    def note(self, at: float) -> None:
        """Whatever the body has gained since the last call came then, its end included."""
        self.last = at
        if self._body.total_bytes > self._noted:
            self._noted = self._body.total_bytes
            self._marks.append((self._noted, at))

    def closed(self, at: float) -> None:
        """The connection is closed: the end of a body that has no other."""
        if not self._body.is_eof():
            self.last = at

    def split(self, data: bytes) -> Iterator[tuple[float, bytes]]:
        """The next bytes of the body in the pieces they came in, each with its arrival."""
        while data:
            # What closing brings out of a decompressor was not noted: it came last.
            upto, at = self._marks[0] if self._marks else (self._taken + len(data), self.last)
            piece = data[: upto - self._taken]
            self._taken += len(piece)
            if self._marks and self._taken >= upto:
                self._marks.popleft()
            yield at, piece
            data = data[len(piece) :]


class _Wire:
    """The sockets of one session, and the clock on which their stamps are told."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.now = clock.monotonic
        self.sockets: WeakValueDictionary[int, StampedSocket] = WeakValueDictionary()
        self.reads = self.late = 0
        self.stamped = False

    def make(self, address: aiohttp.AddrInfoType) -> StampedSocket:
        family, kind, protocol, _, _ = address
        made = StampedSocket(family, kind, protocol)
        made.ask_for_stamps()
        self.sockets[made.fileno()] = made
        return made

    def arrived(self, made: StampedSocket | None, since: float) -> float:
        """When the last bytes came: not before `since`, when those before them did.

        So a wall clock that is set between an arrival and its reading cannot do more harm than that.
        """
        stamp = made.stamp if made is not None else None
        self.reads += 1
        if stamp is None:
            return self.now()
        self.stamped = True
        at = max(since, on_monotonic(stamp, self._clock))
        self.late += self.now() - at > LATE_S
        return at


class _Handler(ResponseHandler):
    """aiohttp's own protocol, which also notes when its bytes came."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wire: _Wire) -> None:
        super().__init__(loop)
        self._wire = wire
        self._stamped: StampedSocket | None = None
        self._at = wire.now()
        self.stamps: Stamps | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._stamped = self._wire.sockets.get(transport.get_extra_info("socket").fileno())

    def data_received(self, data: bytes) -> None:
        self._at = self._wire.arrived(self._stamped, self._at)
        super().data_received(data)
        if self.stamps is not None:
            self.stamps.note(self._at)

    def feed_data(self, data: Any, size: int = 0) -> None:
        # A head has been parsed; `data` is it and the body to come.
        self.stamps = Stamps(self._at, data[1])
        super().feed_data(data, size)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.stamps is not None:
            self.stamps.closed(self._wire.now())
        super().connection_lost(exc)


class StampedResponse(aiohttp.ClientResponse):
    """An answer that knows the arrivals of its bytes; None where its connection is not of `StampedConnector`."""

    stamps: Stamps | None = None

    async def start(self, connection: Connection) -> StampedResponse:
        """Wait for its head."""
        protocol = connection.protocol
        await super().start(connection)
        if isinstance(protocol, _Handler):
            self.stamps = protocol.stamps
        return self


class StampedConnector(aiohttp.TCPConnector):
    """Its connections' answers know their arrivals, as `StampedResponse`. Needs a running loop.

    Args:
        connections: most that are open at once.
        clock: the arrivals are told on its monotonic reading.
    """

    def __init__(self, connections: int, clock: Clock) -> None:
        self._wire = wire = _Wire(clock)
        super().__init__(limit=connections, socket_factory=wire.make)
        loop = asyncio.get_running_loop()

        def stamped() -> ResponseHandler:
            return _Handler(loop, wire)

        # aiohttp has no public way to bring a protocol of one's own. Without it answers are stamped as they are read.
        self._factory = functools.partial(stamped)

    @property
    def kernel_stamps(self) -> bool | None:
        """Whether the kernel said when anything arrived; None while nothing has."""
        return self._wire.stamped if self._wire.reads else None

    @property
    def late_share(self) -> float:
        """Of all that arrived, the part that was read more than `LATE_S` later; 0 where the kernel does not tell."""
        return self._wire.late / self._wire.reads if self._wire.reads else 0.0
