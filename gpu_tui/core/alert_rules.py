"""What an operator wants to be told of, and what one observation says about it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from gpu_tui.core.checks import Status
from gpu_tui.core.observation import GpuSeen, Observation
from gpu_tui.core.services import Role
from gpu_tui.units import MIB, format_mib


class When(StrEnum):
    """What a rule looks at."""

    SERVICE_GONE = "service_gone"
    PLAN_INVALID = "plan_invalid"
    MEMORY_ABOVE = "memory_above"
    GROWTH = "growth"
    KV_CACHE_FULL = "kv_cache_full"
    LATENCY = "latency_above_slo"
    TEMPERATURE = "temperature"
    TELEMETRY_LOST = "telemetry_lost"
    """The machine cannot be read: no other rule can tell anything then."""


UNITS = {
    When.MEMORY_ABOVE: "mib",
    When.GROWTH: "mib",
    When.KV_CACHE_FULL: "pct",
    When.LATENCY: "ms",
    When.TEMPERATURE: "c",
}
"""In which unit a rule's limits are given; the others have none."""
SIGNS = {"mib": "MiB", "pct": "%", "ms": "ms", "c": "°C"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule; equal rules are the same rule."""

    name: str
    when: When
    service: str | None = None
    """The service it is about; None: the whole GPU."""
    gpu: str | None = None
    """NVML's index or a UUID; None: every GPU, each by itself."""
    above: float | None = None
    """Raised above this, in the unit of `UNITS`."""
    clear: float | None = None
    """Over at this or below; at most `above`."""
    window_s: float = 600.0
    """GROWTH: over how long."""
    figure: str = "llm"
    """LATENCY: ``llm``, ``llm_ttft`` or ``stt``; p95."""
    for_s: float = 0.0
    """How long it must hold before it is raised."""
    clear_for_s: float = 0.0
    """How long it must be over before it is cleared."""
    latch: bool = False
    """Stays until a person has acknowledged it."""


class Signal(StrEnum):
    """What an observation says of a rule."""

    BREACH = "breach"
    BETWEEN = "between"
    """Not above the limit, not yet down to where it is over: it neither raises nor clears."""
    CALM = "calm"
    UNKNOWN = "unknown"
    """Nothing can be told: timers stand still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule at one GPU."""

    gpu: str = ""
    """`Gpu.key`; empty: the whole machine."""
    gpu_index: int | None = None
    signal: Signal
    words: str = ""
    """What holds, for people; may hold what others wrote."""


class Growth:
    """The least of a signal over the last `window_s` seconds; between two samples the earlier one is taken to hold.

    Holds rising samples alone, at most `MOST`: beyond, every second is dropped, and growth told a little smaller.
    """

    MOST = 2048

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._held: deque[tuple[float, float]] = deque()
        """(value, until when it or less was held), values rising."""

    def add(self, at_s: float, value: float) -> float:
        """Take a sample; returns by how much it is above the least."""
        if self._held:
            self._held[-1] = (self._held[-1][0], max(at_s, self._held[-1][1]))
        while self._held and self._held[-1][0] >= value:
            self._held.pop()
        self._held.append((value, at_s))
        while self._held[0][1] < at_s - self._window_s:
            self._held.popleft()
        if len(self._held) > self.MOST:
            self._held = deque([*list(self._held)[:-1:2], self._held[-1]])
        return value - self._held[0][0]

    def forget(self) -> None:
        """Start anew: the service is another one."""
        self._held.clear()


def findings(rule: Rule, seen: Observation, growth: dict[str, Growth]) -> Iterator[Finding]:
    """What an observation says of a rule, GPU by GPU; nothing of GPUs it does not show.

    Args:
        rule: the rule.
        seen: the machine.
        growth: GROWTH's memory by `Gpu.key`, kept by the caller.
    """
    if rule.when is When.TELEMETRY_LOST:
        words = "" if seen.fault is None else f"The machine cannot be read: {seen.fault.message}"
        yield Finding(signal=Signal.CALM if seen.fault is None else Signal.BREACH, words=words)
        return
    if rule.when is When.LATENCY:
        yield _limit(rule, seen.latency_ms.get(rule.figure), f"the p95 of {rule.figure} is")
        return
    if seen.fault is not None:
        return
    gpus = [gpu for gpu in seen.gpus if rule.gpu is None or rule.gpu in (gpu.key, str(gpu.index))]
    if rule.when is When.SERVICE_GONE:
        if gpus or rule.gpu is None:
            yield _gone(rule, gpus)
        return
    for gpu in gpus:
        if rule.when is not When.PLAN_INVALID or gpu.status is not None:
            yield _on(rule, gpu, seen.at_s, growth)


def _gone(rule: Rule, gpus: list[GpuSeen]) -> Finding:
    rows = [gpu.service(rule.service or "") for gpu in gpus]
    if any(row is not None and row.running for row in rows):
        return Finding(signal=Signal.CALM)
    if not gpus or any(gpu.services is None for gpu in gpus):
        return Finding(signal=Signal.UNKNOWN)
    return Finding(signal=Signal.BREACH, words=f"{rule.service} holds no GPU memory: it is gone")


def _on(rule: Rule, gpu: GpuSeen, at_s: float, growth: dict[str, Growth]) -> Finding:
    if rule.when is When.PLAN_INVALID:
        signal = {Status.VALID: Signal.CALM, Status.INVALID: Signal.BREACH}.get(gpu.status or Status.UNKNOWN)
        return Finding(
            gpu=gpu.key,
            gpu_index=gpu.index,
            signal=signal or Signal.UNKNOWN,
            words=f"the plan no longer holds: {gpu.reason}",
        )
    if rule.when is When.TEMPERATURE:
        value = None if gpu.temperature_c is None else float(gpu.temperature_c)
        return _limit(rule, value, f"GPU {gpu.index} is at", gpu)
    if rule.when is When.KV_CACHE_FULL:
        if gpu.services is not None and not any(s.role is Role.RESTARTS and s.running for s in gpu.services):
            return Finding(gpu=gpu.key, gpu_index=gpu.index, signal=Signal.CALM)
        return _limit(rule, None if gpu.kv_usage is None else gpu.kv_usage * 100, "the KV cache is in use to", gpu)
    return _memory(rule, gpu, at_s, growth)


def _memory(rule: Rule, gpu: GpuSeen, at_s: float, growth: dict[str, Growth]) -> Finding:
    held = gpu.used_bytes
    who = rule.service or f"GPU {gpu.index}"
    if rule.service is not None:
        row = gpu.service(rule.service)
        held = None if gpu.services is None else 0 if row is None else row.used_bytes
    window = growth.setdefault(gpu.key, Growth(rule.window_s)) if rule.when is When.GROWTH else None
    if held is None or window is None:
        return _limit(rule, None if held is None else held / MIB, f"{who} holds", gpu)
    if rule.service is not None and held == 0:
        window.forget()  # one that starts has not grown
        return Finding(gpu=gpu.key, gpu_index=gpu.index, signal=Signal.CALM)
    grown = window.add(at_s, held)
    return _limit(rule, grown / MIB, f"within {rule.window_s:g} s {who} grew by", gpu)


def _limit(rule: Rule, value: float | None, what: str, gpu: GpuSeen | None = None) -> Finding:
    where = {} if gpu is None else {"gpu": gpu.key, "gpu_index": gpu.index}
    above, clear = rule.above, rule.clear
    if value is None or above is None or clear is None:
        return Finding(signal=Signal.UNKNOWN, **where)  # type: ignore[arg-type]
    signal = Signal.BREACH if value > above else Signal.CALM if value <= clear else Signal.BETWEEN
    unit = UNITS[rule.when]
    shown = format_mib(round(value * MIB)) if unit == "mib" else f"{value:.0f}"
    words = f"{what} {shown} {SIGNS[unit]}, above {above:g} {SIGNS[unit]}"
    return Finding(signal=signal, words=words, **where)  # type: ignore[arg-type]
