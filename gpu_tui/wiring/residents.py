"""The models that a GPU's ollama has loaded, by its own word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gpu_tui.core.books import Books, Service
from gpu_tui.core.ollama import LoadedModel, parse_ps, server_ports
from gpu_tui.core.snapshot import Snapshot

_MOST_ASKED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Residents:
    """Of one service."""

    models: tuple[LoadedModel, ...] | None = None
    """() when it has none loaded; None when it did not say."""
    source: str = ""
    """``/api/ps of port 11434``; empty for a service that is not ollama."""

    @property
    def vram_bytes(self) -> int | None:
        """What it reckons they take of the GPUs together; None when it does not say of each."""
        sizes = [model.vram_bytes for model in self.models or ()]
        return sum(size for size in sizes if size is not None) if sizes and None not in sizes else None


def residents(service: Service, snapshot: Snapshot, get: Callable[[int, str], str | None] | None = None) -> Residents:
    """Ask it; slow (a local port). Nothing is asked of a simulated machine or a recording.

    Args:
        service: a row of the books.
        snapshot: the machine.
        get: stands in for the port in tests: (port, path) to the body, or None.
    """
    if not snapshot.here:
        return Residents()
    ask = get or _get
    ports = server_ports(service, snapshot.processes)[:_MOST_ASKED]
    for port in ports:
        body = ask(port, "/api/ps")
        models = parse_ps(body) if body is not None else None
        if models is not None:
            return Residents(models=models, source=f"/api/ps of port {port}")
    return Residents(source=f"/api/ps of port {ports[0]}" if ports else "")


def all_residents(
    books: Books, snapshot: Snapshot, get: Callable[[int, str], str | None] | None = None
) -> dict[str, Residents]:
    """Of every service that is ollama, by its name."""
    found = {service.name: residents(service, snapshot, get) for service in books.services if service.pids}
    return {name: one for name, one in found.items() if one.source}


def _get(port: int, path: str) -> str | None:
    from gpu_tui.telemetry.local_http import get

    return get(port, path)
