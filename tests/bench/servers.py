"""Servers for tests on 127.0.0.1: every byte and every delay is the test's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from gpu_tui.clock import SystemClock

now = SystemClock().monotonic


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes
    arrived: float


class Reply:
    """What a handler writes with, stamped as it goes out."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.sent: list[float] = []

    async def raw(self, data: bytes) -> None:
        self.sent.append(now())
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status: int = 200, kind: str = "text/event-stream", **more: str) -> None:
        """A head whose body ends with the connection."""
        extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in more.items())
        line = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nConnection: close\r\n{extra}\r\n"
        self.writer.write(line.encode())
        await self.writer.drain()

    async def answer(self, value: Any, status: int = 200) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        await self.head(status, "application/json", Content_Length=str(len(body)))
        await self.raw(body)


Handler = Callable[[Request, Reply], Awaitable[None]]


@dataclass
class Server:
    """Answers each path with its handler, everything else with 404."""

    handlers: dict[str, Handler]
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0

    def asked(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._one(reader, writer)
        self.open_now -= 1
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        path = head[0].split(" ")[1]
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request, reply = Request(path, headers, body, now()), Reply(writer)
        self.requests.append(request)
        self.replies.append(reply)
        if path in self.handlers:
            # A client that goes away ends the handler, as a real server's would.
            handler = asyncio.ensure_future(self.handlers[path](request, reply))
            gone = asyncio.ensure_future(reader.read(1))
            await asyncio.wait((handler, gone), return_when=asyncio.FIRST_COMPLETED)
            for task in (handler, gone):
                task.cancel()
            await asyncio.gather(handler, gone, return_exceptions=True)
        else:
            await reply.answer({"detail": "Not Found"}, 404)


@asynccontextmanager
async def serving(handlers: dict[str, Handler]) -> AsyncIterator[Server]:
    server = Server(handlers)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()


def event(value: Any) -> bytes:
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def token(text: str = " x", finish: str | None = None) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


def usage(tokens: int) -> bytes:
    return event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": tokens}})


DONE = event(b"[DONE]")
CHAT = "/v1/chat/completions"
SPEECH = "/v1/audio/transcriptions"


def streaming(*, ttft: float = 0.0, itl: float = 0.0, chunks: int = 5, tokens: int | None = None) -> Handler:
    """A well-behaved stream with known delays, kept against the clock."""

    async def handle(request: Request, reply: Reply) -> None:
        await reply.head()
        for number in range(chunks):
            due = request.arrived + ttft + itl * number
            await asyncio.sleep(max(0.0, due - now()))
            await reply.raw(token(" x" * max(1, (tokens or 0) // chunks)))
        await reply.raw(usage(chunks if tokens is None else tokens) + DONE)

    return handle


def saying(*parts: bytes, kind: str = "text/event-stream", status: int = 200) -> Handler:
    """These bytes, each in a write of its own, then the end of the connection."""

    async def handle(_request: Request, reply: Reply) -> None:
        await reply.head(status, kind)
        for part in parts:
            await reply.raw(part)
            await asyncio.sleep(0.005)

    return handle


def answering(value: Any, status: int = 200, delay: float = 0.0) -> Handler:
    async def handle(_request: Request, reply: Reply) -> None:
        await asyncio.sleep(delay)
        await reply.answer(value, status)

    return handle


def models(*names: str) -> Handler:
    return answering({"object": "list", "data": [{"id": name} for name in names]})


def paths(*names: str) -> Handler:
    return answering({"paths": {name: {} for name in names}})
