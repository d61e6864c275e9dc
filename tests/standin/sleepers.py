"""Real processes that carry the pids: they look like the services and do nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.standin.building import Built

QWEN = "Qwen/Qwen2.5-7B-Instruct-AWQ"


@dataclass
class Started:
    """One started program and what it forked."""

    process: subprocess.Popen[str]
    child: int | None = None
    workers: list[int] = field(default_factory=list)
    forks: list[int] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.process.pid


@dataclass
class Vllm:
    """A server and its engine; with tensor parallelism the workers hold the memory."""

    server: int
    engine: int
    workers: list[int]
    started: Started


class Sleepers:
    """Starts them; all of them end with the `with` block, or with the test process."""

    def __init__(self, built: Built) -> None:
        self._program = built.sleeper
        self._started: list[Started] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        for started in self._started:
            _close(started)

    def start(
        self,
        argv: list[str],
        *,
        comm: str | None = None,
        child: str | None = None,
        workers: int = 0,
        forks: int = 0,
        rename: str | None = None,
        zombies: bool = False,
        log: int | None = None,
    ) -> Started:
        """Any process; see sleeper.c for the words. `log` is an open file that becomes its standard error."""
        env = {"SLEEPER_COMM": comm or Path(argv[0]).name, "SLEEPER_WORKERS": str(workers), "SLEEPER_FORKS": str(forks)}
        extra = {"SLEEPER_CHILD": child, "SLEEPER_RENAME": rename, "SLEEPER_ZOMBIES": "1" if zombies else None}
        env |= {key: value for key, value in extra.items() if value is not None}
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            argv, executable=self._program, env=env, stdin=pipe, stdout=pipe, stderr=log, text=True
        )
        started = Started(process)
        self._started.append(started)
        _read_pids(started, {"ready", "engine"} if child else {"ready"})
        return started

    def vllm(
        self,
        model: str = QWEN,
        port: int = 8000,
        utilization: float = 0.5,
        tensor_parallel: int = 1,
        *extra: str,
        log: int | None = None,
    ) -> Vllm:
        """``vllm serve`` as its console script runs, and its engine under the title that setproctitle leaves."""
        options = ["--port", str(port), "--gpu-memory-utilization", str(utilization), *extra]
        if tensor_parallel > 1:
            options += ["--tensor-parallel-size", str(tensor_parallel)]
        argv = ["/usr/bin/python3", "/usr/local/bin/vllm", "serve", model, *options]
        workers = tensor_parallel if tensor_parallel > 1 else 0
        started = self.start(argv, comm="vllm", child="VLLM::EngineCore", workers=workers, log=log)
        assert started.child is not None
        return Vllm(started.pid, started.child, started.workers, started)

    def ollama(self, port: int = 37053) -> int:
        """The runner, which holds the memory; `ollama serve` holds none."""
        argv = ["/usr/local/bin/ollama", "runner", "--ollama-engine", "--port", str(port)]
        return self.start(argv, comm="ollama").pid

    def kloros(self) -> int:
        """The voice assistant."""
        return self.start(["/usr/bin/python3", "-m", "kloros_voice"], comm="python3").pid

    def other(self, name: str = "Xorg") -> int:
        """A process that is none of the services."""
        return self.start([f"/usr/bin/{name}"], comm=name).pid

    def crowd(self, count: int) -> list[int]:
        """Many cheap ones, forked from one parent without exec."""
        return self.start(["/usr/bin/python3", "train.py"], comm="python3", forks=count).forks

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        """End one and wait until it is gone, or a zombie where nobody reaps it."""
        os.kill(pid, number)
        for started in self._started:
            if started.pid == pid:
                started.process.wait()
                return
        deadline = time.monotonic() + 30
        while alive(pid):
            assert time.monotonic() < deadline, f"process {pid} does not end"
            time.sleep(0.005)

    def rename(self, started: Started) -> None:
        """Let it take the title it was given as `rename`, and wait until it stands."""
        before = Path(f"/proc/{started.pid}/cmdline").read_bytes()
        os.kill(started.pid, signal.SIGUSR1)
        deadline = time.monotonic() + 30
        while Path(f"/proc/{started.pid}/cmdline").read_bytes() == before:
            assert time.monotonic() < deadline, "the title does not change"
            time.sleep(0.005)


def alive(pid: int) -> bool:
    """False for a zombie too."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _read_pids(started: Started, markers: set[str]) -> None:
    stdout = started.process.stdout
    assert stdout is not None
    while markers:
        line = stdout.readline()
        assert line, f"the sleeper ended with {started.process.wait()}"
        word, _, number = line.strip().partition(" ")
        if word == "child":
            started.child = int(number)
        elif word == "worker":
            started.workers.append(int(number))
        elif word == "fork":
            started.forks.append(int(number))
        else:
            markers.discard(word)


def _close(started: Started) -> None:
    process = started.process
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    if process.poll() is None:
        process.kill()
    process.wait()
