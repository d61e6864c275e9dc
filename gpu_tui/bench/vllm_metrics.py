"""What vLLM's ``/metrics`` says of itself: its utilization, who it is working for, how long requests queued.

The page is untrusted: what does not parse as a plain number is unknown. Several engines of one server are summed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_UTILIZATION = re.compile(
    rb'^vllm:cache_config_info\{(?:[^\n]*,)?gpu_memory_utilization="([0-9.eE+-]{1,32})"', re.MULTILINE
)
_SAMPLE = re.compile(
    rb"^vllm:(num_requests_running|request_queue_time_seconds_sum|request_queue_time_seconds_count)"
    rb"(?:\{[^\n]*\})? ([0-9.eE+-]{1,32})(?: \d+)?\r?$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmMetrics:
    """One reading; None where the page does not say it."""

    utilization: float | None = None
    """gpu_memory_utilization; None also when engines differ."""
    running: int | None = None
    """Requests being answered now."""
    queue_sum_s: float | None = None
    """Seconds that all requests since the server's start have waited in its queue."""
    queue_count: int | None = None
    """How many those are."""

    @property
    def vllm(self) -> bool:
        """Whether this is vLLM's page at all."""
        return self.running is not None

    def queued_since(self, before: VllmMetrics) -> tuple[float, int] | None:
        """Mean seconds in the queue and number of requests since; None when none ended or the server was restarted."""
        if None in (self.queue_sum_s, self.queue_count, before.queue_sum_s, before.queue_count):
            return None
        seconds, count = (self.queue_sum_s or 0) - (before.queue_sum_s or 0), self.count_since(before)
        # Counters go back to 0 at a restart: a difference across one means nothing.
        return (seconds / count, count) if count > 0 and seconds >= 0 else None

    def count_since(self, before: VllmMetrics) -> int:
        """Requests that left the queue since, as far as is told."""
        return (self.queue_count or 0) - (before.queue_count or 0)


def parse(page: bytes) -> VllmMetrics:
    """A reading of the page; of any other page everything is None."""
    shares = {_share(text) for text in _UTILIZATION.findall(page)}
    sums: dict[bytes, float | None] = {}
    for name, text in _SAMPLE.findall(page):
        value, so_far = _number(text), sums.get(name, 0.0)
        # One engine that cannot be read makes the sum unknown, not smaller.
        sums[name] = None if value is None or so_far is None else so_far + value
    running = sums.get(b"num_requests_running")
    count = sums.get(b"request_queue_time_seconds_count")
    return VllmMetrics(
        utilization=shares.pop() if len(shares) == 1 else None,
        running=None if running is None else round(running),
        queue_sum_s=sums.get(b"request_queue_time_seconds_sum"),
        queue_count=None if count is None else round(count),
    )


def _number(text: bytes) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _share(text: bytes) -> float | None:
    value = _number(text)
    return value if value is not None and 0 < value <= 1 else None
