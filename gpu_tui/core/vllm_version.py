"""How a release of vLLM accounts GPU memory at start-up: what changed, and when.

Read in the released sources 0.4.2 to 0.33.0; a change between two releases that were opened is dated from
the pull request named beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

Release = tuple[int, int, int]

NEWEST: Release = (0, 33, 0)
"""What an unknown version is taken for: the newest release that was read."""


class TokenRule(StrEnum):
    """What the log line ``GPU KV cache size: N tokens`` (V0: 16 × ``# GPU blocks``) counts."""

    BLOCKS = "blocks"
    """num_blocks × block size: V0, and V1 up to 0.8."""
    PER_GROUP = "per_group"
    """num_blocks // groups × smallest block size: 0.9 to 0.19; far too small for hybrid models."""
    CONCURRENCY = "concurrency"
    """int(max_concurrency × max_model_len): since 0.20.2; for hybrid models it depends on max_model_len."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """The rules one release starts by."""

    release: Release | None
    """None: not told; the newest release's rules are assumed."""
    v0: bool
    """The old engine: default up to 0.7, removed in 0.11."""
    dated: bool = False
    """Told by a date alone: the newest release of that day."""

    @property
    def _release(self) -> Release:
        return self.release or ((0, 8, 5) if self.v0 else NEWEST)

    @property
    def start_gate(self) -> bool:
        """Free memory is compared with the request before anything is loaded (since 0.9.1, V1 only)."""
        return not self.v0 and self._release >= (0, 9, 1)

    @property
    def counts_others(self) -> bool:
        """Other processes' memory is taken off the KV cache: 0.6.4, and V1 up to 0.9.0 (#9352, #14376)."""
        if self.v0:
            return (0, 6, 4) <= self._release < (0, 6, 5)
        return self._release < (0, 9, 1)

    @property
    def graphs_inside(self) -> bool:
        """The estimated CUDA graphs are taken off the KV cache (since 0.20); before, they come on top of the budget."""
        return not self.v0 and self._release >= (0, 20, 0)

    @property
    def reserves_null_block(self) -> bool:
        """One block is taken off before the check of max_model_len (since 0.30)."""
        return not self.v0 and self._release >= (0, 30, 0)

    @property
    def context_before_snapshot(self) -> bool:
        """The engine's own CUDA context is already missing from the free memory it sees (since 0.11)."""
        return self._release >= (0, 11, 0)

    @property
    def default_gpu_memory_utilization(self) -> float:
        """0.9 up to 0.19, since 0.20 0.92 (`vllm/config/cache.py` CacheConfig)."""
        return 0.92 if self.graphs_inside else 0.9

    @property
    def token_rule(self) -> TokenRule:
        """How the logged token count is made."""
        if self.v0 or self._release < (0, 9, 0):
            return TokenRule.BLOCKS
        return TokenRule.CONCURRENCY if self._release >= (0, 20, 0) else TokenRule.PER_GROUP

    @property
    def mla_cache(self) -> bool:
        """DeepSeek's latent cache is stored as such (since 0.7); before, as full keys and values."""
        return self._release >= (0, 7, 0)

    @property
    def label(self) -> str:
        """``vLLM 0.19.1``, for people."""
        if self.release is None:
            return "vLLM V0, release not told" if self.v0 else "vLLM, release not told: newest assumed"
        engine = " (V0)" if self.v0 and self.release >= (0, 6, 4) else ""
        of = "of that day, as " if self.dated else ""
        return f"vLLM {of}{'.'.join(map(str, self.release))}{engine}"


_NUMBER = re.compile(r"(?<![\d.])v?(\d{1,3})\.(\d{1,3})(?:\.(\d{1,4}))?")
_DATE = re.compile(r"(?<!\d)(20\d\d-[01]\d-[0-3]\d)(?!\d)")
_V0 = re.compile(r"\bV0\b|VLLM_USE_V1=(?:0|[Ff]alse)\b")
_V1 = re.compile(r"\bV1\b|VLLM_USE_V1=(?:1|[Tt]rue)\b")


_PUBLISHED: tuple[tuple[str, Release], ...] = (
    ("2024-11-15", (0, 6, 4)),
    ("2024-12-17", (0, 6, 5)),
    ("2025-01-27", (0, 7, 0)),
    ("2025-03-18", (0, 8, 0)),
    ("2025-05-28", (0, 9, 0)),
    ("2025-06-10", (0, 9, 1)),
    ("2025-10-04", (0, 11, 0)),
    ("2026-03-07", (0, 17, 0)),
    ("2026-04-27", (0, 20, 0)),
    ("2026-05-29", (0, 22, 0)),
    ("2026-06-30", (0, 24, 0)),
    ("2026-07-25", (0, 26, 0)),
    ("2026-08-26", (0, 28, 0)),
    ("2026-09-22", (0, 30, 0)),
    ("2026-10-18", (0, 32, 0)),
)
"""When the releases that changed something here were built: the dates inside their source packages."""
_BEFORE: Release = (0, 6, 0)


def _of_date(date: str) -> Release:
    return next((release for day, release in reversed(_PUBLISHED) if day <= date), _BEFORE)


@lru_cache(maxsize=256)
def accounting_of(version: str | None) -> Accounting:
    """The rules of a version as people and logs write it; None and what bears no number: the newest.

    ``0.19.1``, ``v0.8.5.post1 (V0)``, ``0.21.1rc1.dev9+g1a2b3c4``, ``V0``; ``main 2025-07-24``: what was newest then.
    """
    text = version or ""
    match = _NUMBER.search(text)
    release = (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None
    date = _DATE.search(text) if match is None else None
    if date is not None:
        release = _of_date(date[1])
    if _V0.search(text):
        v0 = release is None or release < (0, 11, 0)
    elif _V1.search(text):
        v0 = False
    else:
        v0 = release is not None and release < (0, 8, 0)
    return Accounting(release=release, v0=v0, dated=date is not None)
