"""What the machine and the terminal around us allow: namespaces, permissions, colours."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from gpu_tui.cli.output import can_show_signs
from gpu_tui.telemetry.procfs import in_initial_pid_namespace

CONNECT_S = 0.5
"""Longest wait for a local port to take a connection."""


class Level(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor."""

    name: str
    level: Level
    message: str
    remedy: str = ""


def answers(url: str) -> bool:
    """Whether something takes a TCP connection there. Nothing is sent."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=CONNECT_S):
            return True
    except OSError:
        return False


def host_findings(root: Path = Path("/")) -> Iterator[Finding]:
    """Container, WSL, pid namespace, hidepid."""
    if "microsoft" in _read(root / "proc/sys/kernel/osrelease").lower():
        yield Finding(
            "WSL", Level.WARN, "this is WSL: the driver does not tell processes apart", "Read the GPU from the host."
        )
    container = container_kind(root)
    if in_initial_pid_namespace():
        yield Finding("pid namespace", Level.OK, "the machine's own")
    else:
        yield Finding(
            "pid namespace",
            Level.WARN,
            f"not the machine's own{f' ({container})' if container else ''}: the driver's pids may not be found here",
            "Run gpu-tui on the host, or start the container with --pid=host.",
        )
    hidepid = _hidepid(_read(root / "proc/self/mounts"))
    if hidepid and os.geteuid() != 0:
        yield Finding(
            "/proc",
            Level.WARN,
            f"mounted with {hidepid}: other users' processes are hidden",
            "Run as root, or remount it.",
        )
    else:
        yield Finding(
            "/proc", Level.OK, "shows other users' processes" if not hidepid else f"{hidepid}, but we are root"
        )


def container_kind(root: Path = Path("/")) -> str | None:
    """What kind of container this is; None when nothing says so."""
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    cgroup = _read(root / "proc/1/cgroup")
    return next((kind for kind in ("kubepods", "docker", "containerd", "lxc") if kind in cgroup), None)


def _hidepid(mounts: str) -> str | None:
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[1] == "/proc":
            hiding = [option for option in fields[3].split(",") if option.startswith("hidepid=")]
            if hiding and hiding[0] not in ("hidepid=0", "hidepid=off"):
                return hiding[0]
    return None


def terminal_findings() -> Iterator[Finding]:
    """Whether the explorer can be drawn here, and how."""
    if not sys.stdout.isatty():
        yield Finding("terminal", Level.WARN, "stdout is no terminal", "The explorer needs one; the commands do not.")
    term, colours = os.environ.get("TERM", ""), os.environ.get("COLORTERM", "")
    if term in ("", "dumb"):
        yield Finding(
            "TERM", Level.WARN, f"{term or 'not set'}", "Set TERM to what your terminal is, such as xterm-256color."
        )
    else:
        depth = "true colour" if colours in ("truecolor", "24bit") else "256 colours" if "256" in term else "16 colours"
        shown = "none (NO_COLOR)" if os.environ.get("NO_COLOR") else depth
        yield Finding("TERM", Level.OK, f"{ascii(term)[1:-1]}, colours: {shown}")
    size = shutil.get_terminal_size()
    small = size.columns < 80 or size.lines < 24
    remedy = "80x24 shows everything essential, 120x40 everything." if small else ""
    yield Finding("size", Level.WARN if small else Level.OK, f"{size.columns}x{size.lines}", remedy)
    if can_show_signs():
        yield Finding("characters", Level.OK, f"{sys.stdout.encoding}")
    else:
        yield Finding(
            "characters",
            Level.WARN,
            f"{sys.stdout.encoding} cannot show ✓ and ✗",
            "Set LANG to a UTF-8 locale: C.UTF-8.",
        )


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""  # not there, or not ours to read: then it says nothing
