"""Model folders made by hand, and the environment in which a stand-in for faster-whisper is found."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

FAKE = Path(__file__).with_name("fake")


def variable(name: str, *dimensions: int) -> bytes:
    data = b"\0" * 8
    head = struct.pack("<H", len(name) + 1) + name.encode() + b"\0" + struct.pack("<B", len(dimensions))
    return head + struct.pack(f"<{len(dimensions)}I", *dimensions) + struct.pack("<BI", 0, len(data)) + data


def model_bin(width: int = 384, layers: int = 4, vocabulary: int = 51864, spec: str = "WhisperSpec") -> bytes:
    """What CTranslate2 writes, with next to no weights."""
    variables = [variable("decoder/activation"), variable("decoder/embeddings/weight", vocabulary, width)]
    variables += [variable(f"decoder/layer_{n}/ffn/linear_0/bias", width) for n in range(layers)]
    head = struct.pack("<I", 6) + struct.pack("<H", len(spec) + 1) + spec.encode() + b"\0"
    return head + struct.pack("<II", 3, len(variables)) + b"".join(variables)


def folder(at: Path, **shape: Any) -> Path:
    at.mkdir(exist_ok=True)
    (at / "model.bin").write_bytes(model_bin(**shape))
    (at / "tokenizer.json").write_text("{}")
    return at


def environment(**does: Any) -> dict[str, str]:
    """For a child that is to load the stand-in, which then does so."""
    return {"PYTHONPATH": str(FAKE), "FAKE_WHISPER": json.dumps(does)}


def whole_environment(**does: Any) -> dict[str, str]:
    return os.environ | environment(**does)
