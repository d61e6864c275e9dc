"""What NVML's return codes mean for a person: which fault it is, in the driver's own words, and what to try.

Knows the codes of ``nvmlReturn_t`` (nvml.h) as numbers, so that nothing here needs the binding or a driver.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

from gpu_tui.core.snapshot import Fault, FaultKind
from gpu_tui.errors import SourceUnavailable


class NvmlCode(IntEnum):
    """The members of ``nvmlReturn_t`` that are told apart here."""

    UNINITIALIZED = 1
    INVALID_ARGUMENT = 2
    NOT_SUPPORTED = 3
    NO_PERMISSION = 4
    NOT_FOUND = 6
    INSUFFICIENT_SIZE = 7
    DRIVER_NOT_LOADED = 9
    TIMEOUT = 10
    LIBRARY_NOT_FOUND = 12
    FUNCTION_NOT_FOUND = 13
    GPU_IS_LOST = 15
    RESET_REQUIRED = 16
    OPERATING_SYSTEM = 17
    LIB_RM_VERSION_MISMATCH = 18
    ARGUMENT_VERSION_MISMATCH = 25
    GPU_NOT_FOUND = 28


UNSUPPORTED = frozenset({NvmlCode.NOT_SUPPORTED, NvmlCode.FUNCTION_NOT_FOUND})
"""The device or the driver does not have this figure: unknown, and nothing is wrong."""
LOST = frozenset({NvmlCode.GPU_IS_LOST, NvmlCode.RESET_REQUIRED, NvmlCode.GPU_NOT_FOUND})
"""The device itself is gone; every further question to it fails as well."""
SESSION_OVER = frozenset({NvmlCode.UNINITIALIZED, NvmlCode.DRIVER_NOT_LOADED, NvmlCode.LIB_RM_VERSION_MISMATCH})
"""The whole driver has gone from under us; NVML must be started anew."""

NO_V2 = UNSUPPORTED | {NvmlCode.ARGUMENT_VERSION_MISMATCH}
"""Answers of a driver without `nvmlDeviceGetMemoryInfo_v2` (before R510)."""


class NvmlError(Protocol):
    """What is used of `pynvml.NVMLError`."""

    value: int


_DEMO = "or look around with: gpu-tui --demo"

_KINDS: dict[int, FaultKind] = {
    NvmlCode.NO_PERMISSION: FaultKind.PERMISSION,
    NvmlCode.OPERATING_SYSTEM: FaultKind.PERMISSION,
    NvmlCode.DRIVER_NOT_LOADED: FaultKind.DRIVER_NOT_LOADED,
    NvmlCode.LIB_RM_VERSION_MISMATCH: FaultKind.DRIVER_NOT_LOADED,
    NvmlCode.TIMEOUT: FaultKind.TIMEOUT,
    NvmlCode.LIBRARY_NOT_FOUND: FaultKind.DRIVER_MISSING,
    NvmlCode.GPU_IS_LOST: FaultKind.GPU_LOST,
    NvmlCode.RESET_REQUIRED: FaultKind.GPU_LOST,
    NvmlCode.GPU_NOT_FOUND: FaultKind.GPU_LOST,
}

_SOURCE_TEXTS: dict[FaultKind, tuple[str, str]] = {
    FaultKind.DRIVER_MISSING: (
        "No NVIDIA driver was found",
        f"Install the NVIDIA driver, or pass the GPU into this container (docker run --gpus all), {_DEMO}",
    ),
    FaultKind.DRIVER_NOT_LOADED: (
        "The NVIDIA driver is installed but not running",
        f"Load it with: sudo modprobe nvidia (see dmesg when that fails), {_DEMO}",
    ),
    FaultKind.PERMISSION: (
        "The NVIDIA driver refuses this user",
        "Check that /dev/nvidiactl and /dev/nvidia0 can be read and written by you, or that the container has them.",
    ),
    FaultKind.GPU_LOST: (
        "The GPU was lost",
        "Look for Xid lines in dmesg; a reset (nvidia-smi -r) or a reboot brings it back.",
    ),
    FaultKind.TIMEOUT: (
        "The NVIDIA driver gave up waiting for the GPU",
        "Look for Xid lines in dmesg; the next reading tries again.",
    ),
    FaultKind.OTHER: (
        "The NVIDIA driver could not be read",
        f"Compare with nvidia-smi and look for Xid lines in dmesg, {_DEMO}",
    ),
}
_MISMATCH = (
    "The NVIDIA library and the running kernel module are of different versions",
    "Reboot, or unload and reload the nvidia modules, then start gpu-tui again.",
)


def said(error: NvmlError) -> str:
    """The driver's own words for `error`."""
    return f"NVML said: {error}"


