"""The instances of a GPU that is partitioned with MIG, each as a device of its own; nvml.h, "Multi Instance GPU"."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gpu_tui.core.snapshot import Gpu, MigInstance
from gpu_tui.telemetry import nvml_faults as faults
from gpu_tui.telemetry.nvml_device import Call, Device, DeviceLostError, Trouble
from gpu_tui.telemetry.nvml_faults import NvmlCode

_ABSENT = faults.UNSUPPORTED | faults.LOST | {NvmlCode.NOT_FOUND, NvmlCode.INVALID_ARGUMENT}
"""Nothing stands at this place of the device, or no longer."""


class Instances:
    """Those of one device. Made and destroyed while we look: their handles are asked for at every reading."""

    def __init__(self, call: Call, error_type: type[Exception], parent: Device) -> None:
        self._call = call
        self._error_type = error_type
        self._parent = parent
        self._known: dict[tuple[int, str], tuple[Device, MigInstance]] = {}

    def read(self, whole: Gpu) -> tuple[Gpu, ...]:
        """Its instances now, in NVML's order; none where MIG is off.

        Args:
            whole: the device itself, as it was just read.

        Raises:
            pynvml.NVMLError: NVML itself is over.
        """
        if not whole.mig_enabled:
            self._known.clear()
            return ()
        found: dict[tuple[int, str], tuple[Device, MigInstance]] = {}
        rows: list[Gpu] = []
        for number in range(self._count()):
            try:
                handle = self._call("nvmlDeviceGetMigDeviceHandleByIndex", self._parent.handle, number)
                # A handle may be given out again: the UUID tells whose it is.
                key = number, str(self._call("nvmlDeviceGetUUID", handle))
                device, which = found[key] = self._known.get(key) or self._described(handle, number)
                device.handle = handle
                rows.append(self._row(device, which, whole))
            except DeviceLostError:
                continue  # destroyed between two calls
            except self._error_type as error:
                if _code(error) not in _ABSENT:
                    raise
        self._known = found
        return tuple(rows)

    def _count(self) -> int:
        try:
            return int(self._call("nvmlDeviceGetMaxMigDeviceCount", self._parent.handle))
        except self._error_type as error:
            if _code(error) in faults.SESSION_OVER:
                raise
            return 0

    def _described(self, handle: Any, number: int) -> tuple[Device, MigInstance]:
        index = self._parent.index
        device = Device(self._call, self._error_type, index, handle=handle, label=f"{index}:{number}")
        trouble = Trouble(index)
        return device, MigInstance(
            number=number,
            parent_uuid=self._parent.uuid,
            gpu_instance=device.ask("GPU instance", trouble, "nvmlDeviceGetGpuInstanceId"),
            compute_instance=device.ask("compute instance", trouble, "nvmlDeviceGetComputeInstanceId"),
        )

    def _row(self, device: Device, which: MigInstance, whole: Gpu) -> Gpu:
        trouble = Trouble(f"{device.index}:{which.number}")
        memory = device.memory(trouble)
        processes, hidden = device.processes(trouble)
        return replace(
            whole,
            uuid=device.uuid,
            name=device.name,
            total_bytes=memory.total,
            used_bytes=memory.used,
            free_bytes=memory.free,
            reserved_bytes=memory.reserved,
            utilization_pct=None,  # NVML has none for an instance
            mig_enabled=None,
            mig=which,
            processes=processes,
            faults=tuple(trouble.faults() + hidden + device.memory_faults(memory)),
        )


def _code(error: Any) -> int:
    return int(error.value)
