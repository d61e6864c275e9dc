"""The services table and the three checks, as lines of spans."""

from __future__ import annotations

from gpu_tui.core.books import Books, Service
from gpu_tui.core.checks import Check, CheckName, CheckReport
from gpu_tui.core.services import OTHER, Role
from gpu_tui.units import format_mib
from gpu_tui.view.spans import Line, Span, cells, cut, pad

MARKS = {True: ("✓", "ok"), False: ("✗", "bad"), None: ("?", "warn")}
"""A check's sign and tone. The sign alone tells it."""

TITLES = {
    CheckName.MODEL: "1 model + KV cache",
    CheckName.PERSISTENT: "2 persistent services",
    CheckName.TOTAL: "3 total memory",
}

_SHORT_TITLES = {
    CheckName.MODEL: "1 model + KV",
    CheckName.PERSISTENT: "2 persistent",
    CheckName.TOTAL: "3 total",
}

_SHARE_CELLS = 12


def mib(size: int | None, decimals: int = 0) -> str:
    """MiB digits with a true minus sign, or the word unknown."""
    return "unknown" if size is None else format_mib(size, decimals).replace("-", "−")


def role_words(service: Service, *, listed: bool = True) -> str:
    """A service's role as the table tells it; without a list of processes nobody knows whether it runs."""
    if not listed:
        return "unknown"
    if not service.running:
        return f"{service.what_if} (what if)" if service.what_if else "not running"
    if service.what_if:
        return f"{service.what_if} (what if)"
    return "ORPHAN" if service.role is Role.ORPHAN else service.role.value


def service_header(width: int) -> Line:
    """The table's heading."""
    return _row(" ", "SERVICE", "PID", "MEMORY", "SHARE", ("ROLE", "dim"), width, tone="dim")


def service_line(service: Service, books: Books, width: int, judged: str = "") -> Line:
    """One row: sign, name, pid, memory, share of the GPU as a bar, role, `judged` (what it is judged at) and note."""
    total = books.total_bytes
    pid = "—" if service.pid is None else str(service.pid)
    if len(service.pids) > 1 or (service.name == OTHER and service.pids):
        pid = f"{len(service.pids)} proc"
    words = role_words(service, listed=books.listed)
    words = f"{judged} {words}" if judged else words
    role_tone = (
        "warn"
        if service.note or service.what_if
        else {Role.RESTARTS: "strong", Role.ORPHAN: "warn"}.get(service.role, "dim")
    )
    sign = ("●", f"fg-{service.name}") if service.running else ("○" if books.listed else "?", "dim")
    share = share_bar(service.used_bytes, total)
    memory = _mib_unit(service.used_bytes)
    short = f"{words} !" if service.note else f"{judged} {service.what_if}?".lstrip() if service.what_if else ""
    full = f"{words}: {service.note}" if service.note else words
    return _row(sign[0], service.name, pid, memory, share, (full, role_tone), width, hue=sign[1], short=short)


def driver_line(books: Books, width: int) -> Line:
    """Reserved + unattributed: what no process explains."""
    reserved, rest = books.reserved_bytes, books.unattributed_bytes
    known = None if rest is None else rest + (reserved or 0)
    split = "in used" if reserved is None else mib(reserved)
    word = "overlap" if rest is not None and rest < 0 else "unattributed"
    told = f"reserved {split} + {word} {mib(rest)}"
    shorter = [f"{word} {mib(rest)}"]
    if reserved is None and rest is not None:
        # What must not be lost is that the figure has reserved memory in it which nobody can tell apart.
        shorter = [f"{mib(rest)} {word} + reserved", "incl. reserved"]
    told = next((words for words in (told, *shorter) if len(words) <= width - _before(width)), "")
    return _row(" ", "driver", "", _mib_unit(known), None, (told, "dim"), width, tone="dim")


def free_line(books: Books, width: int) -> Line:
    """What nobody holds."""
    share = share_bar(books.free_bytes, books.total_bytes)
    return _row(" ", "free", "", _mib_unit(books.free_bytes), share, ("", ""), width)


def _mib_unit(size: int | None) -> str:
    return "unknown" if size is None else f"{mib(size)} MiB"


def share_bar(size: int | None, total: int | None) -> str:
    """A share of the GPU in eighths of a cell, at most 12 cells; at least a sliver for what is not 0."""
    if not size or not total or size < 0:
        return ""
    eighths = max(1, round(min(1.0, size / total) * _SHARE_CELLS * 8))
    return "█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8] if eighths % 8 else "")


