from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.bench.client import ProbeFailure, open_session
from gpu_tui.bench.loader import Loader
from gpu_tui.bench.notes import told_after
from gpu_tui.bench.plan import MeasurePlan
from gpu_tui.bench.progress import Teller
from gpu_tui.bench.stamps import StampedResponse, StampedSocket, Stamps, on_monotonic
from gpu_tui.clock import ManualClock, SystemClock
from tests.bench.asking import asked, probe
from tests.bench.servers import CHAT, DONE, Handler, Reply, Request, Server, now, serving, streaming, token, usage

LATE_S = 0.2
SURE_S = 0.05
"""Far below `LATE_S`: what may come between a write and the stamp of its bytes."""


@dataclass
class Body:
    total_bytes: int = 0
    over: bool = False

    def is_eof(self) -> bool:
        return self.over


@given(st.lists(st.binary(max_size=9), max_size=9), st.data())
def test_bytes_keep_the_arrival_of_the_read_that_brought_them(came: list[bytes], data: st.DataObject) -> None:
    """However they are read later: several arrivals at once, or one in several parts."""
    body = Body()
    stamps = Stamps(0.0, body)
    for number, piece in enumerate(came, 1):
        body.total_bytes += len(piece)
        stamps.note(float(number))
    stream, got = b"".join(came), []
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=9)))
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += [(at, byte) for at, piece in stamps.split(stream[start:end]) for byte in piece]
    assert got == [(float(number), byte) for number, piece in enumerate(came, 1) for byte in piece]


def test_bytes_that_nothing_brought_came_last() -> None:
    """A decompressor may give its last ones when the connection closes."""
    stamps = Stamps(1.0, Body())
    stamps.closed(2.0)
    assert list(stamps.split(b"rest")) == [(2.0, b"rest")]


def test_a_connection_that_closes_after_the_end_is_not_the_end() -> None:
    stamps = Stamps(1.0, Body(over=True))
    stamps.closed(2.0)
    assert stamps.last == 1.0


def test_a_stamp_is_told_on_the_monotonic_clock() -> None:
    clock = ManualClock(monotonic=50.0)
    assert on_monotonic(clock.wall() - 2, clock) == pytest.approx(48.0)
    assert on_monotonic(clock.wall() + 2, clock) == 50.0


class Interrupted(ManualClock):
    """Another process has the core for a while after the first reading."""

    readings = 0

    def monotonic(self) -> float:
        self.readings += 1
        if self.readings == 2:
            self.advance(3.0)
        return super().monotonic()


def test_two_clocks_are_read_at_once_or_once_more() -> None:
    clock = Interrupted(monotonic=50.0)
    stamp = clock.wall()
    assert on_monotonic(stamp, clock) == pytest.approx(50.0)
    assert clock.readings > 2


