"""One GPU as NVML tells it: its facts once, its figures at every reading. Every figure it does not have is None."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from gpu_tui.core.snapshot import Fault, Gpu, GpuProcess
from gpu_tui.telemetry import nvml_faults as faults
from gpu_tui.telemetry.nvml_faults import NvmlCode
from gpu_tui.telemetry.procfs import machine_memory_mib

Call = Callable[..., Any]
"""``call("nvmlDeviceGetName", handle)``: the binding's function of this name, counted."""

NOT_AVAILABLE = 0xFFFF_FFFF_FFFF_FFFF
"""`NVML_VALUE_NOT_AVAILABLE` as an unsigned 64-bit figure."""

_COMPUTE = ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetMPSComputeRunningProcesses")
_TEMPERATURE = "nvmlDeviceGetTemperature"
"""Deprecated in nvml.h for removal with CUDA 14; `nvmlDeviceGetTemperatureV`, which takes its place, came with R570."""
_GRAPHICS = "nvmlDeviceGetGraphicsRunningProcesses"


class DeviceLostError(Exception):
    """The device no longer answers; `fault` says how NVML put it."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass(slots=True)
class Trouble:
    """What went wrong during one reading of one device, gathered so that each cause is told once."""

    index: int | str
    by_code: dict[int, tuple[faults.NvmlError, list[str]]] = field(default_factory=dict)

    def add(self, error: faults.NvmlError, what: str) -> None:
        """Note that `what` failed with `error`."""
        self.by_code.setdefault(error.value, (error, []))[1].append(what)

    def faults(self) -> list[Fault]:
        """One fault per return code."""
        return [faults.device_fault(error, self.index, ", ".join(whats)) for error, whats in self.by_code.values()]


@dataclass(frozen=True, slots=True)
class Memory:
    """A device's memory in bytes, normalised so that ``used + free + reserved = total`` where all are known."""

    total: int | None = None
    used: int | None = None
    free: int | None = None
    reserved: int | None = None
    contradictory: bool = False
    untold: str = ""
    """What NVML said where it has no such figures for this device."""


def normalise(total: int | None, used: int | None, free: int | None, reserved: int | None) -> Memory:
    """Make NVML's figures add up: total, free and reserved are kept, used gives way.

    Args:
        total: bytes; so are the others.
        used: as NVML has it: without the reserved share in v2, including it in v1.
        free: unallocated.
        reserved: None for v1, whose used then includes it.
    """
    if total is None or free is None:
        return Memory(total, used, free, reserved)
    used_must_be = total - free - (reserved or 0)
    if used_must_be < 0:
        return Memory(total, None, free, reserved, contradictory=True)
    return Memory(total, used_must_be, free, reserved)


