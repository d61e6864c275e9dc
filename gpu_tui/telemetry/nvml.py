"""All GPUs through NVIDIA's own binding, with what to do when the driver goes away and comes back.

Knows nothing of processes beyond their pids. The binding (`pynvml`, of nvidia-ml-py) is imported at the first
reading, so that importing this module costs nothing and needs no driver.
"""

from __future__ import annotations

import ctypes
import importlib
from dataclasses import dataclass, replace
from typing import Any

from gpu_tui.clock import Clock
from gpu_tui.core.snapshot import Gpu
from gpu_tui.telemetry import nvml_faults as faults
from gpu_tui.telemetry.nvml_device import Device, DeviceLostError, unreadable
from gpu_tui.telemetry.nvml_faults import NvmlCode
from gpu_tui.telemetry.nvml_mig import Instances

RETRY_S = 5.0
"""How long after a loss NVML is started anew while other devices still answer (ours to choose: a start opens every
device, which on a machine without persistence mode takes a second or more); doubled up to `RETRY_MAX_S`."""
RETRY_MAX_S = 60.0


@dataclass(frozen=True, slots=True)
class NvmlReading:
    """What NVML answered at one instant."""

    gpus: tuple[Gpu, ...]
    driver_version: str | None
    nvml_version: str | None


@dataclass(frozen=True, slots=True)
class _Known:
    """Who stood at an index, for as long as it cannot be asked."""

    name: str
    uuid: str


class Nvml:
    """NVML as one thread uses it. Started at the first `read`, and anew after a loss."""

    def __init__(self, clock: Clock, retry_s: float = RETRY_S) -> None:
        self._clock = clock
        self._retry_s = retry_s
        self._delay = retry_s
        self._retry_at: float | None = None
        self._binding: Any = None
        self._running = False
        self._slots: list[Device | Gpu] = []
        self._instances: dict[int, Instances] = {}
        self._known: dict[int, _Known] = {}
        self._versions: tuple[str | None, str | None] = (None, None)
        self.calls = 0
        """Calls into the library so far, for the benchmark. A list of processes is two: its length, its rows."""
        self.starts = 0
        """How often NVML was started."""
        self.shutdown_problem: str | None = None
        """What NVML said when it last could not be shut down; it is started anew all the same."""

    def read(self) -> NvmlReading:
        """Every device now; one that cannot be read is a row with its fault.

        Raises:
            SourceUnavailable: NVML cannot be started, or lists no device. A later call tries again.
        """
        for last in (False, True):
            if not self._running or self._restart_due():
                self.close()
                self._start()
            try:
                gpus = self._read_slots()
            except self._binding.NVMLError as error:
                self.close()
                if error.value == NvmlCode.UNINITIALIZED and not last:
                    continue  # someone shut NVML down beside us, or the driver was reloaded
                raise faults.source_error(error) from error
            return NvmlReading(gpus, *self._versions)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Shut NVML down, if it runs; a later `read` starts it again."""
        if not self._running:
            return
        self._running = False
        self._slots = []
        try:
            self._call("nvmlShutdown")
            self.shutdown_problem = None
        except self._binding.NVMLError as error:
            self.shutdown_problem = faults.said(error)

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        self.calls += 1
        function = getattr(self._binding, name, None)
        if function is None:  # an older binding than the driver
            raise self._binding.NVMLError(NvmlCode.FUNCTION_NOT_FOUND)
        try:
            answer = function(*args, **options)
        except getattr(self._binding, "NVMLLibraryMismatchError", ()):
            answer = self._older(name, *args)
        if answer and isinstance(answer, list) and name.endswith("RunningProcesses"):
            self.calls += 1
        return answer

    def _older(self, name: str, *args: Any) -> Any:
        """Call by the version before the newest: for one that the driver lacks the binding raises what is no NVMLError.

        Lists of processes are such; their third version came with R510.
        """
        function = getattr(self._binding, f"{name}_v2", None)
        if function is None:
            raise self._binding.NVMLError(NvmlCode.FUNCTION_NOT_FOUND)
        return function(*args)

    def _restart_due(self) -> bool:
        return self._retry_at is not None and self._clock.monotonic() >= self._retry_at

    def _start(self) -> None:
        if self._binding is None:
            self._binding = importlib.import_module("pynvml")
        error_type = self._binding.NVMLError
        try:
            self._call("nvmlInit")
        except error_type as error:
            raise faults.source_error(error, _loader_words(error.value)) from error
        self._running = True
        self.starts += 1
        self._retry_at = None
        try:
            self._versions = (self._version("Driver"), self._version("NVML"))
            count = self._call("nvmlDeviceGetCount")
            self._slots = [self._slot(index) for index in range(count)]
        except error_type as error:
            self.close()
            raise faults.source_error(error) from error
        if not self._slots:
            self.close()
            raise faults.no_gpu()
        if all(isinstance(slot, Device) for slot in self._slots):
            self._delay = self._retry_s

    def _version(self, of: str) -> str | None:
        try:
            return str(self._call(f"nvmlSystemGet{of}Version"))
        except self._binding.NVMLError as error:
            if error.value in faults.SESSION_OVER:
                raise
            return None  # a figure the driver does not have; nothing depends on it

    def _slot(self, index: int) -> Device | Gpu:
        """The device at `index`, or a row that says why there is none."""
        try:
            device = Device(self._call, self._binding.NVMLError, index)
        except DeviceLostError as lost:
            return self._fallen(index, lost.fault)
        except self._binding.NVMLError as error:
            if error.value in faults.SESSION_OVER:
                raise
            return self._fallen(index, faults.device_fault(error, index, "the device"))
        self._known[index] = _Known(device.name, device.uuid)
        self._instances[index] = Instances(self._call, self._binding.NVMLError, device)
        return device

    def _fallen(self, index: int, fault: Any) -> Gpu:
        """A row for a device that does not answer, and a date for the next try to bring it back."""
        if self._retry_at is None:
            self._retry_at = self._clock.monotonic() + self._delay
            self._delay = min(self._delay * 2, RETRY_MAX_S)
        known = self._known.get(index, _Known("", ""))
        return unreadable(index, fault, known.name, known.uuid)

    def _parts(self, device: Device) -> tuple[Gpu, ...]:
        whole = device.read()
        return _split(whole, self._instances[device.index].read(whole))

    def _read_slots(self) -> tuple[Gpu, ...]:
        gpus: list[Gpu] = []
        for position, slot in enumerate(self._slots):
            if isinstance(slot, Device):
                try:
                    gpus += self._parts(slot)
                except DeviceLostError as lost:
                    row = self._fallen(slot.index, lost.fault)
                    self._slots[position] = row
                    gpus.append(row)
            else:
                gpus.append(slot)
        return tuple(gpus)


def _split(whole: Gpu, parts: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    """What stands for a device: itself, or its instances, of which each is judged by itself."""
    if parts or not whole.mig_enabled:
        return parts or (whole,)
    return (replace(whole, faults=(*whole.faults, faults.mig(whole.index))),)


def _loader_words(code: int) -> str:
    """Why the dynamic loader does not give us the library: the binding hides it behind *not found*."""
    if code != NvmlCode.LIBRARY_NOT_FOUND:
        return ""
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError as error:
        return str(error)
    return ""
