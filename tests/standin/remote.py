"""A `LiveSource` in a process of its own, which alone sees the stand-in: the real binding, asked from a test."""

from __future__ import annotations

import base64
import pickle
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import SourceUnavailable

_CHILD = """
import base64, pickle, sys
from gpu_tui.clock import SystemClock
from gpu_tui.errors import SourceUnavailable
from gpu_tui.telemetry.live import LiveSource
from gpu_tui.telemetry.nvml import Nvml
from gpu_tui.telemetry.processes import ProcessTable

clock = SystemClock()
retry_s, own_namespace = eval(sys.argv[1])
source = LiveSource(clock, Nvml(clock, retry_s), ProcessTable(clock, own_namespace=own_namespace))
for line in sys.stdin:
    try:
        answer = ("value", eval(line))
    except SourceUnavailable as error:
        answer = ("unavailable", (error.message, error.remedy, error.kind))
    except Exception as error:
        answer = ("error", repr(error))
    print(base64.b64encode(pickle.dumps(answer)).decode(), flush=True)
"""


class Remote:
    """A `TelemetrySource`; `ask` evaluates an expression over `source` (a LiveSource) in the child."""

    def __init__(self, env: dict[str, str], *, retry_s: float = 0.0, own_namespace: bool | None = None) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, repr((retry_s, own_namespace))],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._child.pid

    def ask(self, expression: str) -> Any:
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(expression + "\n")
        stdin.flush()
        line = stdout.readline()
        assert line, "the source's process has ended"
        kind, value = pickle.loads(base64.b64decode(line))
        if kind == "unavailable":
            message, remedy, fault = value
            raise SourceUnavailable(message, remedy, kind=fault)
        assert kind == "value", value
        return value

    def read(self) -> Snapshot:
        answer = self.ask("source.read()")
        assert isinstance(answer, Snapshot)
        return answer

    def close(self) -> None:
        self._child.kill()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()
        self._child.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self.close()
