"""Multiples of 0.0001 of a GPU's memory: what vLLM asks for at one, and the first at which that is enough."""

from __future__ import annotations

import math

STEPS = 10_000
"""The feasible range is told in multiples of 1/STEPS."""


def allocation(total_bytes: int, gpu_memory_utilization: float) -> int:
    """Bytes vLLM asks for: ceil(total × u), in float as `vllm/v1/worker/utils.py` request_memory does it."""
    return math.ceil(total_bytes * gpu_memory_utilization)


def first_holding(total: int, size: int) -> int:
    """Smallest k in 1..STEPS whose allocation is at least `size` bytes; STEPS + 1 when none is.

    The quotient is at most one step off, because allocation rounds up; the arithmetic itself decides.
    """
    if total <= 0:
        return 1 if size <= 0 else STEPS + 1
    k = min(max(1, size * STEPS // total - 1), STEPS + 1)
    while k > 1 and allocation(total, (k - 1) / STEPS) >= size:
        k -= 1
    while k <= STEPS and allocation(total, k / STEPS) < size:
        k += 1
    return k
