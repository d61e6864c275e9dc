"""The demo's LLM and speech-to-text endpoints: real HTTP on 127.0.0.1, simulated delays, every answer labelled.

``python -m gpu_tui.bench.demo_server`` prints one line of JSON with its two addresses, and ends when its stdin
closes. Started by `gpu_tui.bench.demo`. The delays follow from the seed alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from gpu_tui.bench.demo import DemoAddresses

LLM_MODEL = "SIMULATED-Qwen2.5-7B-Instruct-AWQ"
STT_MODEL = "SIMULATED-whisper-tiny"
TRANSCRIPT = "SIMULATED transcript: please turn on the light in the kitchen."
MAX_TOKENS = 4096
_SPREAD = 0.12
"""Sigma of the log-normal delays: a p95 about 1.2 times the median, as on a lightly loaded box."""
_TEMPLATE_TOKENS = 6
"""Of a prompt, beside a token for each of its words."""
_SENTENCE_WORDS = 8
"""Tokens of a sentence."""
_CROWDING = 0.08
"""How much each further request under way slows the others."""
_CARD_MIB, _MODEL_MIB = 12288, 5700
"""The demo's card, and what its model takes without a KV cache: as in the scenario ``kloros``."""
_TOKEN_BYTES = 2 * 28 * 4 * 128 * 2
"""Of KV cache a token: keys and values of Qwen2.5-7B's 28 layers, each 4 KV heads of 128 values of 2 bytes."""
_BLOCK_SIZE = 16
_STDIN = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Medians of the simulated delays, in seconds. Invented, of the order of a 7B model on a 12 GiB card."""

    ttft_s: float = 0.180
    itl_s: float = 0.014
    stt_s: float = 0.240


def cache_blocks(utilization: float) -> int:
    """Blocks of KV cache that the simulated server would have; at least 1."""
    cache_bytes = (_CARD_MIB * utilization - _MODEL_MIB) * 2**20
    return max(1, int(cache_bytes // (_TOKEN_BYTES * _BLOCK_SIZE)))


class DemoServer:
    """Handlers of both services.

    Args:
        utilization: what ``/metrics`` says.
    """

    def __init__(self, delays: Delays, seed: int, utilization: float) -> None:
        self._delays = delays
        self._seed = seed
        self._utilization = utilization
        self._asked = 0
        self._busy = 0

    def llm_app(self) -> web.Application:
        """The vLLM-like service."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", lambda _request: _models(LLM_MODEL))
        app.router.add_get("/openapi.json", lambda _request: _paths("/v1/chat/completions", "/v1/models"))
        app.router.add_get("/metrics", self._metrics)
        return app

    def stt_app(self) -> web.Application:
        """The Whisper-like service."""
        app = web.Application(client_max_size=32 * 1024 * 1024)
        app.router.add_post("/v1/audio/transcriptions", self._transcribe)
        app.router.add_get("/v1/models", lambda _request: _models(STT_MODEL))
        app.router.add_get("/openapi.json", lambda _request: _paths("/v1/audio/transcriptions", "/v1/models"))
        return app

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = msgspec.json.decode(await request.read(), type=dict[str, Any])
            tokens = min(max(int(asked.get("max_tokens", 32)), 1), MAX_TOKENS)
        except (msgspec.DecodeError, TypeError, ValueError):
            return web.json_response({"error": {"message": "SIMULATED: the request is not JSON"}}, status=400)
        delays = self._random()
        prompt_tokens = len(str(asked.get("messages")).split()) + _TEMPLATE_TOKENS
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        self._busy += 1
        try:
            # A client that leaves in the middle is what cancelling a run looks like from here.
            with contextlib.suppress(ConnectionError):
                await response.prepare(request)
                await self._write_answer(response, prompt_tokens, tokens, delays)
        finally:
            self._busy -= 1
        return response

    async def _write_answer(
        self, response: web.StreamResponse, prompt_tokens: int, tokens: int, delays: random.Random
    ) -> None:
        crowd = 1 + _CROWDING * (self._busy - 1)
        clock = asyncio.get_running_loop()
        due = clock.time() + self._delays.ttft_s * delays.lognormvariate(0, _SPREAD) * crowd
        for number in range(tokens):
            # Against the clock, so that the cost of writing does not add to every delay.
            await asyncio.sleep(due - clock.time())
            text = "SIMULATED answer:" if number == 0 else f" word{number}" + "." * (number % _SENTENCE_WORDS == 0)
            await response.write(_event({"choices": [{"index": 0, "delta": {"content": text}}]}))
            due += self._delays.itl_s * delays.lognormvariate(0, _SPREAD) * crowd
        await response.write(_event({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}))
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": tokens}
        await response.write(_event({"choices": [], "usage": usage}))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()

    async def _transcribe(self, request: web.Request) -> web.Response:
        form = await request.post()
        if not isinstance(form.get("file"), web.FileField):
            return web.json_response({"error": {"message": "SIMULATED: no file was sent"}}, status=400)
        await asyncio.sleep(self._delays.stt_s * self._random().lognormvariate(0, _SPREAD))
        return web.json_response({"text": TRANSCRIPT})

    async def _metrics(self, _request: web.Request) -> web.Response:
        blocks = cache_blocks(self._utilization)
        labels = {
            "block_size": _BLOCK_SIZE,
            "engine": 0,
            "gpu_memory_utilization": self._utilization,
            "kv_cache_size_tokens": blocks * _BLOCK_SIZE,
            "num_gpu_blocks": blocks,
        }
        told = ",".join(f'{name}="{value}"' for name, value in labels.items())
        return web.Response(
            text=f"# SIMULATED\n# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running {self._busy}.0\n"
            f"# TYPE vllm:cache_config_info gauge\nvllm:cache_config_info{{{told}}} 1.0\n"
        )

    def _random(self) -> random.Random:
        self._asked += 1
        return random.Random(f"{self._seed}:{self._asked}")  # noqa: S311 - delays, no secret


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode({"object": "chat.completion.chunk", "model": LLM_MODEL} | value) + b"\n\n"


