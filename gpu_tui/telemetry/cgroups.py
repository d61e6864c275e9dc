"""What a process's control group tells of who keeps its log: a systemd unit, a container, a pod."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CONTAINER = re.compile(r"(?:^|[-/:])([0-9a-f]{64})(?:\.scope)?(?=/|$)")
_POD = re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})(?:\.slice)?(?=/|$)")
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


def keeper(cgroup: str) -> Keeper:
    """Read the text of /proc/PID/cgroup, of either version; cgroups(7).

    Lines are ``hierarchy:controllers:path``; systemd's own is ``0::`` or ``name=systemd``. A unit's name may hold any
    character but a slash and a newline.
    """
    paths = [line.split(":", 2)[2] for line in cgroup.splitlines() if line.count(":") >= 2]
    text = "\n".join(paths)
    container = next((found[1] for path in paths if (found := _CONTAINER.search(path))), None)
    pod = _POD.search(text)
    unit, user = (
        (None, None) if container else next((found for path in paths if (found := _unit(path))[0]), (None, None))
    )
    return Keeper(unit=unit, user=user, container=container, pod=pod[1].replace("_", "-") if pod else None)


def _unit(path: str) -> tuple[str | None, int | None]:
    user = _USER.search(path + "/")
    own = path[user.end() :] if user else path
    # The innermost unit: a service may have groups of its own below it.
    names = [part for part in own.split("/") if part.endswith(".service") and not part.startswith("-")]
    return (names[-1], int(user[1]) if user else None) if names else (None, None)
