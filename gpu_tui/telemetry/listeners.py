"""Where processes listen for TCP connections: how a service's HTTP port is found without asking for it."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

from gpu_tui.core.family import MAX_ANCESTORS, NOT_A_SERVICE


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One listening TCP socket."""

    pid: int
    """Whose it is: the process asked about, or a relative of it."""
    address: str
    port: int

    @property
    def url(self) -> str:
        """Where to reach it from this machine: loopback for a wildcard, else its own address."""
        address = ipaddress.ip_address(self.address.partition("%")[0])
        # A socket for both families names its IPv4 clients and itself so.
        address = getattr(address, "ipv4_mapped", None) or address
        if address.is_unspecified or address == ipaddress.ip_address("127.0.0.1"):
            return f"http://127.0.0.1:{self.port}"
        host = f"[{address}]" if address.version == 6 else str(address)
        return f"http://{host}:{self.port}"


def listening_ports(
    pids: Iterable[int], open_process: Callable[[int], psutil.Process] = psutil.Process
) -> dict[int, tuple[Listener, ...] | None]:
    """The listeners of each process and of its family: itself, then its parents, then its children.

    A GPU's memory is often held by a child of the process that listens (vLLM's engine, ollama's runner), and
    sometimes the other way round (workers of one server). One socket shared by several is named once.

    Args:
        pids: the processes asked about.
        open_process: how to look at the first of a family.

    Returns:
        By pid; () when nobody listens or the process has gone; None when the kernel refused to tell.
    """
    return {pid: _family_listeners(pid, open_process) for pid in dict.fromkeys(pids)}


def _family_listeners(pid: int, open_process: Callable[[int], psutil.Process]) -> tuple[Listener, ...] | None:
    found: dict[tuple[str, int], Listener] = {}
    denied = False
    for process in _family(pid, open_process):
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.NoSuchProcess:
            continue
        except (psutil.AccessDenied, PermissionError):
            denied = True
            continue
        for connection in connections:
            if connection.status == psutil.CONN_LISTEN and connection.laddr:
                address, port = connection.laddr[:2]
                found.setdefault((address, port), Listener(pid=process.pid, address=address, port=port))
    return None if denied and not found else tuple(found.values())


def _family(pid: int, open_process: Callable[[int], psutil.Process]) -> list[psutil.Process]:
    try:
        process = open_process(pid)
        family = [process]
        for parent in process.parents()[:MAX_ANCESTORS]:
            if parent.pid in (1, os.getpid()) or parent.name() in NOT_A_SERVICE:
                break
            family.append(parent)
        return family + process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    except psutil.AccessDenied:
        return [process]
