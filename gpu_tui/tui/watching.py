"""What the readings of the machine say during a run. The app reads anyway: a run costs no reading more."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from gpu_tui.core.machine_series import MachineSample, sample_of
from gpu_tui.core.services import Classifier
from gpu_tui.telemetry.poller import Reading

if TYPE_CHECKING:
    from gpu_tui.bench.events import Summary
    from gpu_tui.core.snapshot import Snapshot

MOST = 100_000
"""Samples of one run: a day at one a second; of a longer one the last."""


class RunWatch:
    """Samples one GPU from `begin` until `told`."""

    def __init__(self) -> None:
        self._gpu: str | None = None
        self._rules: Classifier | None = None
        self._restarts: int | None = None
        self._interval_s = 1.0
        self._samples: deque[MachineSample] = deque(maxlen=MOST)
        self._last: Snapshot | None = None

    def begin(self, gpu: str | None, rules: Classifier, restarts: int | None, interval_s: float) -> None:
        """Watch this GPU, by its `Gpu.key`, from now on; None watches none."""
        self._gpu, self._rules, self._restarts, self._interval_s = gpu, rules, restarts, interval_s
        self._samples.clear()
        self._last = None

    def see(self, reading: Reading) -> None:
        """Take a reading; one that failed is an instant at which all is unknown."""
        if self._gpu is None or self._rules is None:
            return
        if reading.snapshot is None:
            self._samples.append(MachineSample(at_s=reading.finished))
            return
        self._last = reading.snapshot
        self._samples.append(sample_of(reading.snapshot, self._gpu, self._rules, self._restarts))

    def told(self, summary: Summary) -> Summary:
        """The summary with what was seen during its run; as it was where nothing was."""
        import msgspec

        from gpu_tui.bench.machine_series import machine_series

        gpu, last, self._gpu = self._gpu, self._last, None
        if gpu is None or last is None or summary.began_monotonic_s is None or summary.lasted_s is None:
            return summary
        device = last.gpu(gpu)
        series = machine_series(
            list(self._samples),
            began=summary.began_monotonic_s,
            lasted_s=summary.lasted_s,
            phases=summary.interference.windows if summary.interference is not None else {},
            gpu=gpu,
            source=last.source,
            simulated=last.simulated,
            interval_s=self._interval_s,
            total_bytes=None if device is None else device.total_bytes,
        )
        return msgspec.structs.replace(summary, machine_series=series)
