"""Origins: a computed figure is as weak as its weakest input and as old as its oldest."""

from __future__ import annotations

import itertools

from gpu_tui.core.origins import Origin, OriginKind, later, weakest

MEASURED = Origin(kind=OriginKind.MEASURED, source="NVML", age_s=2.0)
DERIVED = Origin(kind=OriginKind.DERIVED, source="config.json", age_s=None)
ASSUMED = Origin(kind=OriginKind.ASSUMED, source="default", age_s=None)


def test_the_weakest_wins_in_any_order() -> None:
    for some in itertools.permutations((MEASURED, DERIVED, ASSUMED)):
        assert weakest(*some, source="a + b") == Origin(kind=OriginKind.ASSUMED, source="a + b", age_s=2.0)
    assert weakest(DERIVED, MEASURED, source="x").kind is OriginKind.DERIVED
    assert weakest(MEASURED, source="x").kind is OriginKind.MEASURED


def test_the_oldest_age_counts_and_what_does_not_age_has_none() -> None:
    older = Origin(kind=OriginKind.MEASURED, source="log", age_s=90.0)
    assert weakest(MEASURED, older, DERIVED, source="x").age_s == 90.0
    assert weakest(DERIVED, ASSUMED, source="x").age_s is None


def test_what_ages_is_older_later_and_the_rest_stays() -> None:
    assert later(MEASURED, 30.0) == Origin(kind=OriginKind.MEASURED, source="NVML", age_s=32.0)
    assert later(DERIVED, 30.0) is DERIVED
