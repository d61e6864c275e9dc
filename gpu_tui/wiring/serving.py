"""The server that restarts with the plan, as the texts to type need it."""

from __future__ import annotations

from pathlib import Path

from gpu_tui.core import vllm
from gpu_tui.core.books import Books
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.core.what_to_type_values import RunningServer
from gpu_tui.view.text import mask_cmdline


def running_server(snapshot: Snapshot, books: Books, root: Path = Path("/")) -> RunningServer | None:
    """Its command line, and on a live machine the unit or compose service; None where no server is known.

    Reads files, and on a live machine a container runtime's socket: not for a UI's own thread.

    Args:
        snapshot: the machine.
        books: `books.chosen` is the server.
        root: stands in for the file system's in tests.
    """
    chosen = books.chosen
    info = vllm.server_of(chosen.pids[0], snapshot.processes) if chosen is not None and chosen.pids else None
    if info is None or not info.cmdline:
        return None
    server = RunningServer(argv=info.cmdline, masked=mask_cmdline(info.cmdline))
    if not snapshot.here:
        return server
    from gpu_tui.telemetry.managers import manager_of

    manager = manager_of(info.pid, root)
    return RunningServer(
        argv=server.argv,
        masked=server.masked,
        unit=manager.unit,
        user_unit=manager.user_unit,
        compose_service=manager.compose_service,
    )
