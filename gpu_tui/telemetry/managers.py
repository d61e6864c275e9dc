"""Who starts a process again: its systemd unit, or the compose service of its container."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from gpu_tui.telemetry.cgroups import keeper

_MOST_BYTES = 256 * 1024
_LABEL = "com.docker.compose.service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """None where it cannot be told."""

    unit: str | None = None
    """``vllm.service``."""
    user_unit: bool = False
    """The unit belongs to a user's manager."""
    compose_service: str | None = None
    """By the container's label; Docker lets only root read it."""


def manager_of(pid: int, root: Path = Path("/")) -> Manager:
    """What /proc/PID/cgroup and Docker's own files tell; empty where neither can be read.

    Args:
        pid: of the server.
        root: stands in for the file system's in tests.
    """
    told = _read(root / "proc" / str(pid) / "cgroup")
    if told is None:
        return Manager()
    who = keeper(told)
    if who.container is not None:
        return Manager(compose_service=_compose_service(root / "var/lib/docker/containers" / who.container))
    return Manager(unit=who.unit, user_unit=who.user is not None)


def _compose_service(folder: Path) -> str | None:
    try:
        labels = json.loads(_read(folder / "config.v2.json") or "")["Config"]["Labels"]
        service = labels.get(_LABEL)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return service if isinstance(service, str) else None


def _read(path: Path) -> str | None:
    """The beginning of a file; None where it is not there or may not be read."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
