"""``python -m gpu_tui.cli.sampler``: reads the GPU again and again beside a measurement; started by `sampling` alone.

A process of its own, because a reading takes milliseconds of CPU: on a thread of the process that sends the load they
would count as latency. It ends when its standard input closes, so that it never outlives who started it.

One line of JSON comes in, the options; one goes out for each reading: the fields of `MachineSample`, and which GPU of
which source it is about. A reading that failed has its instant and nothing else.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpu_tui import wiring
from gpu_tui.clock import SystemClock
from gpu_tui.config import Settings
from gpu_tui.core.machine_series import MachineSample, sample_of
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import GpuTuiError
from gpu_tui.telemetry.poller import Poller, Reading


def options_line(options: wiring.Options) -> bytes:
    """The options as `options_of_line` reads them."""
    return json.dumps(asdict(options), default=str).encode() + b"\n"


def options_of_line(line: bytes) -> wiring.Options:
    """The options of the parent's command line."""
    told: dict[str, Any] = json.loads(line)
    told["config"] = None if told["config"] is None else Path(told["config"])
    told["overrides"] = {key: (flag, value) for key, (flag, value) in told["overrides"].items()}
    return wiring.Options(**told)


class Sampling:
    """Turns readings into lines."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rules = wiring.classifier(settings)
        self._gpu: str | None = None

    def line(self, reading: Reading) -> bytes:
        """The line of a reading."""
        snapshot = reading.snapshot
        if snapshot is None or (gpu := self._chosen(snapshot)) is None:
            return _line(MachineSample(at_s=reading.finished), {})
        seen = snapshot.gpu(gpu)
        about = {
            "gpu": gpu,
            "source": snapshot.source,
            "simulated": snapshot.simulated,
            "total_bytes": None if seen is None else seen.total_bytes,
        }
        return _line(sample_of(snapshot, gpu, self._rules, self._settings.restarts), about)

    def _chosen(self, snapshot: Snapshot) -> str | None:
        """The GPU the run is about, settled at the first reading that tells it."""
        if self._gpu is None:
            try:
                self._gpu = wiring.choose_gpus(snapshot, self._settings, self._rules)[0].key
            except GpuTuiError:
                return None  # it was settled before the run began: a device that is gone just now is unknown
        return self._gpu


def _line(sample: MachineSample, about: Mapping[str, Any]) -> bytes:
    return json.dumps({**asdict(sample), **about}).encode() + b"\n"


def main() -> None:
    """Sample until standard input closes."""
    options = options_of_line(sys.stdin.buffer.readline())
    settings, clock = wiring.load_settings(options), SystemClock()
    sampling = Sampling(settings)

    def tell(reading: Reading) -> None:
        try:
            os.write(1, sampling.line(reading))
        except OSError:
            os._exit(0)  # whoever wanted them is gone

    source = wiring.open_source(options, settings, clock)
    poller = Poller(source, tell, interval_s=settings.interval_s, clock=clock)
    poller.start()
    sys.stdin.buffer.read()
    os._exit(0)  # a driver that hangs may hang at exit as well


if __name__ == "__main__":
    main()
