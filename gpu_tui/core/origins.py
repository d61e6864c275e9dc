"""Where a figure comes from. No number is shown without one of these."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class OriginKind(StrEnum):
    """How far a figure can be trusted; the last is the weakest."""

    MEASURED = "measured"
    """Read from NVML, a live server or its log."""
    DERIVED = "derived"
    """Computed from a model's own files."""
    ASSUMED = "assumed"
    """A default, the user's setting, or simulated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One figure's source and age."""

    kind: OriginKind
    source: str
    age_s: float | None = None
    """Seconds since it was read; None for what does not age."""


def later(origin: Origin, seconds: float) -> Origin:
    """The origin so many seconds later; what does not age stays."""
    return origin if origin.age_s is None else replace(origin, age_s=origin.age_s + seconds)


_STRENGTH = list(OriginKind)


def weakest(*origins: Origin, source: str) -> Origin:
    """The origin of a computed figure: as weak as the weakest input, as old as the oldest, told by its formula."""
    ages = [origin.age_s for origin in origins if origin.age_s is not None]
    kind = max((origin.kind for origin in origins), key=_STRENGTH.index)
    return Origin(kind=kind, source=source, age_s=max(ages, default=None))
