"""The few Protocols behind which the world sits. Use cases see adapters only through these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gpu_tui.core.books import Books
from gpu_tui.core.snapshot import Snapshot


class TelemetrySource(Protocol):
    """A machine that can be read: NVML, a scenario, a recording."""

    def read(self) -> Snapshot:
        """The machine now.

        Raises:
            SourceUnavailable: it cannot be read at all; a later call may succeed again.
        """
        ...

    def close(self) -> None:
        """Give back what is held; a second call does nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """What a bench delivered for one candidate."""

    stt_ms: float | None = None
    """Median latency of speech-to-text in ms; None when it was not measured."""
    llm_ms: float | None = None
    """Median end-to-end latency of the LLM in ms; None when it was not measured."""
    oom_events: int | None = None
    """CUDA out-of-memory answers seen; None when no server answered at all."""
    measured_at_utilization: float | None = None
    """gpu_memory_utilization of the server that answered; None when it does not say."""
    kv_cache_tokens: int | None = None
    """What that server's KV cache holds; None when it does not say."""
    kv_cache_origin: str | None = None
    """``measured`` or ``derived``; None with `kv_cache_tokens`."""
    kv_cache_source: str | None = None
    """Where it is told."""
    tokens_per_request: float | None = None
    """Mean tokens of a request's prompt and answer, as the server counted; None when it does not."""
    whisper_size: str | None = None
    """Size of Whisper behind `stt_ms`, as the server or the model itself tells; None when neither does."""
    failed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Requests that failed, by ``llm`` and ``stt`` and by kind of failure; a latency is that of the others."""
    reason: str = ""
    """Why something is None, for people."""


class Bench(Protocol):
    """Something that measures the live services."""

    def measure(
        self, snapshot: Snapshot, books: Books, planned_utilization: float, whisper_label: str | None
    ) -> BenchResult:
        """Put load on the running services and wait for the figures.

        Args:
            snapshot, books: the machine.
            planned_utilization: the candidate's, for the record.
            whisper_label: the size of Whisper that the candidate names; None when it names none. For the record, where
                the server does not tell.

        Raises:
            GpuTuiError: nothing could be measured; says why.
        """
        ...
