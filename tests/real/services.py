"""Starts the real servers for tests: vLLM on the CPU with any model and flags, and faster-whisper-server.

    with start_vllm(installed, installed.smollm2, folder=tmp_path) as server:      # real weights
        server.url, server.pid, server.worker, server.log(), server.metrics(), server.cache_config()

    model = dummy_model(tmp_path / "model", {"model_type": "qwen2", …}, tokenizer_of=installed.smollm2)
    with start_vllm(installed, model, "--load-format", "dummy", "--max-model-len", "4096", folder=tmp_path) as server:
        server.kv_cache_tokens, server.blocks, server.block_size                   # no request needed

A server that does not come up fails the test with the end of its log.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.real.installing import Installed

SMOLLM2 = "SmolLM2-135M-Instruct"
START_S = 300.0
"""Longest a server may take until it answers; vLLM needs 20 s to 60 s on two cores."""
_PR_SET_PDEATHSIG = 1
_LOG_LINES = 60


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    process: subprocess.Popen[bytes]
    port: int
    log_path: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process that listens."""
        return self.process.pid

    def log(self) -> str:
        """All it has written so far."""
        return self.log_path.read_text(errors="replace")

    def get(self, path: str) -> str:
        """The body of a page."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=30) as answer:
            text: str = answer.read().decode()
        return text

    def connections(self) -> list[str]:
        """Established connections to its port, by the address of the other side."""
        found = psutil.Process(self.pid).net_connections(kind="tcp")
        here = [one for one in found if one.status == psutil.CONN_ESTABLISHED and one.laddr.port == self.port]
        return [f"{one.raddr.ip}:{one.raddr.port}" for one in here]


@dataclass(frozen=True)
class Vllm(Server):
    """A vLLM server and its engine."""

    model: str

    @property
    def family(self) -> list[psutil.Process]:
        """Engine and workers, from the top down."""
        return psutil.Process(self.pid).children(recursive=True)

    @property
    def worker(self) -> int:
        """The process that holds weights and KV cache: two generations below the server, under vLLM's own title."""
        return next(one.pid for one in self.family if one.name().startswith("VLLM::Worker"))

    def metrics(self) -> str:
        """Its ``/metrics``."""
        return self.get("/metrics")

    def metric(self, name: str) -> float:
        """The sum of a metric's samples, such as ``vllm:num_requests_running``."""
        samples = re.findall(rf"(?m)^{re.escape(name)}(?:\{{[^\n]*\}})? (\S+)$", self.metrics())
        assert samples, f"no {name} in /metrics"
        return sum(map(float, samples))

    def cache_config(self) -> dict[str, str]:
        """The labels of ``vllm:cache_config_info``: how vLLM itself laid its cache out."""
        found = re.search(r"(?m)^vllm:cache_config_info\{(.*)\} ", self.metrics())
        assert found, "no vllm:cache_config_info in /metrics"
        return dict(re.findall(r'(\w+)="([^"]*)"', found[1]))

    @property
    def kv_cache_tokens(self) -> int:
        """``… KV cache size: N tokens`` of its log."""
        found = re.search(r"KV cache size: ([\d,]+) tokens", self.log())
        assert found, f"no KV cache size in the log:\n{_end(self.log())}"
        return int(found[1].replace(",", ""))

    @property
    def blocks(self) -> int:
        """Blocks of its KV cache."""
        return int(self.cache_config()["num_gpu_blocks"])

    @property
    def block_size(self) -> int:
        """Tokens in a block."""
        return int(self.cache_config()["block_size"])


def dummy_model(folder: Path, config: Mapping[str, Any], *, tokenizer_of: Path) -> Path:
    """A folder that vLLM serves with ``--load-format dummy``: any `config.json`, somebody's tokenizer, no weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tokenizer_of / name, folder / name)
    return folder


@contextmanager
def start_vllm(
    installed: Installed,
    model: Path,
    *flags: str,
    folder: Path,
    name: str = SMOLLM2,
    utilization: float = 0.5,
    kv_cache_gib: int = 1,
    env: Mapping[str, str] | None = None,
) -> Iterator[Vllm]:
    """``vllm serve`` as an operator starts it, until the block ends.

    Args:
        model: folder with the model.
        flags: more of ``vllm serve``'s; a later one wins.
        folder: where its log goes.
        name: what it calls the model.
        utilization: its ``--gpu-memory-utilization``. The CPU build takes the cache's size from `kv_cache_gib`.
        env: more variables.
    """
    port = free_port()
    argv = [str(installed.vllm), "serve", str(model), "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--served-model-name", name, "--gpu-memory-utilization", f"{utilization:.2f}"]
    argv += ["--enforce-eager", "--dtype", "bfloat16", *flags]
    own = {"VLLM_TARGET_DEVICE": "cpu", "VLLM_CPU_KVCACHE_SPACE": str(kv_cache_gib), "VLLM_HOST_IP": "127.0.0.1"}
    own |= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", **(env or {})}
    log = folder / f"vllm-{port}.log"
    with _running(installed, argv, own, log) as process:
        server = Vllm(process, port, log, name)
        _wait(server, "/health")
        yield server


@contextmanager
def start_whisper(installed: Installed, *, folder: Path) -> Iterator[Server]:
    """faster-whisper-server with Whisper tiny.en, until the block ends."""
    port = free_port()
    argv = [str(installed.whisper_server), str(installed.whisper_model), "--host", "127.0.0.1", "--port", str(port)]
    log = folder / f"whisper-{port}.log"
    with _running(installed, argv, {}, log) as process:
        server = Server(process, port, log)
        _wait(server, "/openapi.json")
        yield server


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


@contextmanager
def _running(
    installed: Installed, argv: Sequence[str], env: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a session of its own, ended with all its children; it also ends with this process."""
    # The test's own environment is left out: it belongs to the product (a stand-in driver, folders that go).
    full = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "HOME": str(installed.home)}
    # One thread each: on two cores, threads that spin for each other cost the services and gpu-tui more than they give.
    full |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **env}
    with log.open("wb") as out:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=full,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
    try:
        yield process
    finally:
        _end_group(process)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, left = psutil.wait_procs(family, timeout=10)
    for one in left:
        one.kill()


def _wait(server: Server, path: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        code = server.process.poll()
        assert code is None, f"the server ended with {code}:\n{_end(server.log())}"
        try:
            server.get(path)
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"the server does not answer after {START_S:.0f} s:\n{_end(server.log())}")


def _end(log: str) -> str:
    return "\n".join(log.splitlines()[-_LOG_LINES:])
