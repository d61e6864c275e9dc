"""A candidate as it comes in, and the result as the optimizer reads it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from numbers import Real
from typing import Any

from gpu_tui.errors import GpuTuiError

UNMEASURED_MS = 999.0
"""How the optimizer's format writes a latency that was not measured. Only here: inside the product it is None."""

DEFAULT_WHISPER = "small"


class CandidateError(GpuTuiError, ValueError):
    """A candidate does not say what is to be evaluated."""


class ResultStatus(StrEnum):
    """What became of a candidate."""

    INVALID = "invalid"
    """Outside the bounds; nothing was measured."""
    INVALID_PRODUCTION = "invalid_production"
    """A check failed; nothing was measured."""
    PASS = "pass"  # noqa: S105 - a verdict, not a password
    """Valid, measured, no OOM."""
    FAIL = "fail"
    """An OOM was seen."""
    UNMEASURED = "unmeasured"
    """Valid, but no latency could be measured; or the machine could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One configuration to be evaluated."""

    vllm_memory_util: float
    whisper_model_size: str
    whisper_named: bool
    """Whether that is the candidate's own word, and no default."""
    config_hash: str
    """The same for the same configuration, on every machine and in every run; 16 hex digits."""


def parse_candidate(given: object) -> Candidate:
    """Read a candidate.

    Raises:
        CandidateError: it is no mapping, or a value in it is missing or of the wrong kind.
    """
    if not isinstance(given, Mapping):
        raise CandidateError(f"A candidate is a mapping, not {_kind(given)}.", _EXAMPLE)
    if "vllm_memory_util" not in given:
        raise CandidateError("The candidate has no vllm_memory_util.", _EXAMPLE)
    util = given["vllm_memory_util"]
    if isinstance(util, bool) or not isinstance(util, Real):
        raise CandidateError(f"vllm_memory_util is {_kind(util)}.", _EXAMPLE)
    share = _finite(util)
    if share is None:
        raise CandidateError("vllm_memory_util is not a finite number.", _EXAMPLE)
    whisper = given.get("whisper_model_size", DEFAULT_WHISPER)
    if not isinstance(whisper, str) or not whisper:
        raise CandidateError(
            f"whisper_model_size is {_kind(whisper)}.", 'Give a name such as "small", or leave it out.'
        )
    whole = {str(key): value for key, value in given.items()}
    whole |= {"vllm_memory_util": share, "whisper_model_size": whisper}
    text = json.dumps(whole, sort_keys=True, default=repr)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    named = "whisper_model_size" in given
    return Candidate(vllm_memory_util=share, whisper_model_size=whisper, whisper_named=named, config_hash=digest)


_EXAMPLE = 'Give a share of the GPU\'s memory, as in {"vllm_memory_util": 0.50}.'


def _finite(value: Real) -> float | None:
    try:
        share = float(value)
    except OverflowError:
        return None
    return share if math.isfinite(share) else None


def _kind(value: object) -> str:
    words = {bool: "true or false", str: "text", type(None): "null", list: "a list", dict: "a mapping"}
    return words.get(type(value), f"of type {type(value).__name__}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result(Mapping[str, Any]):
    """What the optimizer gets: a mapping, and the same by attribute. Sizes in MiB, times in ms or s as named."""

    status: str
    fitness: float
    vllm_memory_util: float
    whisper_model_size: str = DEFAULT_WHISPER
    stt_latency_ms: float = UNMEASURED_MS
    """Median; 999.0 when `stt_measured` is false."""
    llm_latency_ms: float = UNMEASURED_MS
    """Median, end to end; 999.0 when `llm_measured` is false."""
    gpu_utilization: float | None = None
    """Percent of the device's memory in use now."""
    oom_events: int | None = None
    concurrent_capacity: int | None = None
    """Requests that fit at once, at least 1; see `concurrent_capacity_origin`."""
    free_memory_mb: float | None = None
    test_duration_sec: float = 0.0
    test_id: str = ""
    config_hash: str = ""
    validation_passed: bool = True
    validation_reason: str = ""
    production_services: dict[str, dict[str, Any]] | None = None
    stt_measured: bool = False
    llm_measured: bool = False
    measured_at_utilization: float | None = None
    """gpu_memory_utilization of the server the latencies belong to."""
    latency_is_proxy: bool = False
    """The latencies belong to a server that runs at another utilization than the candidate's, or does not say."""
    concurrent_capacity_origin: dict[str, Any] | None = None
    """``{kind, source}``: measured or derived from the live server's KV cache, else assumed from free memory."""
    measured_whisper_size: str | None = None
    """Size of Whisper that the STT latency belongs to, where the server or the model itself tells."""
    failed_requests: dict[str, dict[str, int]] | None = None
    """By ``llm`` and ``stt`` and kind of failure; the latencies are those of the others. None when none was sent."""

    def __getitem__(self, key: str) -> Any:
        if key not in _NAMES:
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


_NAMES = tuple(f.name for f in fields(Result))