def kind_of(code: int) -> FaultKind:
    """The fault that an NVML return code means."""
    return _KINDS.get(code, FaultKind.OTHER)


def source_error(error: NvmlError, detail: str = "") -> SourceUnavailable:
    """NVML as a whole cannot be used; `detail` adds what else is known, such as the loader's words."""
    kind = kind_of(error.value)
    what, remedy = _SOURCE_TEXTS[kind]
    if error.value == NvmlCode.LIB_RM_VERSION_MISMATCH:
        what, remedy = _MISMATCH
    words = f"{said(error)}; {detail}" if detail else said(error)
    return SourceUnavailable(f"{what} ({words}).", remedy, kind=kind.value)


def no_gpu() -> SourceUnavailable:
    """The driver answers and has nothing to show."""
    return SourceUnavailable(
        "The NVIDIA driver runs and lists no GPU (NVML counted 0 devices).",
        "Check lspci for the card, dmesg for Xid lines, and NVIDIA_VISIBLE_DEVICES inside a container.",
        kind=FaultKind.NO_GPU.value,
    )


def device_fault(error: NvmlError, index: int | str, what: str) -> Fault:
    """`what` (a noun such as ``temperature``) could not be read of the device with this index."""
    kind = kind_of(error.value)
    if kind is FaultKind.GPU_LOST:
        return lost(index, said(error))
    remedy = "Compare with nvidia-smi; the next reading tries again."
    if kind is FaultKind.PERMISSION:
        remedy = _SOURCE_TEXTS[kind][1]
    return Fault(kind=kind, message=f"GPU {index}: {what} could not be read ({said(error)}).", remedy=remedy)


def lost(index: int | str, words: str) -> Fault:
    """The device is gone; `words` are NVML's, or say how it was noticed."""
    return Fault(
        kind=FaultKind.GPU_LOST,
        message=f"GPU {index} was lost ({words}).",
        remedy=_SOURCE_TEXTS[FaultKind.GPU_LOST][1],
    )


def mig(index: int) -> Fault:
    """The device is partitioned, and no instance of it is to be seen."""
    return Fault(
        kind=FaultKind.MIG,
        message=f"GPU {index} is partitioned with MIG, and no instance of it can be seen.",
        remedy=f"Make one with: sudo nvidia-smi mig -i {index} -cgi PROFILE -C (profiles: nvidia-smi mig -lgip), "
        f"or turn MIG off with: sudo nvidia-smi -i {index} -mig 0",
    )


def unified(index: int, words: str, machine_mib: int | None) -> Fault:
    """The driver has no figure for the device's memory; `words` are NVML's."""
    own = "" if machine_mib is None else f"; the machine has {machine_mib} MiB (/proc/meminfo, MemTotal)"
    return Fault(
        kind=FaultKind.UNIFIED_MEMORY,
        message=f"GPU {index}: the driver gives no memory total ({words}), as on a GPU that shares the "
        f"machine's memory{own}.",
        remedy="How much of it CUDA may take is not known, so nothing is judged; plan with a scenario file instead.",
    )


def no_per_process_memory(index: int | str, words: str) -> Fault:
    """Nobody's share of this device is known; `words` say what the driver answered."""
    return Fault(
        kind=FaultKind.NO_PER_PROCESS_MEMORY,
        message=f"GPU {index}: the driver does not tell how much memory each process holds ({words}).",
        remedy="WSL, some containers and MIG hide it; run gpu-tui on the host itself.",
    )


def bad_sum(index: int | str) -> Fault:
    """The driver's memory figures contradict each other beyond repair."""
    return Fault(
        kind=FaultKind.OTHER,
        message=f"GPU {index}: NVML's free and reserved memory together exceed its total.",
        remedy="Compare with nvidia-smi -q -d MEMORY; used memory stays unknown until they agree.",
    )
