"""The two bars *now* and *plan*: the same memory before and after, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from gpu_tui.core.books import Books
from gpu_tui.core.checks import CheckReport
from gpu_tui.core.services import Role
from gpu_tui.units import format_mib
from gpu_tui.view.spans import Line, pad
from gpu_tui.view.spans import cells as width_of

SHORT = "╱"
EDGE = "▕"


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of a bar."""

    name: str
    size: int
    """Bytes; never negative."""
    tone: str
    short_label: str = ""


def now_segments(books: Books) -> list[Segment]:
    """The memory as it is; empty when it is not known."""
    if books.total_bytes is None or books.free_bytes is None:
        return []
    parts = [Segment(s.name, s.used_bytes or 0, f"svc-{s.name}", s.name[:1]) for s in books.services]
    parts += _driver(books)
    return [*parts, *_unknown(books, parts, books.free_bytes), Segment("free", books.free_bytes, "free")]


def plan_segments(report: CheckReport) -> list[Segment]:
    """The memory as it would be: tenants, then the model and its KV cache; what is missing is hatched."""
    books, need = report.books, report.need
    if books.total_bytes is None or report.allocation_bytes is None or report.available_bytes is None:
        return []
    # Other tenants that a release counts as its own are on the bar already.
    asked = need.budget_bytes(report.allocation_bytes) - need.counted_others_bytes
    model = need.model_bytes - need.counted_others_bytes
    stays = [s for s in books.services if s.role is not Role.RESTARTS]
    parts = [Segment(s.name, s.used_bytes or 0, f"svc-{s.name}", s.name[:1]) for s in stays]
    parts += _driver(books)
    parts += _unknown(books, parts, report.available_bytes)
    required, available = model + need.min_kv_cache_bytes, report.available_bytes
    if asked < required:
        fits = max(0, min(asked, available))
        parts += [Segment(f"model {format_mib(model)}", fits, "model", "m")]
        parts += [_short(required - fits)]
        return [*parts, Segment("free", max(0, available - required), "free")]
    kv, overhead = asked - model, need.startup_overhead_bytes
    kept = need.headroom_bytes
    over = max(0, asked + overhead + kept - available)
    kv_fits = max(0, kv - over)
    model_fits = model - max(0, over - kv)
    parts += [Segment(f"model {format_mib(model)}", max(0, model_fits), "model", "m")]
    parts += [Segment(f"KV {format_mib(kv)}", kv_fits, "kv", "K")]
    if over:
        return [*parts, _short(over)]
    if overhead:
        parts += [Segment(f"context {format_mib(overhead)}", overhead, "driver", "c")]
    if kept:
        parts += [Segment(f"headroom {format_mib(kept)}", kept, "driver", "h")]
    return [*parts, Segment("free", available - asked - overhead - kept, "free")]


def _short(size: int) -> Segment:
    return Segment(f" {format_mib(size)} short ", size, "short", f" {format_mib(size)} ")


def _driver(books: Books) -> list[Segment]:
    explained = max(0, books.unattributed_bytes or 0) + (books.reserved_bytes or 0)
    return [Segment("driver", explained, "driver", "d")] if explained else []


def _unknown(books: Books, parts: list[Segment], rest: int) -> list[Segment]:
    """What is in use by processes whose memory the driver does not tell: not free, and nobody's in particular."""
    if books.unattributed_bytes is not None or books.total_bytes is None:
        return []
    size = books.total_bytes - rest - sum(part.size for part in parts)
    return [Segment("unknown", size, "driver", "?")] if size > 0 else []


def layout(segments: list[Segment], total: int, cells: int) -> list[int]:
    """Cells of each segment on a bar of this total. Rounded at the running sum, so that edges never drift."""
    scale = max(total, sum(s.size for s in segments))
    ends: list[int] = []
    running = 0
    for segment in segments:
        running += segment.size
        ends.append(round(running * cells / scale))
    return [end - start for start, end in pairwise([0, *ends])]


def bar(segments: list[Segment], total: int, cells: int) -> Line:
    """Draw a bar: a filled stretch per segment, labelled where the label fits, each ending in an edge."""
    line: Line = []
    for segment, size in zip(segments, layout(segments, total, cells), strict=True):
        if size <= 0:
            continue
        if segment.tone == "short":
            words = next((t for t in (segment.name, segment.short_label) if len(t) <= size), "")
            line.append((words.center(size, SHORT), "short"))
            continue
        room = size - (segment.tone != "free")
        text = next((t for t in (segment.name, segment.short_label) if 0 < width_of(t) <= room), "")
        line.append((pad(text, room) + ("" if segment.tone == "free" else EDGE), segment.tone))
    return line
