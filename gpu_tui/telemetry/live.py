"""This machine, now: NVML's devices joined with the processes that hold their memory."""

from __future__ import annotations

import threading

from gpu_tui.clock import Clock, SystemClock
from gpu_tui.core.snapshot import FaultKind, Snapshot
from gpu_tui.errors import SourceUnavailable
from gpu_tui.telemetry.foreign import OwnPids, Told, with_foreign_pids
from gpu_tui.telemetry.nvml import Nvml
from gpu_tui.telemetry.processes import ProcessTable
from gpu_tui.telemetry.procfs import in_wsl


class LiveSource:
    """A `TelemetrySource` over NVML and /proc."""

    def __init__(self, clock: Clock | None = None, nvml: Nvml | None = None, table: ProcessTable | None = None) -> None:
        """Nothing is touched before the first `read`, neither the driver nor /proc's processes."""
        self._clock = clock if clock is not None else SystemClock()
        self.nvml = nvml if nvml is not None else Nvml(self._clock)
        self.table = table if table is not None else ProcessTable(self._clock)
        self._own_pids = OwnPids()
        self._wsl = in_wsl()
        self._busy = threading.Lock()

    def read(self) -> Snapshot:
        """The machine now.

        Raises:
            SourceUnavailable: NVML cannot be used (a later call tries again), or another thread's call has not come
                back yet.
        """
        if not self._busy.acquire(blocking=False):
            raise SourceUnavailable(
                "The last call to the NVIDIA driver has not come back.",
                "Look for Xid lines in dmesg; readings go on when it returns.",
                kind=FaultKind.TIMEOUT.value,
            )
        try:
            return self._read()
        finally:
            self._busy.release()

    def close(self) -> None:
        """Shut NVML down and give descriptors back; a call that hangs is left alone."""
        if not self._busy.acquire(blocking=False):
            return
        try:
            self.nvml.close()
            self.table.close()
        finally:
            self._busy.release()

    def _read(self) -> Snapshot:
        reading = self.nvml.read()
        wall, monotonic = self._clock.wall(), self._clock.monotonic()
        pids = {row.pid for gpu in reading.gpus for row in gpu.processes or ()}
        told, gpus = Told(processes=self.table.read(pids)), reading.gpus
        if not self.table.own_namespace:
            told = self._own_pids.tell(pids, told.processes)
            gpus = tuple(with_foreign_pids(gpu, told.processes) for gpu in gpus)
        return Snapshot(
            taken_at=wall,
            taken_monotonic=monotonic,
            source="nvml",
            source_detail=f"NVML {reading.nvml_version}" if reading.nvml_version else "NVML",
            simulated=False,
            gpus=gpus,
            processes=told.processes,
            driver_version=reading.driver_version,
            evidence=told.evidence,
            missing=(*self._missing(), *told.missing),
        )

    def _missing(self) -> tuple[str, ...]:
        refused = self.table.places.containers.refused
        told = [
            f"{path} could not be read ({why}); run as root to name its containers." for path, why in refused.items()
        ]
        if self._wsl:
            told.append("This is WSL: the driver does not tell processes apart; read the GPU from Windows.")
        return tuple(told)
