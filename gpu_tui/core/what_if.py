"""What if a service were stopped, restarted or left alone? The books with other roles, and what they say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from gpu_tui.core.books import Books, Service
from gpu_tui.core.services import Role
from gpu_tui.errors import UsageError
from gpu_tui.units import format_mib


class WhatIf(StrEnum):
    """What is supposed of a service."""

    PERSISTENT = "persistent"
    """It keeps its memory."""
    RESTARTS = "restarts"
    """It is stopped before vLLM starts, and comes back afterwards."""
    STOPPED = "stopped"
    """It is stopped and stays so."""


_ROLES = {WhatIf.PERSISTENT: Role.PERSISTENT, WhatIf.RESTARTS: Role.RESTARTS, WhatIf.STOPPED: Role.RESTARTS}
"""For a new vLLM's start a stopped service is one whose memory comes free; peaks tell the two apart."""


def with_roles(books: Books, supposed: Mapping[str, WhatIf]) -> Books:
    """The books as they would be; names that stand for no row change nothing.

    Args:
        books: as they are.
        supposed: by the service's name.
    """
    services = tuple(_supposed(service, supposed.get(service.name)) for service in books.services)
    if services == books.services:
        return books
    chosen = books.chosen
    if chosen is not None and not any(s.role is Role.RESTARTS and s.instance_pid == chosen.owner_pid for s in services):
        chosen = None
    return replace(books, services=services, chosen=chosen, ambiguous=books.ambiguous and chosen is not None)


def _supposed(service: Service, what_if: WhatIf | None) -> Service:
    if what_if is None or what_if.value == service.role.value:
        return service
    return replace(service, role=_ROLES[what_if], what_if=what_if.value)


def next_what_if(real: Role, now: WhatIf | None) -> WhatIf | None:
    """The next supposition for a row, in turn; None: as it is."""
    order = [one for one in WhatIf if one.value != real.value]
    turn: list[WhatIf | None] = [None, *order]
    return turn[(turn.index(now) + 1) % len(turn)] if now in turn else None


def require_known(books: Books, supposed: Mapping[str, WhatIf]) -> None:
    """Refuse a supposition about nobody.

    Raises:
        UsageError: there is no such row; lists them.
    """
    names = [service.name for service in books.services]
    unknown = [name for name in supposed if name not in names]
    if unknown:
        raise UsageError(f"--what-if: there is no service {unknown[0]!r} here.", f"Here are: {', '.join(names)}.")


def sentences(books: Books) -> tuple[str, ...]:
    """What is supposed, one sentence a service; () where all roles are the real ones."""
    return tuple(_sentence(service) for service in books.services if service.what_if)


def _sentence(service: Service) -> str:
    size = "an unknown size" if service.used_bytes is None else f"{format_mib(service.used_bytes)} MiB"
    told = {
        WhatIf.PERSISTENT: f"keeps its memory ({size})",
        WhatIf.RESTARTS: f"restarts with the plan: {size} come free before vLLM starts, and are taken again after",
        WhatIf.STOPPED: f"is stopped: {size} come free",
    }
    return f"What if {service.name} {told[WhatIf(service.what_if)]}."
