"""Blocks: gzip members whose heads say how long they are and what they span, so that opening reads the heads alone.

A block is one member of RFC 1952 with an extra field ``GT``; ``zcat`` reads a recording as plain JSON lines. The head
is written with size 0 and filled in when the block is ended: a size of 0 is a block being written, or torn.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

SCHEMA = 1
"""Of blocks and of lines."""

_GZIP = struct.Struct("<2sBBIBBH")
_SUBFIELD = struct.Struct("<2sH")
_INFO = struct.Struct("<BIIddddH")
_MARK = struct.Struct("<HB")
MARKS = 100
"""Marks a head has room for; a block that has so many is ended."""

_EXTRA = _SUBFIELD.size + _INFO.size + MARKS * _MARK.size
HEAD_BYTES = _GZIP.size + _EXTRA
MAGIC = _GZIP.pack(b"\x1f\x8b", 8, 4, 0, 0, 255, _EXTRA) + _SUBFIELD.pack(b"GT", _EXTRA - _SUBFIELD.size)
"""What every block begins with; looked for after a damaged one."""

MOST_BYTES = 256 << 20
"""The most a block is ever inflated to. Ours stay near 8 MiB, save a machine with very many processes."""


LATEST = 253_402_214_400.0
"""The last day of the year 9999, in seconds since the epoch: beyond it a time cannot be told."""
MOST_COUNT = 60_000
"""Observations of one block that its marks can number."""


class DamagedBlock(ValueError):
    """A block does not hold what its head says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockInfo:
    """What a block's head tells."""

    size: int
    """Bytes of the whole member; 0: it was not ended."""
    count: int = 0
    """Observations."""
    t_first: float = 0.0
    t_last: float = 0.0
    at_first: float = 0.0
    at_last: float = 0.0
    marks: tuple[tuple[int, int], ...] = ()
    """(number of the observation within the block, kinds) of those at which something happened."""
    schema: int = SCHEMA


def pack_head(info: BlockInfo) -> bytes:
    """The head of a block: `HEAD_BYTES` long."""
    told = _INFO.pack(
        info.schema, info.size, info.count, info.t_first, info.t_last, info.at_first, info.at_last, len(info.marks)
    )
    marks = b"".join(_MARK.pack(number, kinds) for number, kinds in info.marks)
    return (MAGIC + told + marks).ljust(HEAD_BYTES, b"\0")


def unpack_head(data: bytes) -> BlockInfo | None:
    """What a head tells; None where `data` does not begin with one."""
    if len(data) < HEAD_BYTES or not data.startswith(MAGIC):
        return None
    schema, size, count, t_first, t_last, at_first, at_last, marks = _INFO.unpack_from(data, len(MAGIC))
    if schema <= SCHEMA and not _plausible(size, count, (t_first, t_last), (at_first, at_last)):
        return None
    start = len(MAGIC) + _INFO.size
    found = [_MARK.unpack_from(data, start + i * _MARK.size) for i in range(min(marks, MARKS))]
    return BlockInfo(
        size=size,
        count=count,
        t_first=t_first,
        t_last=t_last,
        at_first=at_first,
        at_last=at_last,
        marks=tuple((number, kinds) for number, kinds in found if number < count),
        schema=schema,
    )


def _plausible(size: int, count: int, *spans: tuple[float, float]) -> bool:
    """Whether a head can be one of ours: a byte that went wrong must not become a time or a number of observations."""
    times = all(0 <= at <= LATEST for span in spans for at in span)
    return times and spans[0][0] <= spans[0][1] and count <= MOST_COUNT and (size == 0 or size > HEAD_BYTES)


class Deflater:
    """The body and the end of one member; after every `add` all that was added can be read back."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._crc = 0
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes added so far."""
        return self._size

    def add(self, data: bytes) -> bytes:
        """What to write for `data`."""
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        return self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """The last bytes, with length and checksum."""
        return self._deflate.flush() + struct.pack("<II", self._crc, self._size & 0xFFFFFFFF)


def inflate(data: bytes, *, torn: bool = False) -> bytes:
    """The lines of one member.

    Args:
        data: the whole member, or of a torn one what there is.
        torn: take what can be had of it.

    Raises:
        DamagedBlock: it is broken, and not merely cut short where `torn` was said.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    body, parts = data[HEAD_BYTES:], []
    try:
        if not torn:
            parts.append(inflater.decompress(body, MOST_BYTES))
            _check(inflater, parts[0])
        else:
            # In small pieces, so that what comes before the broken one is had.
            for start in range(0, len(body), 512):
                parts.append(inflater.decompress(body[start : start + 512], MOST_BYTES))  # noqa: PERF401 - kept on error
    except zlib.error as error:
        if not torn:
            raise DamagedBlock(str(error)) from error
    return b"".join(parts)


def _check(inflater: zlib._Decompress, text: bytes) -> None:
    if inflater.unconsumed_tail:
        raise DamagedBlock("it is too large")
    if not inflater.eof or len(inflater.unused_data) != 8:
        raise DamagedBlock("it is cut short")
    if struct.unpack("<II", inflater.unused_data) != (zlib.crc32(text), len(text) & 0xFFFFFFFF):
        raise DamagedBlock("its checksum does not match")
