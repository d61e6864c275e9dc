"""vLLM's processes: which is the server, which its engine and workers, and which engine has lost its server.

The tree is server (`vllm serve`, holds no GPU memory) -> ``VLLM::EngineCore`` -> ``VLLM::Worker_TP0`` ... (with tensor
or pipeline parallelism). Titles exist from 0.10 on; older engines bear their server's or multiprocessing's argv.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gpu_tui.core.serve_args import is_server
from gpu_tui.core.snapshot import ProcessInfo

TITLE = "VLLM::"
"""Default of VLLM_PROCESS_NAME_PREFIX, as setproctitle writes it."""

_REAPERS = (
    "systemd",
    "init",
    "tini",
    "dumb-init",
    "docker-init",
    "catatonit",
    "containerd-shim",
    "conmon",
    "s6-svscan",
)
"""Names of processes that adopt orphans. A parent so named never started the engine itself."""


def is_titled(info: ProcessInfo) -> bool:
    """Whether the process bears a title that vLLM gave it (comm is cut to 15 characters: ``VLLM::EngineCor``)."""
    title = info.cmdline[0] if info.cmdline else ""
    return (info.name or "").startswith(TITLE) or title.startswith(TITLE)


def lineage(pid: int, processes: Mapping[int, ProcessInfo]) -> Iterator[ProcessInfo]:
    """The process and its ancestors, nearest first, as far as they are known. Survives a cycle of reused pids."""
    seen: set[int] = set()
    current: int | None = pid
    while current is not None and current not in seen:
        seen.add(current)
        info = processes.get(current)
        if info is None:
            return
        yield info
        current = info.ppid


def server_of(pid: int, processes: Mapping[int, ProcessInfo]) -> ProcessInfo | None:
    """The vLLM server this process belongs to: itself or its nearest ancestor that runs one.

    A worker forked by V0 keeps its parent's argv to the letter; climbing on while the parent's is the same finds the
    process that was started.
    """
    found: ProcessInfo | None = None
    for info in lineage(pid, processes):
        if found is None:
            if is_server(info.cmdline):
                found = info
        elif info.cmdline == found.cmdline:
            found = info
        else:
            break
    return found


def is_orphan(pid: int, processes: Mapping[int, ProcessInfo]) -> bool:
    """Whether this is an engine or worker whose server is gone.

    True for a titled process without a server above it whose nearest untitled ancestor is pid 1 or a reaper. A parent
    that is known and is neither (a script using vLLM offline) still owns its engine; an unknown parent proves nothing.
    """
    info = processes.get(pid)
    if info is None or not is_titled(info) or server_of(pid, processes) is not None:
        return False
    for ancestor in lineage(pid, processes):
        if is_titled(ancestor):
            if ancestor.ppid in (0, 1):
                parent = processes.get(ancestor.ppid)
                return ancestor.ppid == 0 or parent is None or not is_server(parent.cmdline)
            continue
        return ancestor.pid == 1 or (ancestor.name or "").startswith(_REAPERS)
    return False


def owner_of(pid: int, processes: Mapping[int, ProcessInfo]) -> int:
    """The pid by which processes of one instance are grouped: the server's, else the topmost known vLLM ancestor's.

    For vLLM used offline from a script that is the script's pid, which started the engine.
    """
    server = server_of(pid, processes)
    if server is not None:
        return server.pid
    top = pid
    for info in lineage(pid, processes):
        if is_titled(info):
            top = info.pid
            if info.ppid is not None and info.ppid > 1 and info.ppid in processes:
                parent = processes[info.ppid]
                if not is_titled(parent) and not (parent.name or "").startswith(_REAPERS):
                    return parent.pid
        else:
            break
    return top
