"""Watches the GPU while a headless measurement runs, by a process of its own; see `gpu_tui.cli.sampler`."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gpu_tui.cli.sampler import options_line

if TYPE_CHECKING:
    from gpu_tui.bench.events import Summary
    from gpu_tui.wiring import Options

FIRST_S = 5.0
"""Longest the load waits for the first sample: before it, the sampler's own start would disturb what is measured."""
END_S = 0.5
"""Longest the sampler may take to leave; then it is killed."""
MOST_LINES = 100_000
"""Of a run that lasts for days every second one is dropped, and again: 30 MB are enough."""


class Sampler:
    """Samples from entering the block until leaving it. What goes wrong with it costs the series, never the figures.

    Args:
        options: which machine.
        interval_s: for the record; the sampler reads its own settings.
    """

    def __init__(self, options: Options, interval_s: float) -> None:
        self._options = options
        self._interval_s = interval_s
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: list[bytes] = []
        self._first = threading.Event()
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Sampler:
        command = (sys.executable, "-m", "gpu_tui.cli.sampler")
        pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
        with contextlib.suppress(OSError):
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere, start_new_session=True)
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(options_line(self._options))
                self._process.stdin.flush()
            self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
            self._reader.start()
            self._first.wait(FIRST_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the sampler; a second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader is not None:
            self._reader.join(END_S)
        if process.stdout is not None:
            process.stdout.close()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 - asked for above
        for line in process.stdout:
            self._lines.append(line)
            self._first.set()
            if len(self._lines) > MOST_LINES:
                del self._lines[1::2]
        self._first.set()

    def told(self, summary: Summary) -> Summary:
        """The summary with what was sampled over its run; as it was where nothing was."""
        import msgspec

        from gpu_tui.bench.machine_series import machine_series

        if summary.machine_series is not None or summary.began_monotonic_s is None or summary.lasted_s is None:
            return summary
        lines: list[dict[str, Any]] = [json.loads(line) for line in list(self._lines) if line.endswith(b"\n")]
        about = next((line for line in reversed(lines) if "gpu" in line), None)
        if about is None:
            return summary
        series = machine_series(
            [_sample(line) for line in lines],
            began=summary.began_monotonic_s,
            lasted_s=summary.lasted_s,
            phases=summary.interference.windows if summary.interference is not None else {},
            gpu=about["gpu"],
            source=about["source"],
            simulated=about["simulated"],
            interval_s=self._interval_s,
            total_bytes=about["total_bytes"],
        )
        return msgspec.structs.replace(summary, machine_series=series)


def _sample(line: dict[str, Any]) -> Any:
    from gpu_tui.core.machine_series import MachineSample

    return MachineSample(**{name: line[name] for name in ("at_s", "used_bytes", "utilization_pct", "services")})