class Device:
    """One device by its handle. Not thread-safe; belongs to the thread that reads NVML."""

    def __init__(
        self, call: Call, error_type: type[Exception], index: int, *, handle: Any = None, label: str = ""
    ) -> None:
        """Ask for the handle and the facts that do not change.

        Args:
            handle: of an instance of MIG; `index` is then its device's.
            label: how it is called in faults, where not by its index.

        Raises:
            error_type: the handle or the facts cannot be had.
        """
        self._call = call
        self._error_type = error_type
        self._absent: set[str] = set()
        self.index = index
        self._label = label or index
        self.handle = call("nvmlDeviceGetHandleByIndex", index) if handle is None else handle
        self.uuid: str = call("nvmlDeviceGetUUID", self.handle)
        self.name: str = call("nvmlDeviceGetName", self.handle)
        self._power_limit_w: float | None = None
        self._display: bool | None = None
        if handle is None:
            self._power_limit_w = _watts(self.ask("power limit", Trouble(index), "nvmlDeviceGetPowerManagementLimit"))
            display = self.ask("display", Trouble(index), "nvmlDeviceGetDisplayActive")
            self._display = None if display is None else bool(display)

    def read(self) -> Gpu:
        """The device now.

        Raises:
            DeviceLostError: it has fallen off the bus or needs a reset.
            pynvml.NVMLError: NVML itself is over (one of `nvml_faults.SESSION_OVER`).
        """
        trouble = Trouble(self._label)
        memory = self.memory(trouble)
        load = self.ask("utilization", trouble, "nvmlDeviceGetUtilizationRates")
        temperature = self.ask("temperature", trouble, _TEMPERATURE, 0)
        if _TEMPERATURE in self._absent:
            temperature = self.ask("temperature", trouble, "nvmlDeviceGetTemperatureV", 0)
        power = self.ask("power", trouble, "nvmlDeviceGetPowerUsage")
        mig = self.ask("MIG mode", trouble, "nvmlDeviceGetMigMode", remember=True)
        mig_enabled = None if mig is None else bool(mig[0])
        processes, hidden = self.processes(trouble)
        found = trouble.faults() + hidden + self.memory_faults(memory)
        return Gpu(
            index=self.index,
            uuid=self.uuid,
            name=self.name,
            total_bytes=memory.total,
            used_bytes=memory.used,
            free_bytes=memory.free,
            reserved_bytes=memory.reserved,
            utilization_pct=None if load is None else int(load.gpu),
            temperature_c=temperature,
            power_w=_watts(power),
            power_limit_w=self._power_limit_w,
            mig_enabled=mig_enabled,
            display_active=self._display,
            processes=processes,
            faults=tuple(found),
        )

    def memory_faults(self, memory: Memory) -> list[Fault]:
        """What is wrong with its figures."""
        if memory.untold:
            return [faults.unified(self.index, memory.untold, machine_memory_mib())]
        return [faults.bad_sum(self._label)] if memory.contradictory else []

    def ask(self, what: str, trouble: Trouble, name: str, *args: Any, remember: bool = False) -> Any:
        """One figure, or None. With `remember`, one the device does not have is not asked for again."""
        if name in self._absent:
            return None
        try:
            return self._call(name, self.handle, *args)
        except self._error_type as error:
            code = self._sort(error)
            if code not in faults.UNSUPPORTED:
                trouble.add(error, what)  # type: ignore[arg-type]
            elif remember or code == NvmlCode.FUNCTION_NOT_FOUND:
                self._absent.add(name)
            return None

    def _sort(self, error: Any) -> int:
        """The code of an error that concerns one figure; the greater ones are raised."""
        code = int(error.value)
        if code in faults.LOST:
            raise DeviceLostError(faults.device_fault(error, self._label, "the device")) from error
        if code in faults.SESSION_OVER:
            raise error
        return code

    def memory(self, trouble: Trouble) -> Memory:
        """Its memory by the newest call that the driver has."""
        name = "nvmlDeviceGetMemoryInfo"
        if "memory v2" not in self._absent:
            try:
                info = self._call(name, self.handle, version=_MEMORY_V2)
                told = normalise(*map(_known, (info.total, info.used, info.free, info.reserved)))
                return replace(told, untold=_NO_TOTAL if told.total is None else "")
            except self._error_type as error:
                code = self._sort(error)
                if code not in faults.NO_V2:
                    trouble.add(error, "memory")  # type: ignore[arg-type]
                    return Memory()
                self._absent.add("memory v2")
        try:
            info = self._call(name, self.handle)
        except self._error_type as error:
            if self._sort(error) in faults.UNSUPPORTED:
                return Memory(untold=faults.said(error))  # type: ignore[arg-type]
            trouble.add(error, "memory")  # type: ignore[arg-type]
            return Memory()
        total = _known(info.total)
        return replace(
            normalise(total, _known(info.used), _known(info.free), None), untold=_NO_TOTAL if total is None else ""
        )

    def processes(self, trouble: Trouble) -> tuple[tuple[GpuProcess, ...] | None, list[Fault]]:
        """Who holds memory here; None when the driver does not tell, and the fault that says so."""
        merged: dict[int, GpuProcess] = {}
        refusal: Any = None
        for name in (*_COMPUTE, _GRAPHICS):
            rows, error = self._list(name)
            if error is None:
                _merge(merged, rows, graphics=name == _GRAPHICS, mps=name == _COMPUTE[1])
            elif name == _COMPUTE[0]:
                refusal = error
            elif error.value not in faults.UNSUPPORTED:
                trouble.add(error, "list of processes")
        if refusal is not None:
            if refusal.value in faults.UNSUPPORTED:
                return None, [faults.no_per_process_memory(self._label, faults.said(refusal))]
            trouble.add(refusal, "list of processes")
            return None, []
        if merged and all(row.used_bytes is None for row in merged.values()):
            words = "NVML said: not available for any process"
            return _ordered(merged), [faults.no_per_process_memory(self._label, words)]
        return _ordered(merged), []

    def _list(self, name: str) -> tuple[list[Any], Any]:
        """One kind of process list and None, or nothing and the error.

        The binding asks for the length first and then for the rows; a list that more than doubled in between does
        not fit and is asked for once more.
        """
        if name in self._absent:
            return [], None
        for last in (False, True):
            try:
                return self._call(name, self.handle), None
            except self._error_type as error:
                code = self._sort(error)
                if code == NvmlCode.INSUFFICIENT_SIZE and not last:
                    continue
                if code == NvmlCode.FUNCTION_NOT_FOUND and name != _COMPUTE[0]:
                    self._absent.add(name)
                return [], error
        raise AssertionError("unreachable")


_MEMORY_V2 = 0x0200_0028
"""`nvmlMemory_v2`: NVML_STRUCT_VERSION(Memory, 2), the struct's size (40) with the version in the top byte."""


_NO_TOTAL = "NVML said: not available"


def _known(value: int) -> int | None:
    return None if value == NOT_AVAILABLE else int(value)


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def _merge(into: dict[int, GpuProcess], rows: list[Any], *, graphics: bool, mps: bool) -> None:
    """Add one list. NVML gives a pid's whole memory in every list it stands in: the larger is kept, never a sum."""
    for row in rows:
        pid, used = row.pid, row.usedGpuMemory
        seen = into.get(pid)
        if seen is None:
            into[pid] = GpuProcess(pid=pid, used_bytes=used, compute=not graphics, graphics=graphics, mps=mps)
            continue
        sizes = [size for size in (seen.used_bytes, used) if size is not None]
        into[pid] = GpuProcess(
            pid=pid,
            used_bytes=max(sizes, default=None),
            compute=seen.compute or not graphics,
            graphics=seen.graphics or graphics,
            mps=seen.mps or mps,
        )


def _ordered(merged: dict[int, GpuProcess]) -> tuple[GpuProcess, ...]:
    return tuple(merged[pid] for pid in sorted(merged))


def unreadable(index: int, fault: Fault, name: str = "", uuid: str = "") -> Gpu:
    """A device that is known to be there, or to have been, and of which nothing can be read now."""
    return Gpu(
        index=index,
        uuid=uuid,
        name=name or "unknown GPU",
        total_bytes=None,
        used_bytes=None,
        free_bytes=None,
        reserved_bytes=None,
        processes=None,
        faults=(fault,),
    )