@contextmanager
def connected() -> Iterator[tuple[socket.socket, StampedSocket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as sender:
        sender.connect(listener.getsockname())
        plain, _ = listener.accept()
        with StampedSocket(fileno=plain.detach()) as reader:
            reader.ask_for_stamps()
            time.sleep(LATE_S)  # a kernel that stamps for nobody else begins a moment later
            yield sender, reader


@pytest.mark.parametrize("into", [False, True])
def test_the_kernel_stamps_what_is_read_late(into: bool) -> None:
    with connected() as (sender, reader):
        sender.send(b"hello")
        sent = time.time()
        time.sleep(LATE_S)
        buffer = bytearray(16)
        data = bytes(buffer[: reader.recv_into(buffer)]) if into else reader.recv(16)
        assert data == b"hello"
        if reader.stamp is None:
            pytest.skip("this kernel does not stamp what it receives")
        assert abs(reader.stamp - sent) < SURE_S


def test_without_a_stamp_there_is_none() -> None:
    one, other = socket.socketpair()
    with one, StampedSocket(other.family, other.type, fileno=other.detach()) as reader:
        one.send(b"hello")
        assert (reader.recv(16), reader.stamp) == (b"hello", None)


@contextmanager
def elsewhere(handler: Handler) -> Iterator[Server]:
    """Serving in a thread of its own, so that this one's loop can be held up."""
    found: list[Server] = []
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with serving({CHAT: handler}) as server:
            found.append(server)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield found[0]
    finally:
        over.set()
        thread.join()


async def test_answers_know_their_arrivals(session: aiohttp.ClientSession) -> None:
    """With another aiohttp that may be over; figures then are the reader's, a little late."""
    async with serving({CHAT: streaming()}) as server, session.post(f"{server.url}{CHAT}") as response:
        assert isinstance(response, StampedResponse)
        assert response.stamps is not None


async def test_a_loop_that_is_held_up_makes_no_answer_late(session: aiohttp.ClientSession) -> None:
    with elsewhere(streaming(ttft=2 * LATE_S, itl=2 * LATE_S, chunks=3)) as server:
        loop = asyncio.get_running_loop()
        asking = asyncio.ensure_future(probe(session, server.url).ask("hello"))
        for number in (1, 2, 3):
            loop.call_later(2 * LATE_S * number - LATE_S / 2, time.sleep, LATE_S)
        timings = await asking
        sent = server.replies[0].sent
    if timings.chunks[0] - sent[0] > LATE_S / 4:
        with connected() as (sender, reader):
            sender.send(b"hello")
            reader.recv(16)
            if reader.stamp is None:
                pytest.skip("this kernel does not stamp what it receives")
    assert [seen - was for seen, was in zip(timings.chunks, sent, strict=False)] == pytest.approx([0.0] * 3, abs=SURE_S)


async def test_an_event_came_when_the_last_of_its_bytes_did(session: aiohttp.ClientSession) -> None:
    async def in_two(_request: Request, reply: Reply) -> None:
        await reply.head()
        for part in (token()[:20], token()[20:] + token()[:-1], b"\n" + usage(2) + DONE):
            await reply.raw(part)
            await asyncio.sleep(LATE_S)

    async with serving({CHAT: in_two}) as server:
        timings = await probe(session, server.url).ask("hello")
        sent = server.replies[0].sent
    assert list(timings.chunks) == pytest.approx(sent[1:], abs=SURE_S)
    assert timings.ended == timings.chunks[1]


async def test_the_end_of_a_whole_answer_is_its_last_byte(session: aiohttp.ClientSession) -> None:
    whole = b'{"choices": [{"message": {"content": "hi"}}]}'

    async def slow_to_close(_request: Request, reply: Reply) -> None:
        length = {"Content_Length": str(len(whole))} if measured else {}
        await reply.head(200, "application/json", **length)
        await reply.raw(whole)
        await asyncio.sleep(LATE_S)

    for measured in (True, False):
        async with serving({CHAT: slow_to_close}) as server:
            timings = await probe(session, server.url).ask("hello")
            sent = server.replies[0].sent
        assert timings.ended is not None
        # A body without a length is over when the connection is.
        assert timings.ended - sent[0] == pytest.approx(0 if measured else LATE_S, abs=SURE_S)


async def test_no_packed_answer_is_asked_for_and_one_that_comes_is_read(session: aiohttp.ClientSession) -> None:
    packed = gzip.compress(token() + token() + usage(2) + DONE)

    async def pack(_request: Request, reply: Reply) -> None:
        await reply.head(Content_Encoding="gzip")
        for part in (packed[:30], packed[30:]):
            await reply.raw(part)
            await asyncio.sleep(0.02)

    async with serving({CHAT: pack}) as server:
        timings = await probe(session, server.url).ask("hello")
        assert server.requests[0].headers["accept-encoding"] == "identity"
    assert (len(timings.chunks), timings.output_tokens) == (2, 2)


async def test_a_server_that_answers_before_it_is_asked_is_none(session: aiohttp.ClientSession) -> None:
    def hasty(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\n\r\n" + token() + DONE)

    server = await asyncio.start_server(hasty, "127.0.0.1", 0)
    async with server:
        with pytest.raises(ProbeFailure) as caught:
            await probe(session, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}").ask("hello")
    assert caught.value.kind in ("bad_http", "closed_early")


class SetClock(SystemClock):
    """Its wall clock is not the kernel's, as if it had been set between an arrival and its reading."""

    off = 0.0

    def wall(self) -> float:
        return super().wall() + self.off


@pytest.mark.parametrize("off", [-3600.0, 3600.0])
async def test_a_wall_clock_that_is_set_moves_no_stamp_beyond_its_neighbours(off: float) -> None:
    clock = SetClock()

    async def stream(_request: Request, reply: Reply) -> None:
        await reply.head()
        for part in (token(), token(), token() + usage(3) + DONE):
            await asyncio.sleep(LATE_S / 2)
            await reply.raw(part)
            clock.off = off

    async with open_session(1, clock) as session:
        timings = await asked(session, stream)
    assert timings.started is not None
    assert timings.headers is not None
    stamps = [timings.started, timings.headers, *timings.chunks, now()]
    assert stamps == sorted(stamps)


async def test_without_our_connections_an_answer_is_stamped_as_it_is_read() -> None:
    async with aiohttp.ClientSession() as plain:
        timings = await asked(plain, streaming(ttft=0.1, itl=0.02))
    assert len(timings.chunks) == 5
    assert timings.ended is not None
    assert timings.ended >= timings.chunks[-1] > timings.chunks[0]
    assert now() > timings.ended


def loader_of(session: aiohttp.ClientSession) -> Loader:
    plan, clock = MeasurePlan(), SystemClock()
    return Loader(plan, session, clock, Teller(plan, lambda _event: None, clock))


def notes_of(session: aiohttp.ClientSession) -> list[str]:
    return told_after(MeasurePlan(), loader_of(session), None)


async def test_a_run_whose_arrivals_are_not_the_kernels_says_so() -> None:
    async with open_session(1, SystemClock()) as session:
        loader = loader_of(session)
        assert told_after(MeasurePlan(), loader, None) == []  # nothing has arrived
        await asked(session, streaming(itl=0.05))
    assert "does not stamp" not in str(told_after(MeasurePlan(), loader, None))
    async with aiohttp.ClientSession() as plain:
        (note,) = notes_of(plain)
    assert "does not stamp" in note


async def test_a_run_that_was_read_late_says_so(session: aiohttp.ClientSession) -> None:
    with elsewhere(streaming(ttft=LATE_S, itl=2 * LATE_S, chunks=2)) as server:
        asking = asyncio.ensure_future(probe(session, server.url).ask("hello"))
        asyncio.get_running_loop().call_later(LATE_S / 2, time.sleep, LATE_S)
        await asking
    assert [("read more than 5 ms late" in note or "does not stamp" in note) for note in notes_of(session)] == [True]
