"""One prompt to one server of the test's own, and what came of it."""

from __future__ import annotations

import aiohttp
import pytest

from gpu_tui.bench.client import ProbeFailure
from gpu_tui.bench.llm import LlmProbe
from gpu_tui.clock import SystemClock
from gpu_tui.core.timings import LlmTimings
from tests.bench.servers import CHAT, Handler, event, serving


def probe(session: aiohttp.ClientSession, url: str, key: str | None = None, timeout_s: float = 10) -> LlmProbe:
    return LlmProbe(session, SystemClock(), url=url, model="m", output_tokens=9, timeout_s=timeout_s, key=key)


async def asked(session: aiohttp.ClientSession, handler: Handler) -> LlmTimings:
    async with serving({CHAT: handler}) as server:
        return await probe(session, server.url).ask("hello")


async def failed(
    session: aiohttp.ClientSession, handler: Handler, key: str | None = None, timeout_s: float = 10
) -> ProbeFailure:
    async with serving({CHAT: handler}) as server:
        with pytest.raises(ProbeFailure) as caught:
            await probe(session, server.url, key, timeout_s).ask("hello")
        return caught.value


def delta(**said: object) -> bytes:
    return event({"choices": [{"index": 0, "delta": said, "finish_reason": None}], "usage": None})


OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
