"""The HTTP client as the probes use it: bounded, without redirects, and every failure with a name.

Loaded in the measuring process alone. Answers are untrusted: their sizes are bounded here, their text is made safe
before it is shown.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp
import msgspec

from gpu_tui.bench import oom
from gpu_tui.bench.stamps import StampedConnector, StampedResponse
from gpu_tui.bench.untrusted import shown, shown_url
from gpu_tui.clock import Clock
from gpu_tui.errors import EndpointError

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
CLIENT_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)
"""What may come out of aiohttp when a server or the network misbehaves; all of it goes through `failure_of`."""


class ProbeFailure(EndpointError):
    """One request brought no figure.

    Args:
        kind: a stable word by which failures are counted: ``connect_refused``, ``connect_failed``, ``timeout``,
            ``http_NNN``, ``bad_http``, ``bad_json``, ``bad_answer``, ``bad_encoding``, ``line_too_long``,
            ``too_large``, ``empty_answer``, ``closed_early``, ``server_error``, ``oom``, ``not_sent``.
    """

    def __init__(self, kind: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.kind = kind
        self.server_spoke: bool | None = None
        """Set where the kind's name does not tell."""

    @property
    def answered(self) -> bool:
        """Whether a server said anything at all."""
        if self.server_spoke is not None:
            return self.server_spoke
        return not self.kind.startswith("connect_") and self.kind not in ("timeout", "not_sent")


@dataclass(slots=True)
class Sent:
    """When one request went out; hand it to the session as ``trace_request_ctx``."""

    at: float | None = None
    """Its first bytes were written to the socket; None until then."""
    body: bool = False
    """Part of the body has gone out."""


def open_session(concurrency: int, clock: Clock) -> aiohttp.ClientSession:
    """A session that keeps its connections between requests, as a client in production does.

    It reads no proxy from the environment and keeps no cookies: what is measured is the server named.
    """
    trace = aiohttp.TraceConfig()

    async def sent(_session: object, context: SimpleNamespace, _params: object) -> None:
        if isinstance(context.trace_request_ctx, Sent):
            context.trace_request_ctx.at = clock.monotonic()

    async def chunk_sent(_session: object, context: SimpleNamespace, _params: object) -> None:
        # aiohttp holds the head back until the body's first bytes, which a task of its own writes: with 32 requests
        # at once that is milliseconds later.
        if isinstance(context.trace_request_ctx, Sent) and not context.trace_request_ctx.body:
            context.trace_request_ctx.at, context.trace_request_ctx.body = clock.monotonic(), True

    # 32 connections set up at once take the client 15 ms: without this stamp they would be the server's.
    trace.on_request_headers_sent.append(sent)
    trace.on_request_chunk_sent.append(chunk_sent)
    return aiohttp.ClientSession(
        trace_configs=[trace],
        connector=StampedConnector(concurrency + 2, clock),
        response_class=StampedResponse,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "gpu-tui", "Accept-Encoding": "identity"},
        trust_env=False,
    )


def authorization(key: str | None) -> dict[str, str]:
    """The header that carries the API key; empty without one."""
    return {"Authorization": f"Bearer {key}"} if key else {}


class Exchange:
    """A request, and the answer of status 200 to it. Stamps are seconds on the monotonic clock.

    Args:
        queued: the request was handed to the client.
        started: its first bytes went out; None when they did not.
    """

    def __init__(self, queued: float, started: float | None, response: aiohttp.ClientResponse, clock: Clock) -> None:
        self.queued = queued
        self.started = started
        self.response = response
        self._now = clock.monotonic
        self._stamps = response.stamps if isinstance(response, StampedResponse) else None
        self.head = self._stamps.head if self._stamps else self._now()
        """The head of the answer has come."""

    def pieces(self, data: bytes) -> Iterable[tuple[float, bytes]]:
        """What was read of the body next, in the pieces it came in, each with its arrival."""
        return self._stamps.split(data) if self._stamps else ((self._now(), data),)

    async def whole(self) -> tuple[bytes, float]:
        """The body, and the arrival of its end.

        Raises:
            ProbeFailure: it is too large.
        """
        body = await read_bounded(self.response)
        return body, self._stamps.last if self._stamps else self._now()


class Caller:
    """Posts to one page of one service.

    Args:
        base: root of the service.
        timeout_s: longest a request may take, from start to end.
    """

    def __init__(
        self, session: aiohttp.ClientSession, clock: Clock, *, base: str, path: str, timeout_s: float, key: str | None
    ) -> None:
        self._session = session
        self._clock = clock
        self._base = base
        self._url = f"{base}{path}"
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self.key = key

    @asynccontextmanager
    async def post(
        self, data: bytes | aiohttp.FormData, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Exchange]:
        """Send one request; the answer is open inside the block.

        Raises:
            ProbeFailure: there was none, or it broke off; `kind` says why.
        """
        await _notice_closed()
        queued, sent = self._clock.monotonic(), Sent()
        try:
            async with self._session.post(
                self._url,
                data=data,
                headers={**(headers or {}), **authorization(self.key)},
                timeout=self._timeout,
                allow_redirects=False,
                trace_request_ctx=sent,
            ) as response:
                if response.status != 200:
                    raise await refused(response, self.key)
                exchange = Exchange(queued, sent.at, response, self._clock)
                if exchange.started is not None and exchange.head < exchange.started:
                    where = shown_url(self._base)
                    raise ProbeFailure("bad_http", f"{where} answered before it was asked.", _NOT_IT)
                yield exchange
        except CLIENT_ERRORS as error:
            raise failure_of(error, self._base) from None


