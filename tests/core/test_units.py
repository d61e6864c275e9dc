"""Sizes: exact in bytes, halves up at the edge."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.units import MIB, bytes_to_mib, format_mib, mib_to_bytes, wire_mib


@pytest.mark.parametrize(
    ("size", "decimals", "text"),
    [
        (0, 0, "0"),
        (MIB // 2, 0, "1"),
        (MIB // 2 - 1, 0, "0"),
        (-(MIB // 2), 0, "0"),
        (-(MIB // 2) - 1, 0, "-1"),
        (-1, 1, "0.0"),
        (round(4915.2 * MIB), 0, "4915"),
        (round(4915.2 * MIB), 1, "4915.2"),
        (-785 * MIB, 0, "-785"),
        (round(-784.8 * MIB), 1, "-784.8"),
        (round(0.05 * MIB), 1, "0.1"),
        (12288 * MIB, 1, "12288.0"),
    ],
)
def test_mib_digits(size: int, decimals: int, text: str) -> None:
    assert format_mib(size, decimals) == text


@given(st.integers(0, 2**50), st.integers(0, 3))
def test_rounding_is_to_the_nearest_halves_up(size: int, decimals: int) -> None:
    exact = (Decimal(size) / MIB).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    assert format_mib(size, decimals) == str(exact)


@given(st.integers(-(2**50), 2**50), st.integers(0, 3))
def test_there_is_no_minus_zero(size: int, decimals: int) -> None:
    text = format_mib(size, decimals)
    assert text.startswith("-") <= (float(text) != 0)
    assert abs(float(text) - size / MIB) <= 0.5 * 10**-decimals + 1e-6


@given(st.integers(0, 10**9))
def test_whole_mib_round_trip(mib: int) -> None:
    assert mib_to_bytes(mib) == mib * MIB
    assert bytes_to_mib(mib * MIB) == mib
    assert wire_mib(mib * MIB) == float(mib)


def test_unknown_stays_unknown_on_the_wire() -> None:
    assert wire_mib(None) is None
    assert wire_mib(round(1154.8 * MIB)) == 1154.8
    assert wire_mib(-1) == 0.0
