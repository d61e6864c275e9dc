"""Which memory of its tenants a plan is judged against: what they hold now, held together, or may hold together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from gpu_tui.core.books import Books, Service
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.peaks import Peaks, fullest, series_of
from gpu_tui.core.services import Role
from gpu_tui.core.what_if import WhatIf, with_roles


class Against(StrEnum):
    """The switch."""

    NOW = "now"
    """What every tenant holds now."""
    PEAKS = "peaks"
    """What they held at the instant at which they held the most together."""
    WORST = "worst"
    """Every tenant at its own largest, or with its model loaded, all at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One tenant, as it is judged."""

    name: str
    now_bytes: int
    level_bytes: int
    origin: Origin

    @property
    def growth_bytes(self) -> int:
        """By how much more than now; negative where it held less at that instant."""
        return self.level_bytes - self.now_bytes


def tenants(books: Books) -> tuple[Service, ...]:
    """Those that hold memory after the start: all but what restarts; what is supposed to restart comes back."""
    return tuple(s for s in books.services if s.role is not Role.RESTARTS or s.what_if == WhatIf.RESTARTS)


def levels(
    books: Books, peaks: Peaks, against: Against, if_loaded: Mapping[str, int] | None = None
) -> tuple[Level, ...]:
    """Every tenant whose memory is known, as `against` takes it; law: Σ never falls from now to peaks to worst.

    Args:
        books: as read, with the roles supposed.
        peaks: what was seen of this GPU.
        against: the switch.
        if_loaded: what the user says a service takes with its model loaded, bytes by name.
    """
    stays = [service for service in tenants(books) if service.used_bytes is not None]
    if against is Against.PEAKS:
        return _together(books, peaks, stays)
    if against is Against.WORST:
        return tuple(_worst(service, books, peaks, if_loaded or {}) for service in stays)
    return tuple(_level(service, service.used_bytes or 0, _NOW) for service in stays)


_NOW = Origin(kind=OriginKind.MEASURED, source="now")


def _level(service: Service, size: int, origin: Origin) -> Level:
    return Level(name=service.name, now_bytes=service.used_bytes or 0, level_bytes=size, origin=origin)


def _together(books: Books, peaks: Peaks, stays: Sequence[Service]) -> tuple[Level, ...]:
    names = {service.name: series_of(service, books) for service in stays}
    most = fullest(peaks.together, names.values())
    now = sum(service.used_bytes or 0 for service in stays)
    if most is None or sum(most.held.get(name, 0) for name in names.values()) <= now:
        return tuple(_level(service, service.used_bytes or 0, _NOW) for service in stays)
    origin = Origin(kind=OriginKind.MEASURED, source="held together with the others", age_s=_age(peaks, most.at))
    return tuple(_level(service, most.held.get(names[service.name], 0), origin) for service in stays)


def _worst(service: Service, books: Books, peaks: Peaks, if_loaded: Mapping[str, int]) -> Level:
    """The largest of what it holds, held, says it takes, or is said to take; the better proof among equals."""
    series = series_of(service, books)
    told = [(service.used_bytes or 0, _NOW)]
    alone, reported = peaks.alone.get(series), peaks.reported.get(series)
    if alone is not None:
        source = Origin(kind=OriginKind.MEASURED, source="peak", age_s=_age(peaks, alone.at))
        told.append((alone.size, source))
    if reported is not None:
        source = Origin(
            kind=OriginKind.DERIVED, source="ollama's own reckoning (/api/ps)", age_s=_age(peaks, reported.at)
        )
        told.append((reported.size, source))
    if service.name in if_loaded:
        told.append((if_loaded[service.name], Origin(kind=OriginKind.ASSUMED, source="configured: if_loaded_mib")))
    size, origin = max(told, key=lambda one: one[0])
    return _level(service, size, origin)


def _age(peaks: Peaks, at: float) -> float | None:
    return None if peaks.until is None else max(0.0, peaks.until - at)


def at_levels(books: Books, found: Sequence[Level]) -> Books:
    """The books with every tenant at its level: what it takes more is taken off free memory. They still balance.

    What is supposed to restart is back by then, so it is a tenant like the others.
    """
    by_name = {level.name: level for level in found}
    growth = sum(level.growth_bytes for level in found)
    services = tuple(_raised(service, by_name.get(service.name)) for service in books.services)
    return replace(
        books,
        services=services,
        used_bytes=None if books.used_bytes is None else books.used_bytes + growth,
        free_bytes=None if books.free_bytes is None else books.free_bytes - growth,
    )


def _raised(service: Service, level: Level | None) -> Service:
    if level is None:
        return service
    role = Role.PERSISTENT if service.role is Role.RESTARTS else service.role
    return replace(service, used_bytes=level.level_bytes, role=role)


def growers(found: Sequence[Level]) -> tuple[Level, ...]:
    """The tenants that take more than now, the largest growth first: they shrink the feasible range."""
    return tuple(sorted((level for level in found if level.growth_bytes > 0), key=lambda level: -level.growth_bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The books that a plan is judged against, and how they came about."""

    books: Books
    now: Books
    """With the roles supposed and the memory as it is."""
    against: Against = Against.NOW
    levels: tuple[Level, ...] = ()
    peaks: Peaks = Peaks()

    @property
    def growers(self) -> tuple[Level, ...]:
        """The tenants that are judged at more than now, the largest growth first."""
        return growers(self.levels)


def view_of(
    books: Books,
    peaks: Peaks,
    against: Against,
    supposed: Mapping[str, WhatIf],
    if_loaded: Mapping[str, int],
) -> View:
    """The books of one GPU as they are to be judged."""
    now = with_roles(books, supposed)
    found = levels(now, peaks, against, if_loaded)
    judged = now if against is Against.NOW else at_levels(now, found)
    return View(books=judged, now=now, against=against, levels=found, peaks=peaks)