async def _notice_closed() -> None:
    """Let the loop see which kept connections the server has closed, so that none of them is used again.

    A server may close behind an answer without saying so; sent on such a connection, the next request would be lost
    and look like an answer that broke off. One turn of the loop looks at the sockets, the next acts on what it found.
    """
    for _ in range(2):
        await asyncio.sleep(0)


async def read_bounded(response: aiohttp.ClientResponse, limit: int = MAX_BODY_BYTES) -> bytes:
    """The whole body.

    Raises:
        ProbeFailure: it is larger than `limit` bytes.
    """
    body = bytearray()
    async for data in response.content.iter_any():
        body += data
        if len(body) > limit:
            raise ProbeFailure("too_large", f"The answer is larger than {limit} bytes.")
    return bytes(body)


async def get(
    session: aiohttp.ClientSession, base: str, path: str, key: str | None, limit: aiohttp.ClientTimeout
) -> bytes:
    """The body of a page, without redirects.

    Raises:
        ProbeFailure: there is none.
    """
    try:
        async with session.get(
            f"{base}{path}", headers=authorization(key), timeout=limit, allow_redirects=False
        ) as response:
            if response.status != 200:
                raise await refused(response, key)
            return await read_bounded(response)
    except CLIENT_ERRORS as error:
        raise failure_of(error, base) from None


async def refused(response: aiohttp.ClientResponse, key: str | None) -> ProbeFailure:
    """The failure that an answer with another status than 200 stands for, in the server's own words."""
    body = bytearray()
    async for data in response.content.iter_any():
        body += data
        if len(body) > MAX_ERROR_BYTES:
            break
    return told(bytes(body[:MAX_ERROR_BYTES]), f"http_{response.status}", key)


def told(body: bytes, kind: str, key: str | None) -> ProbeFailure:
    """The failure that an error body tells of: `oom` where it says so, else `kind`."""
    text = body.decode("utf-8", "replace")
    if oom.PATTERN.search(text):
        kind = "oom"
    said = shown(_error_text(body) or text, secrets=(key,) if key else ())
    message = f"The server answered {kind.replace('_', ' ')}" + (f": {said.rstrip('.')}." if said else ".")
    return ProbeFailure(kind, message, _REMEDIES.get(kind, ""))


def failure_of(error: BaseException, url: str) -> ProbeFailure:
    """The failure that an exception of `CLIENT_ERRORS` stands for."""
    where = shown_url(url)
    if isinstance(error, TimeoutError):
        return ProbeFailure("timeout", f"{where} did not answer in time.", _REMEDIES["timeout"])
    if isinstance(error, aiohttp.ClientConnectorError):
        if error.errno == errno.ECONNREFUSED:
            return ProbeFailure("connect_refused", f"Nothing listens at {where}.", _REMEDIES["connect_refused"])
        text = shown(str(error.os_error))
        return ProbeFailure("connect_failed", f"{where} cannot be reached: {text}.", _REMEDIES["connect_failed"])
    if isinstance(error, aiohttp.ClientResponseError):
        return ProbeFailure("bad_http", f"{where} does not speak HTTP: {shown(error.message)}.", _NOT_IT)
    if isinstance(error, aiohttp.InvalidURL):
        return ProbeFailure("connect_failed", f"{where} is not an address.", _REMEDIES["connect_failed"])
    return ProbeFailure("closed_early", f"{where} closed the connection before the end of its answer.", _LOG)


def _error_text(body: bytes) -> str | None:
    """The sentence in an error body of OpenAI's, FastAPI's or ollama's shape; None when it has another."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    for name in ("error", "message", "detail"):
        if isinstance(value, dict) and name in value:
            value = value[name]
    return value if isinstance(value, str) else None


_LOG = "Look into the server's log."
_NOT_IT = "Check that the port is the service's."
_REMEDIES = {
    "timeout": "Raise --timeout, or lower --concurrency.",
    "connect_refused": "Start the service, or correct its address.",
    "connect_failed": "Correct the address with --llm or --stt.",
    "http_401": "Name the endpoint in [endpoints] and the key's variable in api_key_env.",
    "http_403": "Name the endpoint in [endpoints] and the key's variable in api_key_env.",
    "http_404": "Check the address and the model's name.",
    "http_429": "Lower --concurrency.",
    "oom": "Lower vLLM's --gpu-memory-utilization, or the load.",
}
