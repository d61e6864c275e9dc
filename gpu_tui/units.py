"""Sizes. Bytes are ints inside the product; MiB appears only at its edges."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * 1024
GIB = 1024 * 1024 * 1024


def mib_to_bytes(mib: float) -> int:
    """Bytes of a size in MiB, to the nearest byte."""
    return round(mib * MIB)


def bytes_to_mib(size: int) -> float:
    """MiB of a size in bytes, exact up to float precision."""
    return size / MIB


def format_mib(size: int, decimals: int = 0) -> str:
    """A size in bytes as MiB digits, to the nearest, halves up.

    Integer arithmetic, so that 0.5 MiB never falls to a float's mercy. No unit is added; ``-0`` never appears.
    """
    scale = 10**decimals
    units = (size * scale * 2 + MIB) // (2 * MIB)
    whole, fraction = divmod(abs(units), scale)
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{fraction:0{decimals}d}" if decimals else f"{sign}{whole}"


def wire_mib(size: int | None) -> float | None:
    """A size as the JSON shapes carry it: MiB with one decimal; None stays None."""
    if size is None:
        return None
    return float(format_mib(size, 1))


def signed_gib(size: int) -> str:
    """A difference in bytes as ``+0.31 GiB``; what rounds to nothing is ``+0.00 GiB``."""
    told = f"{size / GIB:+.2f}"
    return f"{'+0.00' if told == '-0.00' else told} GiB"
