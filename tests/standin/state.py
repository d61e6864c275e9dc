"""What the stand-in's machine is at one moment, and its text form."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

MIB = 1024 * 1024

UNINITIALIZED, NOT_SUPPORTED, NO_PERMISSION, DRIVER_NOT_LOADED = 1, 3, 4, 9
TIMEOUT, FUNCTION_NOT_FOUND, GPU_IS_LOST, RESET_REQUIRED, LIB_RM_VERSION_MISMATCH, UNKNOWN = 10, 13, 15, 16, 18, 999
"""Codes of nvmlReturn_t for the faults below."""


def error(code: int) -> str:
    """A call fails with this code of nvmlReturn_t."""
    return f"error {code}"


def sleep(seconds: float) -> str:
    """A call takes so long, then answers."""
    return f"sleep {seconds}"


HANG = "hang"
"""A call does not come back until the state no longer says so."""


@dataclass
class Process:
    """One row of a device's process lists; a pid may stand in several."""

    pid: int
    used_mib: float | None
    """None: the driver reports NVML_VALUE_NOT_AVAILABLE."""
    kind: Literal["C", "G", "M"] = "C"
    """Compute, graphics, or a client of MPS."""

    def line(self) -> str:
        used = "na" if self.used_mib is None else str(round(self.used_mib * MIB))
        return f"process {self.pid} {used} {self.kind}"


@dataclass
class Device:
    """One GPU. None is *not supported* for a figure, NVML_VALUE_NOT_AVAILABLE for a size of memory."""

    name: str = "NVIDIA GeForce RTX 3060"
    uuid: str = ""
    """Made from the position when empty."""
    total_mib: float | None = 12288
    free_mib: float | None = None
    """None: the rest of total. Use `memory_na` for a driver that does not tell."""
    used_mib: float | None = None
    """As the v2 call has it, without reserved. None: the sum of the processes."""
    reserved_mib: float | None = 0
    memory_na: bool = False
    util: int | None = 34
    temp: int | None = 61
    power_w: float | None = 118.0
    limit_w: float | None = 170.0
    mig: bool | None = None
    v2: bool = True
    """Whether there is a nvmlDeviceGetMemoryInfo_v2."""
    error: int = 0
    """Every call on this device fails with it."""
    display: bool = False
    """Whether a screen is driven by it."""
    ids: tuple[int, int] = (0, 0)
    """Of an instance of MIG: its GPU instance and compute instance."""
    instances: list[Device] = field(default_factory=list)
    """With ``mig=True``: its instances, each a device of its own kind. They tell no load, temperature or power."""
    processes: list[Process] = field(default_factory=list)
    calls: dict[str, str] = field(default_factory=dict)
    """Faults of single calls, by the C function's full name or its beginning and ``*``: `error`, `sleep`, `HANG`."""

    def lines(self, position: int, mig_of: int = 0) -> list[str]:
        sums = {row.pid: row.used_mib or 0 for row in self.processes}
        used = sum(sums.values()) if self.used_mib is None else self.used_mib
        free = self.free_mib
        if free is None and self.total_mib is not None:
            free = self.total_mib - used - (self.reserved_mib or 0)
        uuid = self.uuid or f"GPU-{position:08d}-0000-4000-8000-{position:012d}"
        memory = {"total": self.total_mib, "reserved": self.reserved_mib, "used": used, "free": free}
        lines = ["device", f"name {self.name}", f"uuid {uuid}", f"v2 {int(self.v2)}", f"error {self.error}"]
        lines += [f"{key} {_size(None if self.memory_na else value)}" for key, value in memory.items()]
        lines += [f"util {_number(self.util)}", f"temp {_number(self.temp)}"]
        lines += [f"power_mw {_number(self.power_w, 1000)}", f"limit_mw {_number(self.limit_w, 1000)}"]
        lines.append(f"mig {_number(None if self.mig is None else int(self.mig))}")
        lines += [f"mig_of {mig_of}", f"gi {self.ids[0]}", f"ci {self.ids[1]}", f"display {int(self.display)}"]
        lines += [f"call {name} {fault}" for name, fault in self.calls.items()]
        return lines + [row.line() for row in self.processes]


@dataclass
class State:
    """The machine."""

    devices: list[Device] = field(default_factory=lambda: [Device()])
    driver: str = "580.65.06"
    nvml: str = "13.580.65"
    cuda: int = 13000
    init_error: int = 0
    """What nvmlInit fails with; `DRIVER_NOT_LOADED` for a driver that is gone."""
    calls: dict[str, str] = field(default_factory=dict)
    """As `Device.calls`, for every device and for the calls that concern none."""
    chaos: tuple[int, int, tuple[int, ...]] | None = None
    """Every call fails so often per thousand, by dice of this seed, with one of these codes."""

    def text(self) -> str:
        lines = [f"driver {self.driver}", f"nvml {self.nvml}", f"cuda {self.cuda}"]
        lines += [f"init_error {self.init_error}"]
        lines += [f"call {name} {fault}" for name, fault in self.calls.items()]
        if self.chaos is not None:
            per_mille, seed, codes = self.chaos
            lines.append(f"chaos {per_mille} {seed} {','.join(map(str, codes))}")
        for position, device in enumerate(self.devices):
            lines += device.lines(position)
        for position, device in enumerate(self.devices):
            for number, instance in enumerate(device.instances):
                quiet = replace(instance, util=None, temp=None, power_w=None, limit_w=None)
                quiet.uuid = instance.uuid or f"MIG-{position:08d}-0000-4000-8000-{number:012d}"
                lines += quiet.lines(position, position + 1)
        return "\n".join(lines) + "\n"


def _size(mib: float | None) -> str:
    return "na" if mib is None else str(round(mib * MIB))


def _number(value: float | None, scale: int = 1) -> str:
    return "na" if value is None else str(round(value * scale))
