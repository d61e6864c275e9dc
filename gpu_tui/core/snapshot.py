"""What was seen of the machine at one instant: GPUs, the processes on them, and who those processes are.

Unknown is None everywhere in this module; 0 means that zero was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gpu_tui.core.start_inputs import StartInputs


class FaultKind(StrEnum):
    """Why something about the machine could not be read."""

    DRIVER_MISSING = "driver_missing"
    """libnvidia-ml.so.1 is not there: no NVIDIA driver is installed, or not passed into this container."""
    DRIVER_NOT_LOADED = "driver_not_loaded"
    """The library is there, the kernel module is not, or the two differ in version."""
    NO_GPU = "no_gpu"
    """The driver answers and lists no device."""
    GPU_LOST = "gpu_lost"
    """The GPU fell off the bus, or was reset."""
    TIMEOUT = "timeout"
    """A driver call has not come back."""
    PERMISSION = "permission"
    """The driver or the kernel refuses this user."""
    NO_PER_PROCESS_MEMORY = "no_per_process_memory"
    """The GPU's memory is known, each process's share is not (WSL, some containers, MIG)."""
    FOREIGN_PIDS = "foreign_pids"
    """The driver names pids that do not exist in this pid namespace."""
    MIG = "mig"
    """The GPU is partitioned and has no instance that could be judged."""
    UNIFIED_MEMORY = "unified_memory"
    """The driver gives no total: the GPU shares the machine's memory (GB10, Jetson)."""
    OTHER = "other"
    """Anything else, told in the driver's own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong, for people: what happened, and what to do about it."""

    kind: FaultKind
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """One pid's share of one GPU, as the driver reports it. A pid appears once per GPU."""

    pid: int
    used_bytes: int | None
    """NVML's `usedGpuMemory`: device memory this pid holds, its CUDA context included. None: not reported."""
    compute: bool = True
    graphics: bool = False
    mps: bool = False
    """It computes through MPS, the driver's server that shares one context among processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessInfo:
    """Who a pid is. Every field that could not be read is None; `problem` says why."""

    pid: int
    name: str | None
    """Kernel name (at most 15 characters), or the longer one where the command line bears it out."""
    cmdline: tuple[str, ...] | None
    """argv as it stands now; () when the process has overwritten or emptied it."""
    user: str | None = None
    ppid: int | None = None
    started_at: float | None = None
    """Seconds since the epoch."""
    problem: str | None = None
    """None when all was read, else a few words: ``gone``, ``permission denied``, ``not in this pid namespace``, or
    that in this namespace another process bears the number."""
    unit: str | None = None
    """The systemd service it runs in: ``ollama.service``."""
    unit_uid: int | None = None
    """Uid of the user whose unit it is; None for a unit of the system."""
    container: str | None = None
    """Id of its container, 64 hexadecimal digits."""
    container_name: str | None = None
    runtime: str | None = None
    """Who runs the container: ``docker``, ``podman``, ``containerd``, ``cri-o``."""
    image: str | None = None
    pod: str | None = None
    """Its Kubernetes pod: the name, or the uid where the name cannot be read."""
    namespace: str | None = None
    """Of its pod."""
    inner_pid: int | None = None
    """Its pid inside its own pid namespace, where that is another than the one told here."""
    ports: tuple[int, ...] | None = None
    """TCP ports it listens on itself; None: not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigInstance:
    """Which part of a GPU an instance of MIG is."""

    number: int
    """NVML's index of it on its device."""
    parent_uuid: str
    gpu_instance: int | None = None
    """Compute instances of one GPU instance share its memory."""
    compute_instance: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One device at one instant.

    ``used + free + reserved = total`` whenever the three are known; with NVML's v1 memory call `reserved_bytes` is
    None and its share sits inside `used_bytes`, so that ``used + free = total``.
    """

    index: int
    uuid: str
    name: str
    total_bytes: int | None
    """NVML's total, the figure nvidia-smi shows."""
    used_bytes: int | None
    free_bytes: int | None
    reserved_bytes: int | None
    cuda_total_bytes: int | None = None
    """`cudaMemGetInfo`'s total, where a scenario or vLLM's log tells it, or the card's name does."""
    cuda_total_band: tuple[int, int] | None = None
    """The least and the most it may be; None: as exact as it was told."""
    free_at_start: bool = False
    """`free_bytes` is what vLLM itself sees when it looks: its own CUDA context is already taken off."""
    utilization_pct: int | None = None
    """Share of the last sample period in which a kernel ran, 0..100."""
    temperature_c: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    mig_enabled: bool | None = None
    mig: MigInstance | None = None
    """Set for an instance of MIG, whose `index` is its device's; temperature and power are its device's too."""
    display_active: bool | None = None
    """Whether a screen is driven by it."""
    processes: tuple[GpuProcess, ...] | None = ()
    """Who holds its memory, ordered by pid. None: the driver does not tell."""
    faults: tuple[Fault, ...] = ()
    """What could not be read of this device, and why."""

    @property
    def key(self) -> str:
        """Tells it from the machine's other devices: its UUID, or its index while nothing has told the UUID."""
        return self.uuid or self.label

    @property
    def label(self) -> str:
        """How people call it: ``0``, and ``0:1`` for an instance of MIG."""
        return str(self.index) if self.mig is None else f"{self.index}:{self.mig.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The machine at one instant. Immutable: safe to hand between threads."""

    taken_at: float
    """Wall clock, seconds since the epoch."""
    taken_monotonic: float
    """The same instant on the monotonic clock of the source; for ages."""
    source: str
    """``nvml``, ``demo``, ``scenario`` or ``replay``."""
    source_detail: str = ""
    """What the source read: ``NVML 13.580.65``, ``kloros``, a file's name."""
    simulated: bool
    gpus: tuple[Gpu, ...]
    processes: Mapping[int, ProcessInfo] = field(default_factory=dict)
    """Every pid named by a GPU, and the ancestors of each."""
    driver_version: str | None = None
    evidence: tuple[str, ...] = ()
    """What else was read to tell who the processes are, in words."""
    missing: tuple[str, ...] = ()
    """What could not be, a sentence each."""
    caption: str = ""
    """A line told by a scenario's story; empty for a real machine."""
    model_mib: float | None = None
    """A scenario's own figure for the model; None leaves it to the configuration."""
    min_kv_cache_mib: float | None = None
    gpu_memory_utilization: float | None = None
    """A scenario's own planned utilization."""
    case_id: str | int | None = None
    """A scenario's own id."""
    start: StartInputs | None = None
    """What a scenario tells of the model and of how vLLM is started."""
    logs: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """What a scenario lets its servers log up to now, by the server's pid; empty for a real machine."""

    @property
    def here(self) -> bool:
        """Whether it is this machine, now: only then can files, logs, ports and the journal say anything of it."""
        return not self.simulated and self.source != "replay"

    def gpu(self, key: int | str) -> Gpu | None:
        """The device of this NVML index or UUID."""
        for gpu in self.gpus:
            if key in (gpu.index, gpu.uuid):
                return gpu
        return None
