"""What a plan is judged against, in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from gpu_tui.core.against import Against, Level
from gpu_tui.core.checks import Feasible
from gpu_tui.core.origins import Origin
from gpu_tui.core.peaks import Peaks
from gpu_tui.units import format_mib
from gpu_tui.view.spans import Line
from gpu_tui.view.text import clean

TITLES = {
    Against.NOW: "now",
    Against.PEAKS: "peaks together",
    Against.WORST: "worst case",
}
LONG = {
    Against.NOW: "what every tenant holds now",
    Against.PEAKS: "the most that the tenants were seen to hold together",
    Against.WORST: "every tenant at its peak, or with its model loaded, all at once",
}


def grown(level: Level) -> str:
    """``ollama 1068 → 5200 MiB (measured: peak, 3 h ago)``."""
    sizes = f"{format_mib(level.now_bytes)} → {format_mib(level.level_bytes)} MiB"
    return f"{clean(level.name, 24)} {sizes} ({origin_words(level.origin)})"


def origin_words(origin: Origin) -> str:
    """``measured: peak, 3 h ago``."""
    ago = f", {age_words(origin.age_s)}" if origin.age_s is not None else ""
    return f"{origin.kind.value}: {origin.source}{ago}"


def age_words(age_s: float) -> str:
    """``now``, ``40 s ago``, ``12 min ago``, ``3 h ago``, ``5 days ago``."""
    for size, word in ((86_400, "days"), (3600, "h"), (60, "min"), (1, "s")):
        if age_s >= size * (2 if size == 86_400 else 1):
            return f"{int(age_s // size)} {word} ago"
    return "just now"


def known_words(peaks: Peaks, *, recorded: bool = False) -> str:
    """Since when peaks are known; `recorded`: by a recording, whose last hour is looked at."""
    if peaks.since is None or peaks.until is None:
        if recorded:
            return "No peaks are known of this GPU: the recording holds nothing of it up to then."
        return "No peaks are known of this GPU: the explorer and watch gather them while they run."
    how = "by the recording (an hour back at most)" if recorded else "while the explorer or watch ran"
    return f"Peaks are known from {instant(peaks.since)} to {instant(peaks.until)}, {how}."


def instant(at: float) -> str:
    """An instant as UTC, to the minute."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return "an unknown instant"


def shrunk(now: Feasible | None, then: Feasible | None, growers: Sequence[Level], against: Against) -> str:
    """How the feasible range shrinks, and by whom; empty where nobody grows."""
    if not growers:
        return ""
    first = growers[0]
    more = f" and {len(growers) - 1} more" if len(growers) > 1 else ""
    by = f"{clean(first.name, 24)} +{format_mib(first.growth_bytes)} MiB{more}"
    return f"feasible {span(then)} against {TITLES[against]} (now {span(now)}): {by}"


def span(feasible: Feasible | None) -> str:
    """``0.4940–0.8159``, or none."""
    return "none" if feasible is None else f"{feasible.min:.4f}–{feasible.max:.4f}"


def headroom_lines(kept_bytes: int, suggested_bytes: int | None) -> list[Line]:
    """The headroom in effect, and the one that free memory's own movement suggests."""
    lines: list[Line] = [[("headroom   ", "dim"), (f"{format_mib(kept_bytes)} MiB are kept free of every plan", "")]]
    if suggested_bytes is None:
        told = "none yet: free memory must be watched for a minute first"
    else:
        told = f"{format_mib(suggested_bytes)} MiB, by how much free memory moved in 5 min that no service explains"
    lines.append([("suggested  ", "dim"), (told, "")])
    return [*lines, [("           set it with [model] headroom_mib or headroom_pct, or check --headroom-mib", "dim")]]
