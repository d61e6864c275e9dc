"""Where a service lives, by its processes: units, containers, pods, users, ports, parents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gpu_tui.core import serve_args, vllm
from gpu_tui.core.books import Service
from gpu_tui.core.family import family_ports, parents
from gpu_tui.core.serve_args import ServeArgs
from gpu_tui.core.snapshot import ProcessInfo, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """What is known of a service; empty where nothing is. In the order of its processes, the largest first."""

    users: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    """``ollama.service``; of a user's own manager ``voice.service (uid 1000)``."""
    containers: tuple[str, ...] = ()
    """``whisper (docker, fedirz/faster-whisper-server)``, or the beginning of the id."""
    pods: tuple[str, ...] = ()
    """``prod/judge-0``."""
    ports: tuple[int, ...] | None = None
    """None: they may not be read."""
    parents: tuple[str, ...] = ()
    """Of the largest process, nearest first: ``vllm (2838977)``."""
    inner_pids: tuple[tuple[int, int], ...] = ()
    """(pid, pid inside) where a process has another one in its own namespace."""
    server: ProcessInfo | None = None
    """vLLM's server above it, or itself."""
    args: ServeArgs | None = None
    """Model and flags of that server."""


def whereabouts(service: Service, snapshot: Snapshot) -> Whereabouts:
    """Everything the process table tells of a service."""
    table = snapshot.processes
    infos = [info for pid in service.pids if (info := table.get(pid)) is not None]
    server = vllm.server_of(service.pids[0], table) if service.pids else None
    known = [*infos, server] if server is not None and server not in infos else infos
    ports = [found for info in infos if (found := family_ports(info.pid, table)) is not None]
    chain = parents(service.pids[0], table) if service.pids else ()
    return Whereabouts(
        users=_each(known, lambda info: info.user),
        units=_each(known, unit_words),
        containers=_each(known, container_words),
        pods=_each(known, pod_words),
        ports=tuple(sorted({port for found in ports for port in found})) if ports else None,
        parents=tuple(f"{one.name or '?'} ({one.pid})" for one in chain),
        inner_pids=tuple((info.pid, info.inner_pid) for info in infos if info.inner_pid is not None),
        server=server,
        args=serve_args.parse(server.cmdline) if server is not None and server.cmdline else None,
    )


def unit_words(info: ProcessInfo) -> str | None:
    """A unit, and whose manager keeps it."""
    if info.unit is None:
        return None
    return info.unit if info.unit_uid is None else f"{info.unit} (uid {info.unit_uid})"


def container_words(info: ProcessInfo) -> str | None:
    """A container by its name, else by its id as the runtimes shorten it."""
    if info.container is None:
        return None
    more = ", ".join(filter(None, (info.runtime, info.image)))
    name = info.container_name or info.container[:12]
    return f"{name} ({more})" if more else name


def pod_words(info: ProcessInfo) -> str | None:
    """A pod with its namespace."""
    return None if info.pod is None else "/".join(filter(None, (info.namespace, info.pod)))


def _each(infos: Sequence[ProcessInfo], words: Callable[[ProcessInfo], str | None]) -> tuple[str, ...]:
    told: Iterable[str | None] = map(words, infos)
    return tuple(dict.fromkeys(word for word in told if word))
