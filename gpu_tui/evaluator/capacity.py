"""How many requests the machine holds at once, and how far that figure can be trusted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gpu_tui.core.checks import CheckReport
from gpu_tui.core.origins import OriginKind
from gpu_tui.ports import BenchResult
from gpu_tui.units import bytes_to_mib

MIB_A_REQUEST = 200
"""The optimizer's own rule of thumb, where the server does not tell of its KV cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Concurrent requests, at least 1, with the origin of the figure."""

    requests: int
    kind: OriginKind
    source: str
    """Its formula with the figures in it."""

    @property
    def origin(self) -> dict[str, Any]:
        """As the result writes it."""
        return {"kind": self.kind.value, "source": self.source}


def by_free_memory(report: CheckReport) -> Capacity | None:
    """max(1, ⌊free MiB / 200⌋), assumed; None when free memory is unknown."""
    free = report.books.free_bytes
    if free is None:
        return None
    mib = bytes_to_mib(free)
    source = f"{mib:.0f} MiB free ÷ {MIB_A_REQUEST} MiB a request"
    return Capacity(requests=max(1, int(mib // MIB_A_REQUEST)), kind=OriginKind.ASSUMED, source=source)


def by_kv_cache(got: BenchResult, *, proxy_for: float | None, simulated: bool = False) -> Capacity | None:
    """max(1, ⌊KV-cache tokens / tokens of a request⌋): requests whose whole context fits at once.

    Args:
        got: the run. Tokens of a request are its prompt's and its answer's, as the server counted them.
        proxy_for: the candidate's utilization, where the server that was measured does not run at it.
        simulated: the server is the demo's, and its figures are invented.

    Returns:
        None where the server tells either figure not.
    """
    tokens, each = got.kv_cache_tokens, got.tokens_per_request
    if tokens is None or each is None or each <= 0:
        return None
    # As weak as its weaker input: the length of requests was counted by the server.
    kind = OriginKind.MEASURED if got.kv_cache_origin == OriginKind.MEASURED else OriginKind.DERIVED
    source = f"{tokens} KV-cache tokens ({got.kv_cache_source}) ÷ {each:g} tokens a request"
    if proxy_for is not None:
        at = got.measured_at_utilization
        runs = "which does not tell its utilization" if at is None else f"which runs at {at:g}"
        source += f"; a proxy: those of the server, {runs}, not of one at {proxy_for:g}"
    if simulated:
        kind, source = OriginKind.ASSUMED, f"{source}; simulated"
    return Capacity(requests=max(1, math.floor(tokens / each)), kind=kind, source=source)
