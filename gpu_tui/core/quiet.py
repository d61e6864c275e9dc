"""Whether GPUs' memory has been steady for a while: pure, one reading after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gpu_tui.units import MIB, format_mib

STEADY_BYTES = 64 * MIB
"""Free memory that moves by less counts as steady: above what a desktop and an idle service's allocator move."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """The steady stretch that reaches up to the last reading; it began with the reading that ended the one before."""

    since_s: float
    last_s: float
    lows: Mapping[str, int] = field(default_factory=dict)
    """Least of each figure since then: free memory by GPU, and what each service holds."""
    highs: Mapping[str, int] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    """GPUs whose free memory could not be read."""
    moved: str = ""
    """What ended the stretch before, in words."""

    @property
    def lasted_s(self) -> float:
        """How long it has been steady."""
        return max(0.0, self.last_s - self.since_s)


def see(
    quiet: Quiet | None,
    at_s: float,
    free: Mapping[str, int | None],
    held: Mapping[str, int] | None = None,
    *,
    steady_bytes: int = STEADY_BYTES,
) -> Quiet:
    """One more reading; the stretch begins anew where a GPU's free memory moved by `steady_bytes` or is unknown.

    Args:
        quiet: what the readings before came to; None at the first.
        at_s: monotonic seconds.
        free: free bytes by GPU, as people call it.
        held: bytes by service, to name who moved.
        steady_bytes: from how much on it counts as moved.
    """
    known = {name: size for name, size in free.items() if size is not None}
    figures = {**{f"GPU {name}": size for name, size in known.items()}, **(held or {})}
    unknown = tuple(name for name in free if name not in known)
    fresh = Quiet(since_s=at_s, last_s=at_s, lows=figures, highs=figures, unknown=unknown)
    if unknown:
        return _because(fresh, f"the free memory of GPU {unknown[0]} cannot be read")
    if quiet is None:
        return fresh
    if quiet.unknown or at_s < quiet.last_s or any(f"GPU {name}" not in quiet.lows for name in known):
        return _because(fresh, quiet.moved)
    lows = {name: min(size, quiet.lows.get(name, size)) for name, size in figures.items()}
    highs = {name: max(size, quiet.highs.get(name, size)) for name, size in figures.items()}
    over = [name for name in known if highs[f"GPU {name}"] - lows[f"GPU {name}"] >= steady_bytes]
    if over:
        return _because(fresh, _words(over[0], lows, highs, quiet, held or {}))
    return Quiet(since_s=quiet.since_s, last_s=at_s, lows=lows, highs=highs, moved=quiet.moved)


def _because(fresh: Quiet, moved: str) -> Quiet:
    return Quiet(
        since_s=fresh.since_s,
        last_s=fresh.last_s,
        lows=fresh.lows,
        highs=fresh.highs,
        unknown=fresh.unknown,
        moved=moved,
    )


def _words(gpu: str, lows: Mapping[str, int], highs: Mapping[str, int], quiet: Quiet, held: Mapping[str, int]) -> str:
    """Who moved, where a service did."""
    spans = {name: highs[name] - lows[name] for name in held}
    spans |= {name: size for name, size in quiet.highs.items() if not name.startswith("GPU ") and name not in held}
    most = max(spans, key=lambda name: spans[name], default=None)
    told = f"GPU {gpu}'s free memory moved by {format_mib(highs[f'GPU {gpu}'] - lows[f'GPU {gpu}'])} MiB"
    return told if most is None or spans[most] < MIB else f"{told} ({most})"
