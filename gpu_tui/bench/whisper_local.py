"""A Whisper model of the user's own, measured without a server: faster-whisper in a child process of the measuring one.

A transcription is stamped where an HTTP one is: when it is asked for, on this side of the pipe, and when its whole
transcript was there, on the other. Loading is no part of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

import msgspec

from gpu_tui.bench import oom
from gpu_tui.bench.client import ProbeFailure
from gpu_tui.bench.plan import MeasurePlan
from gpu_tui.bench.shapes import LocalModel
from gpu_tui.bench.untrusted import shown
from gpu_tui.bench.whisper_folder import NOT_INSTALLED
from gpu_tui.bench.whisper_worker import Answer, Failed, Order, Ready, Said
from gpu_tui.bench.workload import Clip
from gpu_tui.clock import Clock
from gpu_tui.core.timings import SttTimings

MAX_WORKERS = 8
"""Transcriptions at once: each worker of CTranslate2 takes memory of its own. What is beyond them waits its turn, as in
a server, and the wait counts."""
LOAD_TIMEOUT_S = 300.0
"""A large model from a slow disk."""
_STDERR_TAIL = 4096
_MAX_LINE = 1024 * 1024
_LOCAL = "The local Whisper"

_decoder: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Said)


class LocalWhisper:
    """The model in its process; use as a context manager. Leaving the block ends the process, however it is left.

    Args:
        plan: folder, device and load.
        folder: of the model.
        clip: what is transcribed.
        clock: must be the machine's own, which the process shares.
    """

    def __init__(self, plan: MeasurePlan, folder: str, clip: Clip, clock: Clock) -> None:
        self._plan = plan
        self._folder = folder
        self._clip = clip
        self._now = clock.monotonic
        self._workers = min(plan.concurrency, MAX_WORKERS)
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._asked = 0
        self._stderr = b""
        self._over: ProbeFailure | None = None

    async def __aenter__(self) -> LocalWhisper:
        """Start the process and hand over folder and clip."""
        environment = dict(os.environ)
        if self._plan.stt_gpu is not None:
            environment.setdefault("CUDA_VISIBLE_DEVICES", self._plan.stt_gpu)
        pipe = subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gpu_tui.bench.whisper_worker",
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            limit=_MAX_LINE,
            env=environment,
        )
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._keep_stderr())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()  # it holds nothing that wants to be put away
        await process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._give_up(ProbeFailure("closed_early", f"{_LOCAL} was ended."))

    async def load(self) -> LocalModel:
        """Wait until the model is loaded.

        Raises:
            ProbeFailure: it cannot be; `kind` says why.
        """
        order = Order(
            model=self._folder, device=self._plan.stt_device, workers=self._workers, wav_bytes=len(self._clip.wav)
        )
        await self._write(msgspec.json.encode(order) + b"\n" + self._clip.wav)
        try:
            ready = await asyncio.wait_for(asyncio.shield(self._ready), LOAD_TIMEOUT_S)
        except TimeoutError:
            message = f"The model was not loaded within {LOAD_TIMEOUT_S:.0f} s."
            raise ProbeFailure("timeout", message, "Name a smaller one.") from None
        return LocalModel(
            load_s=round(ready.load_s, 3),
            device=_safe(ready.device),
            compute_type=_safe(ready.compute_type),
            version=_safe(ready.version),
            workers=self._workers,
        )

    async def transcribe(self) -> SttTimings:
        """The stamps of one transcript.

        Raises:
            ProbeFailure: there was none; `kind` says why.
        """
        return (await self.hear())[0]

    async def hear(self) -> tuple[SttTimings, str]:
        """The stamps of one transcript, and the transcript.

        Raises:
            ProbeFailure: there was none; `kind` says why.
        """
        if self._over is not None:
            raise self._over
        number, self._asked = self._asked, self._asked + 1
        answered = self._waiting[number] = asyncio.get_running_loop().create_future()
        started = self._now()
        try:
            await self._write(b"%d\n" % number)
            answer = await asyncio.wait_for(answered, self._plan.timeout_s)
        except TimeoutError:
            remedy = "Raise --timeout, or lower --concurrency."
            raise ProbeFailure("timeout", f"{_LOCAL} did not answer in time.", remedy) from None
        finally:
            self._waiting.pop(number, None)
        audio_s = self._clip.audio_s
        return SttTimings(queued=started, started=started, ended=answer.ended, audio_s=audio_s), answer.text

    async def _write(self, data: bytes) -> None:
        assert self._process is not None  # noqa: S101 - started by the block
        assert self._process.stdin is not None  # noqa: S101 - asked for there
        # A process that has died is told by the end of what it says.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(data)
            await self._process.stdin.drain()

    async def _listen(self) -> None:
        assert self._process is not None  # noqa: S101 - started by the block
        assert self._process.stdout is not None  # noqa: S101 - asked for there
        try:
            while line := await self._process.stdout.readline():
                self._take(_decoder.decode(line))
        except (ValueError, msgspec.DecodeError):
            self._process.kill()
            self._give_up(ProbeFailure("bad_answer", f"{_LOCAL} said something unreadable."))
            return
        code = await self._process.wait()
        await self._tasks[1]
        self._give_up(self._died(code))

    def _take(self, said: Said) -> None:
        if isinstance(said, Ready):
            _settle(self._ready, lambda: self._ready.set_result(said))
        elif isinstance(said, Answer):
            if (answered := self._waiting.get(said.number)) is not None:
                _settle(answered, lambda: answered.set_result(said))
        elif said.number is None:
            self._give_up(_failure(said))
        elif (failed := self._waiting.get(said.number)) is not None:
            _settle(failed, lambda: failed.set_exception(_failure(said)))

    def _give_up(self, failure: ProbeFailure) -> None:
        """Nothing will be answered any more; the first reason is the reason."""
        self._over = self._over or failure
        futures: list[asyncio.Future[Any]] = [self._ready, *self._waiting.values()]
        for one in futures:
            if not one.done():
                one.set_exception(self._over)
                one.exception()  # seen, also where nobody waits any more

    def _died(self, code: int) -> ProbeFailure:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        text = self._stderr.decode("utf-8", "replace")
        said = shown(text, _STDERR_TAIL)[-200:]
        kind = "oom" if oom.PATTERN.search(text) else "closed_early"
        message = f"{_LOCAL} ended ({how}){': ' + said.rstrip('.') if said else ''}."
        failure = ProbeFailure(kind, message, _REMEDIES.get(kind, _BY_CPU))
        failure.server_spoke = kind == "oom"
        return failure

    async def _keep_stderr(self) -> None:
        assert self._process is not None  # noqa: S101 - started by the block
        assert self._process.stderr is not None  # noqa: S101 - asked for there
        while data := await self._process.stderr.read(_STDERR_TAIL):
            self._stderr = (self._stderr + data)[-_STDERR_TAIL:]


def _settle(future: asyncio.Future[Ready] | asyncio.Future[Answer], how: Callable[[], None]) -> None:
    if not future.done():
        how()


def _safe(text: str | None) -> str | None:
    return None if text is None else shown(text, 60)


def _failure(said: Failed) -> ProbeFailure:
    if said.kind == "not_installed":
        return ProbeFailure("not_installed", *NOT_INSTALLED)
    text = shown(said.message).rstrip(".")
    what = f"{_LOCAL} could not be loaded" if said.number is None else f"{_LOCAL} failed"
    kind = "oom" if said.kind == "oom" else "server_error"
    return ProbeFailure(kind, f"{what}: {text}.", _REMEDIES.get(kind, ""))


_BY_CPU = "Try --stt-device cpu."
_REMEDIES = {
    "oom": "Free GPU memory, name a smaller model, or add --stt-device cpu.",
    "server_error": "Check the folder, or try --stt-device cpu.",
}