def _before(width: int) -> int:
    """Cells of sign, name, pid and memory; names have more room on a wide table."""
    return 26 + (12 if width < 70 else 18)


def _row(
    sign: str,
    name: str,
    pid: str,
    memory: str,
    share: str | None,
    last: Span,
    width: int,
    *,
    tone: str = "",
    hue: str = "",
    short: str = "",
) -> Line:
    """A table row. A `share` of None gives its room to the last column, which is dropped whole where it has none.

    Where the last column's words do not fit, `short` stands for them.
    """
    names = _before(width) - 26
    line: Line = [(sign, hue), (f" {pad(_fit(name, names), names)}", tone), (f"{pid:>9}{memory:>13}  ", tone)]
    used = _before(width)
    if share is not None:
        room = min(_SHARE_CELLS, max(0, width - used - 12))
        line.append((f"{share[:room]:<{room}} ", tone or hue))
        used += room + 1
    words, its = last
    words = short if short and cells(words) > width - used else words
    return [*line, (_fit(words, width - used), its)]


def _fit(text: str, room: int) -> str:
    if cells(text) <= room:
        return text
    return cut(text, room - 1) + "…" if room > 1 else ""


def check_lines(report: CheckReport, width: int = 80, height: int = 99) -> list[Line]:
    """The three checks with need, have and margin, and as many of the sums behind them as fit.

    Where not even the three fit, those that pass go before the one that fails.
    """
    lines: list[tuple[int, Line]] = []
    for check in report.checks:
        lines.append((0 if check.passed else -1, _check_line(check, width)))
        lines += [
            (rank, [(f"    {text}", "dim")]) for rank, text in _sums(report, check.name) if len(text) + 4 <= width
        ]
    while len(lines) > max(height, 1):
        weakest = max(rank for rank, _ in lines)
        last = max(i for i, (rank, _) in enumerate(lines) if rank == weakest)
        del lines[last]
    return [line for _, line in lines]


def _sums(report: CheckReport, name: CheckName) -> list[tuple[int, str]]:
    """What a check's figures are made of, each with its rank: the highest is the first to go."""
    books, need = report.books, report.need
    model = mib(need.model_bytes)
    if name is CheckName.MODEL:
        have = f"allocation {mib(report.allocation_bytes)} = model {model} + KV {mib(report.kv_cache_bytes)}"
        if need.fixed_kv_cache_bytes is not None:
            have = f"have = model {model} + fixed KV {mib(need.fixed_kv_cache_bytes)}"
        return [
            (1, have),
            (2, f"need = model {model} + minimum KV {mib(need.min_kv_cache_bytes)}"),
        ]
    if name is CheckName.PERSISTENT:
        goes = [service.name for service in books.services if service.role is Role.RESTARTS and service.running]
        freed = f"{' + '.join(goes)} {mib(books.restarting_bytes)}" if goes else "nothing that restarts"
        if not books.listed:
            freed = "what restarts: unknown"
        return [(3, f"have = free {mib(books.free_bytes)} + {freed}")]
    others = f" − others {mib(need.counted_others_bytes)}" if need.counted_others_bytes else ""
    overhead = mib(need.startup_overhead_bytes)
    kept = f" + headroom {mib(need.headroom_bytes)}" if need.headroom_bytes else ""
    sums = [(4, f"need = allocation {mib(report.allocation_bytes)} + overhead {overhead}{kept}{others}")]
    if report.feasible is not None:
        sums.append((5, f"feasible {report.feasible.min:.4f}–{report.feasible.max:.4f}"))
    return sums


def _check_line(check: Check, width: int) -> Line:
    sign, tone = MARKS[check.passed]
    title = f"{TITLES[check.name]:<22}" if width >= 54 else f"{_SHORT_TITLES[check.name]:<13}"
    line: Line = [
        (f"{sign} ", tone),
        (title, ""),
        (f"need {mib(check.need_bytes):>5}  have {mib(check.have_bytes):>5}", ""),
    ]
    margin = check.margin_bytes
    if margin is None:
        return line
    room = width - sum(len(text) for text, _ in line)
    told = f"  deficit {mib(-margin)}" if margin < 0 else f"  margin {mib(margin)}"
    short = f" −{mib(-margin)}" if margin < 0 else f" +{mib(margin)}"
    words = told if len(told) <= room else short if len(short) <= room else ""
    return [*line, (words, tone if margin < 0 else "dim")]
