"""Where a process lives: its systemd unit, container, pod, and its pid inside. Read once per process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypedDict

from gpu_tui.clock import Clock
from gpu_tui.telemetry.cgroups import keeper
from gpu_tui.telemetry.containers import Containers

_CGROUP_BYTES = 65536
_STATUS_BYTES = 16384


class Place(TypedDict, total=False):
    """Fields of `ProcessInfo`."""

    unit: str | None
    unit_uid: int | None
    container: str | None
    container_name: str | None
    runtime: str | None
    image: str | None
    pod: str | None
    namespace: str | None
    inner_pid: int | None


class Places:
    """Not thread-safe."""

    def __init__(self, clock: Clock, root: Path = Path("/")) -> None:
        self._proc = os.fspath(root / "proc")
        self.containers = Containers(clock, root)

    def of(self, pid: int, uid: int | None = None) -> Place:
        """What its control group says, with the container's name; empty where that cannot be read."""
        told = _read(f"{self._proc}/{pid}/cgroup", _CGROUP_BYTES)
        if not told:
            return {}
        who = keeper(told)
        inner = inner_pid(_read(f"{self._proc}/{pid}/status", _STATUS_BYTES), pid)
        if who.container is None:  # a unit may have pids of its own as well (``PrivatePIDs=``)
            return {"unit": who.unit, "unit_uid": who.user, "pod": who.pod, "inner_pid": inner}
        named = self.containers.named(who, uid)
        return {
            "container": who.container,
            "container_name": named.name,
            "runtime": who.runtime,
            "image": named.image,
            "pod": named.pod or who.pod,
            "namespace": named.namespace,
            "inner_pid": inner,
        }


def inner_pid(status: str, pid: int) -> int | None:
    """The pid in the innermost namespace, from the text of /proc/PID/status; None where it is the same.

    ``NSpid:`` lists it from the namespace of this /proc inwards; proc_pid_status(5).
    """
    for line in status.splitlines():
        if line.startswith("NSpid:"):
            last = line.split()[-1]
            return int(last) if last.isdigit() and int(last) != pid else None
    return None


def _read(path: str, most: int) -> str:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(handle, most).decode("utf-8", "replace")
        finally:
            os.close(handle)
    except OSError:
        return ""  # gone, or hidden: then it says nothing