async def _models(name: str) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": name, "object": "model"}]})


async def _paths(*paths: str) -> web.Response:
    return web.json_response({"info": {"title": "SIMULATED"}, "paths": {path: {} for path in paths}})


async def serve(server: DemoServer) -> None:
    """Serve both services on free ports of 127.0.0.1 until stdin closes or SIGTERM comes."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, over.set)

    def watch() -> None:
        if not os.read(_STDIN, 4096):
            loop.remove_reader(_STDIN)
            over.set()

    loop.add_reader(_STDIN, watch)
    runners, urls = [], []
    for app in (server.llm_app(), server.stt_app()):
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        host, port = runner.addresses[0][:2]
        urls.append(f"http://{host}:{port}")
    line = msgspec.json.encode(DemoAddresses(llm=urls[0], stt=urls[1], simulated=True))
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
    await over.wait()
    for runner in runners:
        await runner.cleanup()


def main() -> None:
    """Parse the flags and serve."""
    parser = argparse.ArgumentParser(description="SIMULATED endpoints for the demo of gpu-tui.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--utilization", type=float, default=0.5)
    usual = Delays()
    parser.add_argument("--ttft-ms", type=float, default=usual.ttft_s * 1000)
    parser.add_argument("--itl-ms", type=float, default=usual.itl_s * 1000)
    parser.add_argument("--stt-ms", type=float, default=usual.stt_s * 1000)
    args = parser.parse_args()
    delays = Delays(ttft_s=args.ttft_ms / 1000, itl_s=args.itl_ms / 1000, stt_s=args.stt_ms / 1000)
    asyncio.run(serve(DemoServer(delays, args.seed, args.utilization)))


if __name__ == "__main__":
    main()
