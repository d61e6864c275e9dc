"""A stand-in for faster-whisper, put on the PYTHONPATH of the process that loads it; FAKE_WHISPER says what it does."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

__version__ = "0.fake"

_does: dict[str, Any] = json.loads(os.environ.get("FAKE_WHISPER", "{}"))
if "pid_file" in _does:
    Path(_does["pid_file"]).write_text(str(os.getpid()))


class WhisperModel:
    def __init__(self, path: str, *, device: str, num_workers: int, local_files_only: bool) -> None:
        assert local_files_only
        assert os.environ["HF_HUB_OFFLINE"] == "1"
        os.write(1, b"a library that prints\n")
        time.sleep(_does.get("load_s", 0))
        _act(_does.get("load"))
        self.model = SimpleNamespace(device="cpu" if device == "auto" else device, compute_type="fake8")
        self._said = 0

    def transcribe(self, audio: BinaryIO) -> tuple[Any, None]:
        assert audio.read(4) == b"RIFF"
        self._said += 1
        number = self._said

        def segments() -> Any:
            os.write(1, b"a library that prints\n")
            # As in the real one the work is done while the segments are asked for.
            first = _does.get("first_s") if number == 1 else None
            time.sleep(_does.get("delay_s", 0) if first is None else first)
            _act(_does.get("then"))
            yield SimpleNamespace(text=" Turn on")
            yield SimpleNamespace(text=f" light {number}.")

        return segments(), None


def _act(what: str | None) -> None:
    if what is None:
        return
    kind, _, text = what.partition(":")
    if kind == "raise":
        raise RuntimeError(text)
    sys.stderr.write(text)
    sys.stderr.flush()
    os._exit(3)
