"""One transcription of a clip, stamped at the socket. A failure is raised with its name, never timed."""

from __future__ import annotations

from typing import Any, Protocol

import aiohttp
import msgspec

from gpu_tui.bench.client import Caller, ProbeFailure, told
from gpu_tui.bench.workload import Clip
from gpu_tui.clock import Clock
from gpu_tui.core.timings import SttTimings

PATH = "/v1/audio/transcriptions"


class Listens(Protocol):
    """Something that transcribes one clip: a server, or a local model."""

    async def transcribe(self) -> SttTimings:
        """The stamps of one transcript.

        Raises:
            ProbeFailure: there was none; `kind` says why.
        """
        ...

    async def hear(self) -> tuple[SttTimings, str]:
        """The stamps of one transcript, and the transcript, which is untrusted.

        Raises:
            ProbeFailure: there was none; `kind` says why.
        """
        ...


class SttProbe:
    """Posts one clip at a time; use several tasks for load.

    Args:
        url: root of the service.
        timeout_s: longest a request may take, from start to end.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        clock: Clock,
        *,
        url: str,
        model: str | None,
        clip: Clip,
        timeout_s: float,
        key: str | None = None,
    ) -> None:
        self._caller = Caller(session, clock, base=url, path=PATH, timeout_s=timeout_s, key=key)
        self._model = model
        self._clip = clip

    async def transcribe(self) -> SttTimings:
        """The stamps of one transcript.

        Raises:
            ProbeFailure: there was none; `kind` says why.
        """
        return (await self.hear())[0]

    async def hear(self) -> tuple[SttTimings, str]:
        """The stamps of one transcript, and the transcript, which is untrusted.

        Raises:
            ProbeFailure: there was none; `kind` says why.
        """
        async with self._caller.post(self._form()) as exchange:
            body, ended = await exchange.whole()
        text = _text(body, self._caller.key)
        queued, started = exchange.queued, exchange.started
        return SttTimings(queued=queued, started=started, ended=ended, audio_s=self._clip.audio_s), text

    def _form(self) -> aiohttp.FormData:
        form = aiohttp.FormData()
        form.add_field("file", self._clip.wav, filename=self._clip.name, content_type="audio/wav")
        form.add_field("response_format", "json")
        if self._model is not None:
            form.add_field("model", self._model)
        return form


def _text(body: bytes, key: str | None) -> str:
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ProbeFailure("bad_json", "The answer is not JSON.") from None
    if isinstance(answer, dict) and answer.get("error") is not None:
        raise told(body, "server_error", key)
    # Empty text is a transcript too: what the model heard is not what is measured.
    text = answer.get("text") if isinstance(answer, dict) else None
    if not isinstance(text, str):
        raise ProbeFailure("bad_answer", "The answer is not a transcript.")
    return text
