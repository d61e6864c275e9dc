"""Who starts a process again: its systemd unit, or the compose service of its container."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpu_tui.clock import Clock, SystemClock
from gpu_tui.telemetry.cgroups import keeper
from gpu_tui.telemetry.containers import Containers

_MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """None where it cannot be told."""

    unit: str | None = None
    """``vllm.service``."""
    user_unit: bool = False
    """The unit belongs to a user's manager."""
    compose_service: str | None = None
    """By the container's label, which Docker's files tell root and its socket tells the group ``docker``."""


def manager_of(pid: int, root: Path = Path("/"), clock: Clock | None = None) -> Manager:
    """What /proc/PID/cgroup and the container's runtime tell; empty where neither can be read.

    Reads files, and a runtime's socket: not for a UI's own thread.

    Args:
        pid: of the server.
        root: stands in for the file system's in tests.
        clock: for a socket that does not answer.
    """
    process = root / "proc" / str(pid)
    try:
        with (process / "cgroup").open("rb") as file:
            told = file.read(_MOST_BYTES).decode("utf-8", "replace")
        uid = process.stat().st_uid
    except OSError:
        return Manager()  # gone, or hidden: then it says nothing
    who = keeper(told)
    if who.container is None:
        return Manager(unit=who.unit, user_unit=who.user is not None)
    return Manager(compose_service=Containers(clock or SystemClock(), root).compose_service(who, uid))
