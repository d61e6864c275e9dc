"""NVIDIA's AIPerf as a second pair of eyes: the same load on the same server, its figures from its own record.

Install it into an environment of its own (``pip install aiperf``) and name its command. It needs a tokenizer for its
prompts; to need no network it gets one of single bytes, and counts answers as the server does.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gpu_tui.core.summary import LatencySummary, summarize


@dataclass(frozen=True)
class Figures:
    """What it told, in ms."""

    n: int
    ttft: LatencySummary | None
    itl: LatencySummary | None
    """Gaps between chunks, all of them; what it calls inter chunk latency."""
    tpot: LatencySummary | None
    """One mean an answer; what it calls inter token latency."""


class Aiperf:
    """Args: command: path of ``aiperf``."""

    def __init__(self, command: str) -> None:
        self._command = command

    def measure(self, url: str, *, concurrency: int, count: int) -> Figures:
        """Send `count` requests after `concurrency` to warm up, in a closed loop."""
        with tempfile.TemporaryDirectory() as folder:
            tokenizer, out = Path(folder, "tokenizer"), Path(folder, "out")
            _write_tokenizer(tokenizer)
            load = ["--concurrency", concurrency, "--request-count", count, "--warmup-request-count", concurrency]
            sizes = ["--isl", 200, "--osl", 64, "--tokenizer", tokenizer, "--use-server-token-count"]
            server = ["--model", "known-delays", "--url", url, "--endpoint-type", "chat", "--streaming"]
            more = ["--artifact-dir", out, "--ui", "none", "--export-level", "records"]
            subprocess.run(
                [self._command, "profile", *map(str, [*server, *load, *sizes, *more])],
                env={**os.environ, "HOME": folder},
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
                timeout=300,
            )
            return _read(next(out.rglob("profile_export.jsonl")))


def _read(file: Path) -> Figures:
    records = [json.loads(line) for line in file.read_text().splitlines()]
    good = [r["metrics"] for r in records if r["metadata"]["benchmark_phase"] == "profiling" and not r.get("error")]

    def values(name: str) -> list[float]:
        told = [metrics[name]["value"] for metrics in good if name in metrics]
        return [value for one in told for value in (one if isinstance(one, list) else [one])]

    return Figures(
        n=len(good),
        ttft=summarize(values("time_to_first_token")),
        itl=summarize(values("inter_chunk_latency")),
        tpot=summarize(values("inter_token_latency")),
    )


def _write_tokenizer(folder: Path) -> None:
    """A tokenizer of single bytes, in the format of Hugging Face."""
    folder.mkdir()
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    signs = [chr(byte) for byte in plain] + [chr(256 + index) for index in range(len(others))]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    end = {"id": 256, "content": "<end>", "special": True}
    sides = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    vocabulary = {sign: number for number, sign in enumerate(signs)} | {"<end>": 256}
    model = {"type": "BPE", "vocab": vocabulary, "merges": []}
    whole = {
        "version": "1.0",
        "added_tokens": [end | sides],
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": model,
    }
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<end>", "model_max_length": 1_000_000}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
