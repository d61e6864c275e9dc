"""Who belongs to a process by descent: the parents that started it as part of one service, and the ports they hold."""

from __future__ import annotations

from collections.abc import Mapping

from gpu_tui.core.snapshot import ProcessInfo
from gpu_tui.core.vllm import lineage

MAX_ANCESTORS = 4
"""An engine's server is one or two steps up; what is further off is somebody else's."""
_STARTERS = (
    "systemd init sshd bash sh dash zsh fish tmux screen login sudo su supervisord containerd-shim runsv conmon "
    "docker-init tini dumb-init catatonit s6-svscan"
)
NOT_A_SERVICE = frozenset(_STARTERS.split())
"""Parents that start services of every kind; above them the family ends."""


def family(pid: int, processes: Mapping[int, ProcessInfo]) -> tuple[ProcessInfo, ...]:
    """The process and those of its ancestors that belong to the same service, nearest first."""
    found: list[ProcessInfo] = []
    for info in lineage(pid, processes):
        starts_others = info.pid == 1 or (info.name or "") in NOT_A_SERVICE
        if found and (starts_others or len(found) > MAX_ANCESTORS):
            break
        found.append(info)
    return tuple(found)


def parents(pid: int, processes: Mapping[int, ProcessInfo]) -> tuple[ProcessInfo, ...]:
    """Every ancestor that is known, nearest first."""
    return tuple(lineage(pid, processes))[1:]


def family_ports(pid: int, processes: Mapping[int, ProcessInfo]) -> tuple[int, ...] | None:
    """TCP ports of the process and its family, in order; None where nobody's could be read."""
    told = [info.ports for info in family(pid, processes) if info.ports is not None]
    return tuple(sorted({port for ports in told for port in ports})) if told else None
