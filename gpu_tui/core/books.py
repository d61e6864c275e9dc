"""The books of one GPU: who holds its memory, what would come free, what no process explains.

Law: Σ processes + unattributed + reserved + free = total, to the byte, whenever all of them are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gpu_tui.core import serve_args, vllm
from gpu_tui.core.serve_args import ServeArgs
from gpu_tui.core.services import ORPHAN, OTHER, Classifier, Role, ServiceRule
from gpu_tui.core.snapshot import Gpu, GpuProcess, ProcessInfo, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One row: a service's processes on this GPU, summed."""

    name: str
    role: Role
    used_bytes: int | None
    """None when the driver does not report the memory of one of its processes."""
    pids: tuple[int, ...] = ()
    """Largest holder first."""
    note: str = ""
    """What a person should know of it: an orphan, an unreadable command line."""
    instance_pid: int | None = None
    """For a vLLM instance (or another service that restarts): the pid that names it."""
    what_if: str = ""
    """What is supposed of it instead of its real role, see `core.what_if`; empty: nothing."""

    @property
    def pid(self) -> int | None:
        """Its largest process; None when it is not running."""
        return self.pids[0] if self.pids else None

    @property
    def running(self) -> bool:
        """Whether it holds this GPU at all."""
        return bool(self.pids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One thing that could be restarted with the plan: a vLLM server with its engines and workers on this GPU."""

    rule: ServiceRule
    owner_pid: int
    pids: tuple[int, ...]
    used_bytes: int | None
    args: ServeArgs | None
    """The server's command line; None when no server was found (vLLM offline in a script, a hidden parent)."""
    orphan: bool = False

    @property
    def port(self) -> int | None:
        """Where its server listens by its command line; None without a server."""
        return self.args.port if self.args else None

    @property
    def label(self) -> str:
        """How it is called as a persistent row: ``vllm:8001``."""
        return f"vllm:{self.port}" if self.port is not None else f"{self.rule.name}#{self.owner_pid}"

    def answers_to(self, key: int) -> bool:
        """Whether `--restarts key` means this one: a pid of it, or its port."""
        return key == self.owner_pid or key in self.pids or key == self.port


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """One GPU's memory, fully told."""

    total_bytes: int | None
    used_bytes: int | None
    free_bytes: int | None
    reserved_bytes: int | None
    services: tuple[Service, ...]
    instances: tuple[Instance, ...] = ()
    """All that could restart, largest first; orphans excluded."""
    chosen: Instance | None = None
    ambiguous: bool = False
    """Several could restart and nobody chose: `chosen` is then the largest."""
    cuda_total_bytes: int | None = None
    """What CUDA lets a context use, where it is told; None: not told, total − reserved stands for it."""
    listed: bool = True
    """False when the driver does not list processes at all."""

    @property
    def processes_bytes(self) -> int | None:
        """Σ processes; None when any of them is unknown."""
        return _sum([service.used_bytes for service in self.services]) if self.listed else None

    @property
    def persistent_bytes(self) -> int | None:
        """Σ of what stays when the chosen instance restarts."""
        stays = [service.used_bytes for service in self.services if service.role is not Role.RESTARTS]
        return _sum(stays) if self.listed else None

    @property
    def restarting_bytes(self) -> int | None:
        """What comes free when the chosen instance stops; 0 when nothing restarts."""
        goes = [service.used_bytes for service in self.services if service.role is Role.RESTARTS]
        return _sum(goes) if self.listed else None

    @property
    def unattributed_bytes(self) -> int | None:
        """used − Σ processes, signed: negative where processes share memory (*overlap*)."""
        return _minus(self.used_bytes, self.processes_bytes)

    @property
    def available_bytes(self) -> int | None:
        """free + what comes free: all that a new vLLM could take."""
        restarting = self.restarting_bytes
        return None if self.free_bytes is None or restarting is None else self.free_bytes + restarting

    def service(self, name: str) -> Service | None:
        """The row of this name."""
        return next((service for service in self.services if service.name == name), None)


def _sum(sizes: Sequence[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _minus(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a - b


def _used(processes: Sequence[GpuProcess]) -> int | None:
    return _sum([process.used_bytes for process in processes])


def _by_size(processes: Sequence[GpuProcess]) -> tuple[int, ...]:
    return tuple(p.pid for p in sorted(processes, key=lambda p: (-(p.used_bytes or 0), p.pid)))


def keep_books(
    snapshot: Snapshot,
    gpu: Gpu,
    classifier: Classifier,
    restarts: int | None = None,
) -> Books:
    """Attribute one GPU's memory.

    Args:
        snapshot: whose process table says who the pids are.
        gpu: the device.
        classifier: the rules.
        restarts: a pid or port that chooses the instance which restarts; when it names none on this GPU, nothing
            restarts here. None: the only one, else the largest, with `Books.ambiguous` set.
    """
    table = snapshot.processes
    plain: dict[str, list[GpuProcess]] = {rule.name: [] for rule in classifier.rules}
    plain[OTHER] = []
    groups: dict[tuple[str, int], tuple[ServiceRule, list[GpuProcess]]] = {}
    for process in gpu.processes or ():
        rule = classifier.rule_for(process.pid, table)
        if rule is not None and (rule.restarts or rule.field == "vllm"):
            key = _group_key(rule, process.pid, table)
            groups.setdefault(key, (rule, []))[1].append(process)
        else:
            plain[rule.name if rule else OTHER].append(process)
    instances = [_instance(rule, owner, found, table) for (_, owner), (rule, found) in groups.items()]
    instances.sort(key=lambda i: (-(i.used_bytes or 0), i.owner_pid))
    live = tuple(i for i in instances if not i.orphan and i.rule.restarts)
    chosen, ambiguous = _choose(live, restarts)
    services = _rows(classifier.rules, plain, instances, chosen, table)
    if gpu.processes is None:
        services = [replace(service, used_bytes=None) for service in services]
    return Books(
        total_bytes=gpu.total_bytes,
        used_bytes=gpu.used_bytes,
        free_bytes=gpu.free_bytes,
        reserved_bytes=gpu.reserved_bytes,
        cuda_total_bytes=gpu.cuda_total_bytes,
        services=tuple(services),
        instances=live,
        chosen=chosen,
        ambiguous=ambiguous,
        listed=gpu.processes is not None,
    )


def _group_key(rule: ServiceRule, pid: int, table: Mapping[int, ProcessInfo]) -> tuple[str, int]:
    info = table.get(pid)
    is_vllm = rule.field == "vllm" or (info is not None and vllm.is_titled(info))
    if is_vllm or vllm.server_of(pid, table) is not None:
        return (rule.name, vllm.owner_of(pid, table))
    return (rule.name, 0)


def _instance(rule: ServiceRule, owner: int, processes: list[GpuProcess], table: Mapping[int, ProcessInfo]) -> Instance:
    pids = _by_size(processes)
    server = vllm.server_of(pids[0], table)
    return Instance(
        rule=rule,
        owner_pid=owner or pids[0],
        pids=pids,
        used_bytes=_used(processes),
        args=serve_args.parse(server.cmdline) if server and server.cmdline else None,
        orphan=any(vllm.is_orphan(pid, table) for pid in pids),
    )


def _choose(live: tuple[Instance, ...], restarts: int | None) -> tuple[Instance | None, bool]:
    if restarts is not None:
        for instance in live:
            if instance.answers_to(restarts):
                return instance, False
        return None, False
    if not live:
        return None, False
    return live[0], len(live) > 1


def _rows(
    rules: tuple[ServiceRule, ...],
    plain: dict[str, list[GpuProcess]],
    instances: list[Instance],
    chosen: Instance | None,
    table: Mapping[int, ProcessInfo],
) -> list[Service]:
    rows: list[Service] = []
    for name in dict.fromkeys(rule.name for rule in rules):
        if chosen is not None and chosen.rule.name == name:
            rows.append(_instance_row(chosen, name, Role.RESTARTS, table))
            if plain[name]:
                rows.append(_plain_row(f"{name} (rest)", plain[name], table))
        elif plain[name] or not any(i.rule.name == name and not i.orphan for i in instances):
            rows.append(_plain_row(name, plain[name], table))
    labels: dict[str, int] = {}
    for instance in instances:
        if instance is chosen or instance.orphan:
            continue
        labels[instance.label] = labels.get(instance.label, 0) + 1
        label = instance.label if labels[instance.label] == 1 else f"{instance.label}#{instance.owner_pid}"
        rows.append(_instance_row(instance, label, Role.PERSISTENT, table))
    orphans = [i for i in instances if i.orphan]
    if orphans:
        rows.append(_orphan_row(orphans))
    rows.append(_plain_row(OTHER, plain[OTHER], table))
    return rows


def _plain_row(name: str, processes: list[GpuProcess], table: Mapping[int, ProcessInfo]) -> Service:
    return Service(
        name=name,
        role=Role.PERSISTENT,
        used_bytes=_used(processes),
        pids=_by_size(processes),
        note=_unreadable([p.pid for p in processes], table),
    )


def _instance_row(instance: Instance, name: str, role: Role, table: Mapping[int, ProcessInfo]) -> Service:
    return Service(
        name=name,
        role=role,
        used_bytes=instance.used_bytes,
        pids=instance.pids,
        note=_unreadable(instance.pids, table),
        instance_pid=instance.owner_pid,
    )


def _orphan_row(orphans: list[Instance]) -> Service:
    return Service(
        name=ORPHAN,
        role=Role.ORPHAN,
        used_bytes=_sum([i.used_bytes for i in orphans]),
        pids=tuple(pid for i in orphans for pid in i.pids),
        note="engine without a server; its memory stays until it is ended",
    )


def _unreadable(pids: Sequence[int], table: Mapping[int, ProcessInfo]) -> str:
    problems = {
        info.problem if info is not None else "not found"
        for info in (table.get(pid) for pid in pids)
        if info is None or info.problem is not None
    }
    return ", ".join(sorted(str(problem) for problem in problems))
