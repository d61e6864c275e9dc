"""This machine, now: NVML's devices joined with the processes that hold their memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

from gpu_tui.clock import Clock, SystemClock
from gpu_tui.core.snapshot import Fault, FaultKind, Gpu, ProcessInfo, Snapshot
from gpu_tui.errors import SourceUnavailable
from gpu_tui.telemetry.nvml import Nvml
from gpu_tui.telemetry.processes import ProcessTable
from gpu_tui.telemetry.procfs import NOT_IN_NAMESPACE, in_wsl

_FOREIGN_REMEDY = "Run gpu-tui on the host, or start the container with --pid=host."


class LiveSource:
    """A `TelemetrySource` over NVML and /proc."""

    def __init__(self, clock: Clock | None = None, nvml: Nvml | None = None, table: ProcessTable | None = None) -> None:
        """Nothing is touched before the first `read`, neither the driver nor /proc's processes."""
        self._clock = clock if clock is not None else SystemClock()
        self.nvml = nvml if nvml is not None else Nvml(self._clock)
        self.table = table if table is not None else ProcessTable(self._clock)
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
        processes = self.table.read(pids)
        gpus = reading.gpus
        if not self.table.own_namespace:
            gpus = tuple(with_foreign_pids(gpu, processes) for gpu in gpus)
        return Snapshot(
            taken_at=wall,
            taken_monotonic=monotonic,
            source="nvml",
            source_detail=f"NVML {reading.nvml_version}" if reading.nvml_version else "NVML",
            simulated=False,
            gpus=gpus,
            processes=processes,
            driver_version=reading.driver_version,
            missing=self._missing(),
        )

    def _missing(self) -> tuple[str, ...]:
        refused = self.table.places.containers.refused
        told = [
            f"{path} could not be read ({why}); run as root to name its containers." for path, why in refused.items()
        ]
        if not self.table.own_namespace:
            told.append(
                "This pid namespace is not the machine's own: processes outside of it cannot be seen; "
                "run on the host, or with --pid=host."
            )
        if self._wsl:
            told.append("This is WSL: the driver does not tell processes apart; read the GPU from Windows.")
        return tuple(told)


def with_foreign_pids(gpu: Gpu, processes: Mapping[int, ProcessInfo]) -> Gpu:
    """`gpu` with a fault when, seen from a container, its pids cannot be found or it names none although used."""
    rows = gpu.processes
    if rows is None:
        return gpu
    strangers = sum(1 for row in rows if processes[row.pid].problem == NOT_IN_NAMESPACE)
    if strangers:
        which = "the one pid" if len(rows) == 1 else f"{strangers} of the {len(rows)} pids"
        message = f"GPU {gpu.index}: {which} the driver names cannot be seen from this container."
    elif not rows and gpu.used_bytes:
        message = f"GPU {gpu.index} is in use and the driver names no process, as it does inside a container."
    else:
        return gpu
    fault = Fault(kind=FaultKind.FOREIGN_PIDS, message=message, remedy=_FOREIGN_REMEDY)
    return replace(gpu, faults=(*gpu.faults, fault))
