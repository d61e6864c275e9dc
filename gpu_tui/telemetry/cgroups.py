"""What a process's control group tells of where it lives: a systemd unit, a container, a pod."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CONTAINER = re.compile(r"(?:^|[-/:])([0-9a-f]{64})(?:\.scope)?(?=/|$)")
_POD = re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})(?:\.slice)?(?=/|$)")
_RUNTIMES = (
    ("libpod", "podman"),
    ("cri-containerd", "containerd"),
    ("crio", "cri-o"),
    ("docker", "docker"),
    ("nerdctl", "containerd"),
    ("k8s.io", "containerd"),
)
"""What a container's group is called, and by whom: docker, podman, containerd's CRI plugin, CRI-O, nerdctl."""
_USER = re.compile(r"/user@(\d{1,10})\.service/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """None where the control group does not say it."""

    unit: str | None = None
    """``vllm.service``."""
    user: int | None = None
    """Uid of the user whose unit it is; None for a unit of the system."""
    container: str | None = None
    """64 hexadecimal digits."""
    pod: str | None = None
    """A Kubernetes pod's uid, with hyphens."""
    runtime: str | None = None
    """``docker``, ``podman``, ``containerd``, ``cri-o``, by how the group is called."""


def keeper(cgroup: str) -> Keeper:
    """Read the text of /proc/PID/cgroup, of either version; cgroups(7).

    Lines are ``hierarchy:controllers:path``; systemd's own is ``0::`` or ``name=systemd``. A unit's name may hold any
    character but a slash and a newline.
    """
    paths = [line.split(":", 2)[2] for line in cgroup.splitlines() if line.count(":") >= 2]
    text = "\n".join(paths)
    groups = [(path, match[1]) for path in paths if (match := _CONTAINER.search(path))]
    container = groups[0][1] if groups else None
    runtime = _runtime(groups[0][0]) if groups else None
    pod = _POD.search(text)
    unit, user = (
        (None, None) if container else next((found for path in paths if (found := _unit(path))[0]), (None, None))
    )
    uid = pod[1].replace("_", "-") if pod else None
    return Keeper(unit=unit, user=user, container=container, pod=uid, runtime=runtime)


def _runtime(path: str) -> str | None:
    return next((runtime for mark, runtime in _RUNTIMES if mark in path), None)


def _unit(path: str) -> tuple[str | None, int | None]:
    user = _USER.search(path + "/")
    own = path[user.end() :] if user else path
    # The innermost unit: a service may have groups of its own below it.
    names = [part for part in own.split("/") if part.endswith(".service") and not part.startswith("-")]
    return (names[-1], int(user[1]) if user else None) if names else (None, None)
