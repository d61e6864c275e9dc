"""faster-whisper in a process of its own: loads one model folder, then transcribes one clip as often as it is asked.

``python -m gpu_tui.bench.whisper_worker`` is started by `gpu_tui.bench.whisper_local` and speaks with it over pipes.
Its stdin brings one line of JSON (see `Order`), the clip's bytes, then a number a line for each transcription; its
stdout brings a `Ready`, then an `Answer` a line. It ends when its stdin closes, whatever it is doing. Nothing is
downloaded.
"""

from __future__ import annotations

import importlib
import io
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec

from gpu_tui.bench import oom
from gpu_tui.clock import SystemClock

MAX_MESSAGE = 2000
_MAX_LINE = 64 * 1024


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to load."""

    model: str
    """The folder."""
    device: str
    """``auto``, ``cpu`` or ``cuda``."""
    workers: int
    """Transcriptions at once; more are queued."""
    wav_bytes: int
    """Length of the clip that follows the line."""


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The model is loaded."""

    load_s: float
    """Importing the library and loading the model, in seconds."""
    device: str | None
    compute_type: str | None
    version: str | None
    """The library's."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag="answer"):
    """One transcription."""

    number: int
    ended: float
    """When the whole transcript was there, on the clock of `time.monotonic`, which all processes share."""
    text: str


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """A transcription, or the loading, brought nothing."""

    number: int | None
    """None: loading failed, and the process ends."""
    kind: str
    """``oom``, ``not_installed`` or ``failed``."""
    message: str


Said = Ready | Answer | Failed


class _Voice:
    """Writes whole lines, from several threads, to what was stdout: libraries that print then print to stderr."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "wb", buffering=0)
        self._lock = threading.Lock()
        os.dup2(2, 1)

    def say(self, said: Said) -> None:
        line = msgspec.json.encode(said) + b"\n"
        with self._lock:
            self._out.write(line)


def main() -> None:
    """Serve until stdin closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all of us; the parent ends this process
    os.environ["HF_HUB_OFFLINE"] = "1"
    voice, asked = _Voice(), queue.SimpleQueue[int]()
    stdin = sys.stdin.buffer
    line = stdin.readline(_MAX_LINE)
    if not line:
        return  # the parent has gone at once
    order = msgspec.json.decode(line, type=Order)
    wav = stdin.read(order.wav_bytes)
    threading.Thread(target=_listen, args=(stdin, asked), daemon=True).start()
    try:
        transcribe = _load(order, wav, voice)
    except Exception as error:  # noqa: BLE001 - a library's: told to the parent, which names it
        voice.say(_failed(None, error))
        sys.exit(1)
    for _ in range(order.workers):
        threading.Thread(target=_serve, args=(transcribe, asked, voice), daemon=True).start()
    threading.Event().wait()


def _listen(stdin: BinaryIO, asked: queue.SimpleQueue[int]) -> None:
    while line := stdin.readline(_MAX_LINE):
        asked.put(int(line))
    # The parent has gone, or wants no more. Threads inside the library hold up no other way of ending.
    os._exit(0)


def _load(order: Order, wav: bytes, voice: _Voice) -> Callable[[], str]:
    clock = SystemClock()
    began = clock.monotonic()
    library: Any = importlib.import_module("faster_whisper")
    model = library.WhisperModel(order.model, device=order.device, num_workers=order.workers, local_files_only=True)
    load_s = clock.monotonic() - began
    inner = getattr(model, "model", None)
    told = (getattr(inner, "device", None), getattr(inner, "compute_type", None), getattr(library, "__version__", None))
    device, compute_type, version = (one if isinstance(one, str) else None for one in told)
    voice.say(Ready(load_s=load_s, device=device, compute_type=compute_type, version=version))

    def transcribe() -> str:
        segments, _ = model.transcribe(io.BytesIO(wav))
        return "".join(segment.text for segment in segments)  # the segments are made as they are asked for

    return transcribe


def _serve(transcribe: Callable[[], str], asked: queue.SimpleQueue[int], voice: _Voice) -> None:
    clock = SystemClock()
    while True:
        number = asked.get()
        try:
            text = transcribe()
            said: Said = Answer(number=number, ended=clock.monotonic(), text=text)
        except Exception as error:  # noqa: BLE001 - a library's: told to the parent, which names it
            said = _failed(number, error)
        voice.say(said)


def _failed(number: int | None, error: Exception) -> Failed:
    text = f"{type(error).__name__}: {error}"[:MAX_MESSAGE]
    missing = isinstance(error, ModuleNotFoundError) and error.name == "faster_whisper"
    kind = "not_installed" if missing else "oom" if oom.PATTERN.search(text) else "failed"
    return Failed(number=number, kind=kind, message=text)


if __name__ == "__main__":
    main()
