"""What is known of every GPU at one reading: its books, and what the configured plan comes to on it.

The exporter and `gpu-tui watch` both start from here.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpu_tui.core.books import Books
from gpu_tui.core.checks import Status
from gpu_tui.core.plan import Plan
from gpu_tui.core.planning import Judgement
from gpu_tui.core.reasons import reason
from gpu_tui.core.snapshot import Fault, Gpu, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """One GPU."""

    gpu: Gpu
    books: Books
    fault: Fault | None = None
    """What keeps it from being judged whatever its figures say."""
    plan: Plan | None = None
    """None: the configured plan is not about this GPU, or it is open whether it is; `unjudged` says why."""
    judgement: Judgement | None = None
    """None with `plan`."""
    unjudged: str = ""
    """Why a plan that may be about this GPU is not judged; empty when it is, or is about another GPU."""

    @property
    def status(self) -> Status | None:
        """The verdict; None when the plan is about another GPU."""
        if self.judgement is None:
            return Status.UNKNOWN if self.unjudged else None
        return Status.UNKNOWN if self.fault is not None else self.judgement.report.status

    @property
    def reason(self) -> str:
        """The verdict in words; empty when the plan is about another GPU."""
        if self.judgement is None:
            return self.unjudged
        return self.fault.message if self.fault is not None else reason(self.judgement.report)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessed:
    """The machine at one reading."""

    snapshot: Snapshot
    gpus: tuple[Assessment, ...]
