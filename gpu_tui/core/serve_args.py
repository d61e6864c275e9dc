"""A vLLM server's command line, read into what the product needs of it.

An engine process loses its own argv (setproctitle overwrites it), so model, port and flags are always read from its
server's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from gpu_tui.core.command_options import split

DEFAULT_PORT = 8000
"""`vllm serve` listens here when ``--port`` is not given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeArgs:
    """The options of one `vllm serve`; None where the command line does not say."""

    model: str | None = None
    served_model_name: str | None = None
    host: str | None = None
    port: int = DEFAULT_PORT
    port_given: bool = False
    gpu_memory_utilization: float | None = None
    """A share 0..1 of the GPU's memory. Not given means vLLM's default, which depends on its version."""
    max_model_len: str | None = None
    tensor_parallel_size: int | None = None


def server_start(argv: Sequence[str]) -> int | None:
    """Index of the first argument after the words that start a vLLM server; None when argv starts none.

    Whole arguments are compared, so a shell whose ``-c`` string mentions ``vllm serve`` is not taken for a server.
    """
    for i, arg in enumerate(argv):
        base = arg.rsplit("/", 1)[-1]
        if base == "vllm" and i + 1 < len(argv) and argv[i + 1] == "serve":
            return i + 2
        if (arg.startswith("vllm.entrypoints") or "/vllm/entrypoints/" in arg) and len(arg.split()) == 1:
            return i + 1
    return None


def is_server(argv: Sequence[str] | None) -> bool:
    """Whether this command line runs `vllm serve` or a module of `vllm.entrypoints`."""
    return argv is not None and _starts_server(tuple(argv))


@lru_cache(maxsize=4096)
def _starts_server(argv: tuple[str, ...]) -> bool:
    """Kept, because every reading asks it of every process on every GPU, and of its ancestors."""
    return server_start(argv) is not None


def parse(argv: Sequence[str]) -> ServeArgs | None:
    """Read a server's command line; None when it is not one. An option that cannot be read counts as not given."""
    start = server_start(argv)
    if start is None:
        return None
    options, positional = split(argv[start:])
    port = _int(options.get("port"))
    return ServeArgs(
        model=positional or options.get("model"),
        served_model_name=options.get("served-model-name"),
        host=options.get("host"),
        port=DEFAULT_PORT if port is None else port,
        port_given=port is not None,
        gpu_memory_utilization=_share(options.get("gpu-memory-utilization")),
        max_model_len=options.get("max-model-len"),
        tensor_parallel_size=_int(options.get("tensor-parallel-size") or options.get("tp")),
    )


def _int(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _share(text: str | None) -> float | None:
    try:
        share = None if text is None else float(text)
    except ValueError:
        return None
    return share if share is not None and 0 < share <= 1 else None
