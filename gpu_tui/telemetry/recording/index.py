"""Which blocks a file has, from their heads alone; and the observations of one block."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

from gpu_tui.errors import ConfigError
from gpu_tui.telemetry.recording.blocks import (
    HEAD_BYTES,
    MAGIC,
    SCHEMA,
    BlockInfo,
    DamagedBlock,
    inflate,
    unpack_head,
)
from gpu_tui.telemetry.recording.codec import Decoder, Observation
from gpu_tui.telemetry.recording.header import Header, newer, parse_header
from gpu_tui.telemetry.recording.marks import Marker
from gpu_tui.view.text import clean

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block of an open file."""

    fd: int
    path: Path
    offset: int
    info: BlockInfo
    ended: bool = True
    """False: its recorder has not ended it, or was cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """The blocks of a file."""

    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()
    """What is wrong with it, a sentence each."""
    tail: int | None = None
    """Where a block that was not ended begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A block, read."""

    header: Header | None
    observations: tuple[Observation, ...]
    lines: tuple[bytes, ...]
    """Its whole lines as they stand, the header's first."""
    torn: bool = False
    """It ends in half a line, or is broken."""


def scan(fd: int, path: Path, *, writing: bool = False) -> Scanned:
    """The blocks of an open file.

    Args:
        fd: of a regular file.
        path: for words.
        writing: somebody is writing it: that its last block is not ended is no fault.

    Raises:
        ConfigError: it is no recording, is empty, or a newer gpu-tui wrote it.
    """
    size = os.fstat(fd).st_size
    first = os.pread(fd, HEAD_BYTES, 0)
    if not first:
        raise ConfigError(f"{clean(str(path))} is empty.", "Record into it with: gpu-tui record FILE.")
    if not first.startswith(MAGIC[: min(len(first), len(MAGIC))]):
        raise ConfigError(
            f"{clean(str(path))} is not a recording of gpu-tui.", "Give a file written by: gpu-tui record FILE."
        )
    blocks: list[Block] = []
    notes: list[str] = []
    tail: int | None = None
    offset = 0
    while offset < size:
        info = unpack_head(os.pread(fd, HEAD_BYTES, offset))
        if info is not None and info.schema > SCHEMA:
            raise newer(path, info.schema)
        if info is not None and info.size > HEAD_BYTES and offset + info.size <= size:
            blocks.append(Block(fd=fd, path=path, offset=offset, info=info))
            offset += info.size
            continue
        after = _next_block(fd, offset + 1, size)
        if after is None:
            tail = offset
            break
        notes.append(f"{clean(str(path))} is damaged at byte {offset}; {after - offset} bytes are left out.")
        offset = after
    if tail is not None:
        blocks += _tail(fd, path, tail, size, notes, writing=writing)
    return Scanned(blocks=tuple(block for block in blocks if block.info.count), notes=tuple(notes), tail=tail)


def _next_block(fd: int, start: int, size: int) -> int | None:
    overlap = len(MAGIC) - 1
    while start < size:
        found = os.pread(fd, _CHUNK + overlap, start).find(MAGIC)
        if found >= 0:
            return start + found
        start += _CHUNK
    return None


def _tail(fd: int, path: Path, offset: int, size: int, notes: list[str], *, writing: bool) -> list[Block]:
    """The block that was not ended, told by what can be read of it."""
    block = Block(fd=fd, path=path, offset=offset, info=BlockInfo(size=size - offset), ended=False)
    opened = read_block(block)
    if not writing:
        kept = f"its last {len(opened.observations)} observations could be read" if opened.observations else ""
        half = " and ends in half a line, which is left out" if opened.torn else ""
        notes.append(f"{clean(str(path))} was cut off{half}{f'; {kept}' if kept else ''}.")
    return [replace(block, info=told_by(opened, size - offset))]


def told_by(opened: Opened, size: int) -> BlockInfo:
    """A block's head from what it holds."""
    seen = opened.observations
    if not seen:
        return BlockInfo(size=size)
    marker = Marker(opened.header.interval_s if opened.header is not None else 1.0)
    marks = [(number, int(kinds)) for number, one in enumerate(seen) if (kinds := marker.see(one))]
    return BlockInfo(
        size=size,
        count=len(seen),
        t_first=seen[0].t,
        t_last=seen[-1].t,
        at_first=seen[0].at,
        at_last=seen[-1].at,
        marks=tuple(marks),
    )


def read_block(block: Block) -> Opened:
    """The observations of one block; of one that is torn, those before the tear.

    Raises:
        ConfigError: a newer gpu-tui wrote it.
        DamagedBlock: an ended block does not hold what it should.
        OSError: it cannot be read.
    """
    text = inflate(os.pread(block.fd, block.info.size, block.offset), torn=not block.ended)
    lines = text.split(b"\n")
    torn = bool(lines.pop())
    header: Header | None = None
    seen: list[Observation] = []
    whole: list[bytes] = []
    decoder = Decoder()
    try:
        for line in lines:
            if header is None:
                header = parse_header(line, block.path)
            else:
                seen.append(decoder.feed(json.loads(line)))
            whole.append(line)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError) as error:
        if block.ended:
            raise DamagedBlock(f"a line does not mean anything ({type(error).__name__})") from error
        torn = True
    return Opened(header=header, observations=tuple(seen), lines=tuple(whole), torn=torn)
