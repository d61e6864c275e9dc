"""What ollama tells of the models it has loaded: the answer of ``GET /api/ps`` (docs/api.md of ollama/ollama)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpu_tui.core.books import Service
from gpu_tui.core.family import family
from gpu_tui.core.snapshot import ProcessInfo

DEFAULT_PORT = 11434
_MOST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """One model in memory."""

    name: str
    vram_bytes: int | None = None
    """``size_vram``: what ollama reckons it takes of the GPUs, over all of them; not what the driver sees."""
    expires_at: str | None = None
    """When it is unloaded unless it is asked again, as ollama writes the instant."""
    context_length: int | None = None


def parse_ps(body: str) -> tuple[LoadedModel, ...] | None:
    """The models, in ollama's order; () when none is loaded, None when the text is no such answer."""
    try:
        models = json.loads(body)["models"]
        rows = list(models)[:_MOST] if models is not None else []
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return tuple(_model(row) for row in rows if isinstance(row, dict) and isinstance(row.get("name"), str))


def _model(row: dict[str, Any]) -> LoadedModel:
    vram, context, until = row.get("size_vram"), row.get("context_length"), row.get("expires_at")
    return LoadedModel(
        name=row["name"][:200],
        vram_bytes=vram if type(vram) is int and vram >= 0 else None,
        expires_at=until[:64] if isinstance(until, str) else None,
        context_length=context if type(context) is int and context > 0 else None,
    )


def server_ports(service: Service, processes: Mapping[int, ProcessInfo]) -> tuple[int, ...]:
    """Where a service's ollama server listens, the likeliest first; () when it is none.

    ``ollama runner``, which holds the memory, listens as well, but only its parent ``ollama serve`` has the API. Where
    no port may be read, ollama's default is tried.
    """
    ports: dict[int, None] = {}
    found = False
    for pid in service.pids:
        for info in family(pid, processes):
            words = info.cmdline or ()
            if "ollama" not in (info.name or "") and not (words and words[0].endswith("ollama")):
                continue
            found = True
            if "runner" not in words[1:2]:
                ports |= dict.fromkeys(info.ports or ())
    if found and not ports:
        return (DEFAULT_PORT,)
    return tuple(sorted(ports, key=lambda port: (port != DEFAULT_PORT, port)))
