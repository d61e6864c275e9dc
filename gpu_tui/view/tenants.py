"""What a service holds now, held at most, and takes when its model is loaded."""

from __future__ import annotations

from gpu_tui.core.against import Against, Level, levels
from gpu_tui.core.books import Books, Service
from gpu_tui.core.peaks import WINDOW_S, Peaks, series_of
from gpu_tui.units import format_mib
from gpu_tui.view.against import instant, origin_words
from gpu_tui.view.spans import Line


def peak_lines(service: Service, books: Books, peaks: Peaks, if_loaded_bytes: int | None) -> list[Line]:
    """Now, the peaks of the window and since the start, and what counts in the worst case, with its origin."""
    series = series_of(service, books)
    now = "unknown" if service.used_bytes is None else f"{format_mib(service.used_bytes)} MiB"
    lines: list[Line] = [_line("now", now)]
    window, alone = peaks.window.get(series), peaks.alone.get(series)
    if window is not None:
        lines.append(_line("peak", f"{format_mib(window)} MiB in the last {WINDOW_S / 60:.0f} min"))
    if alone is not None and peaks.since is not None:
        at = f"at {instant(alone.at)}, watched since {instant(peaks.since)}"
        lines.append(_line("" if window is not None else "peak", f"{format_mib(alone.size)} MiB {at}"))
    told = {} if if_loaded_bytes is None else {service.name: if_loaded_bytes}
    worst = next((one for one in levels(books, peaks, Against.WORST, told) if one.name == service.name), None)
    if worst is not None and worst.growth_bytes > 0:
        lines.append(_line("if loaded", f"{format_mib(worst.level_bytes)} MiB ({origin_words(worst.origin)})"))
    return lines


def _line(what: str, words: str) -> Line:
    return [(f"{what:<11}", "dim"), (words, "")]


def judged_words(level: Level | None) -> str:
    """What a row says beside its role while the plan is judged against more than now: ``↑5200``."""
    return f"↑{format_mib(level.level_bytes)}" if level is not None and level.growth_bytes > 0 else ""
