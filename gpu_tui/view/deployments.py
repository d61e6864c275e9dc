"""Watched starts on the screen: a row of the list, and one start in full: timeline, memory, cause, races."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gpu_tui.core.deployment import LAST, Deployment, DeployPhase, Evidence, Span
from gpu_tui.core.deployment_causes import cause
from gpu_tui.core.races import Race, hands_off
from gpu_tui.units import format_mib
from gpu_tui.view.alerts import time_of_day
from gpu_tui.view.deployment_words import NAMES, UNTOLD, against_plan, duration, mib, name_of
from gpu_tui.view.spans import Line, cut_line, pad, wrap
from gpu_tui.view.spans import width as width_of
from gpu_tui.view.text import clean

_STEPS = (
    DeployPhase.STARTING,
    DeployPhase.LOADING,
    DeployPhase.PROFILING,
    DeployPhase.CAPTURING,
    DeployPhase.SERVING,
)
"""What a start goes through; those still to come stand on the timeline too."""
_NAME, _TOOK, _CLOCK = 17, 12, 9
_LEAST_BAR, _MOST_BAR = 10, 40
_MEANS_BAR = 30
SLOW_BYTES_S = 1 << 20
"""A slope below this is no growth worth a word."""

Wall = Callable[[float], float]
"""From an instant of the readings to seconds since the epoch."""


def state_of(one: Deployment) -> tuple[str, str, str]:
    """Sign, word and tone of how far it is."""
    word = name_of(one.phase, one)
    if one.phase is DeployPhase.SERVING:
        return "✓", word, "ok"
    if word == NAMES[DeployPhase.FAILED]:
        return "✗", word, "bad"
    if one.failure is not None:
        return "✗", "dying", "bad"
    return ("▸", word, "warn") if one.in_motion else ("·", word, "dim")


def row(one: Deployment, now_s: float, wall: Wall, width: int) -> Line:
    """One line of the list: how far, who, since when, how long, memory."""
    sign, word, tone = state_of(one)
    took = duration(one.took_s(now_s)) if one.from_birth else ""
    held = one.peak_bytes if one.ended else one.used_bytes
    planned = "" if one.planned_bytes is None else f"/{format_mib(one.planned_bytes)}"
    size = "unknown" if held is None else format_mib(held)
    line: Line = [
        (f"{sign} {pad(word, _NAME)}", tone),
        (f"{pad(clean(one.name, 10), 10)} ", "strong"),
        (f"{time_of_day(wall(one.begun_s)) if one.from_birth else 'before':<8}", "dim"),
        (f"{took:>11}  ", ""),
        (f"{size}{planned} MiB", "" if not one.ended else "dim"),
    ]
    pid: Line = [(f"  pid {one.who.pid}", "dim")]
    return [*line, *pid] if width_of([*line, *pid]) <= width else cut_line(line, width)


def detail(
    one: Deployment, races: Sequence[Race], said: Sequence[str], now_s: float, wall: Wall, width: int
) -> list[Line]:
    """One start in full.

    Args:
        one: the start.
        races: those that go on and harm it.
        said: all that was said of races while it started.
        now_s: the last reading.
        wall: clock times of its instants.
        width: cells.
    """
    lines: list[Line] = [*wrap(_head(one), width, 2), *_hot(one, races, width), *_why(one, width), []]
    lines += [*timeline(one, now_s, wall, width), [], *memory(one, width)]
    over = [words for words in said if words not in {race.words for race in races}]
    if over:
        lines += [[], [("Races so far", "strong")]]
        for words in over:
            lines += wrap([("  ! ", "warn"), (clean(words, 300), "dim")], width, 4)
    return lines


def _head(one: Deployment) -> Line:
    parts = [f"pid {one.who.pid}", "" if one.port is None else f"port {one.port}", clean(one.model or "", 60)]
    parts.append("" if one.utilization is None else f"utilization {one.utilization:g}")
    sign, word, tone = state_of(one)
    since = {DeployPhase.RUNNING: ": there before watching began, and nothing tells how far it is"}
    return [
        (f"{sign} {clean(one.name, 40)} ", "strong"),
        (f"{word}{since.get(one.phase, '')}  ", tone),
        (", ".join(filter(None, parts)), "dim"),
    ]


def _hot(one: Deployment, races: Sequence[Race], width: int) -> list[Line]:
    """The races that go on."""
    lines: list[Line] = []
    for race in races:
        lines += wrap([("! RACE  ", "bad"), (clean(race.words, 300), "")], width, 8)
        lines += wrap([("        ", ""), (clean(race.advice, 200), "strong")], width, 8)
    return lines


def hands_lines(one: Deployment, tenants: Sequence[str], width: int) -> list[Line]:
    """What not to touch while it starts; nothing once its cache is sized."""
    words = hands_off(one, [clean(name, 40) for name in tenants])
    return [] if words is None else wrap([("! HANDS OFF  ", "warn"), (clean(words, 300), "")], width, 2)


def _why(one: Deployment, width: int) -> list[Line]:
    """Why it died: vLLM's own words, ours, what to do."""
    told = cause(one)
    if told is None:
        return []
    lines: list[Line] = [[]]
    if one.failure is not None:
        lines += wrap([("vLLM    ", "bad"), (clean(one.failure.text, 500), "")], width, 8)
        lines += wrap([("kind    ", "dim"), (one.failure.kind.value, "dim")], width, 8)
    what, remedy = told
    lines += wrap([("means   ", "strong"), (clean(what, 400), "")], width, 8)
    return [*lines, *wrap([("do      ", "strong"), (clean(remedy, 400), "")], width, 8)]


def timeline(one: Deployment, now_s: float, wall: Wall, width: int) -> list[Line]:
    """A row for each phase: how long, since when, where on the axis, what shows it.

    The axis runs from the first phase to serving, the end, or now: a server that serves for days would leave no room.
    """
    ended = next((span.start_s for span in one.spans if span.phase in (*LAST, DeployPhase.SERVING)), now_s)
    first = one.spans[0].start_s
    fixed = 2 + _NAME + _TOOK + _CLOCK + 3
    bar = max(_LEAST_BAR, min(_MOST_BAR, (width - fixed) // 2))
    lines = [_row_of(span, one, now_s, wall, (first, ended), bar, width) for span in one.spans]
    if one.in_motion:
        seen = {span.phase for span in one.spans}
        if name_of(DeployPhase.LOADING, one) == UNTOLD:
            seen.add(DeployPhase.PROFILING)
        passed = _STEPS.index(one.phase) if one.phase in _STEPS else -1
        lines += [
            [(f"  {pad(NAMES[phase], _NAME)}{'to come':>{_TOOK - 1}}", "dim")]
            for phase in _STEPS[passed + 1 :]
            if phase not in seen
        ]
    return lines


def _row_of(
    span: Span, one: Deployment, now_s: float, wall: Wall, axis: tuple[float, float], bar: int, width: int
) -> Line:
    goes_on = span.end_s is None
    point = span.phase in LAST
    sign, _, tone = state_of(one) if goes_on else (" ", "", "")
    took = "" if point else duration(span.duration_s(now_s))
    line: Line = [
        (f"{sign} {pad(name_of(span.phase, one), _NAME)}", tone if goes_on else ""),
        (f"{took:>{_TOOK - 1}}  ", "" if not goes_on else "strong"),
        (f"{time_of_day(wall(span.start_s)):<{_CLOCK}}", "dim"),
        *_stretch(span, now_s, axis, bar),
        (f" {_evidence(span)}", "dim"),
    ]
    return cut_line(line, width)


def _stretch(span: Span, now_s: float, axis: tuple[float, float], bar: int) -> Line:
    first, last = axis
    long = max(last - first, 1e-9)
    at = [round(bar * (min(max(t, first), last) - first) / long) for t in (span.start_s, span.end_s or now_s)]
    begin, end = min(at[0], bar - 1), max(at[1], min(at[0], bar - 1) + 1)
    if span.phase in LAST or span.phase is DeployPhase.SERVING:
        return [("·" * (bar - 1), "dim"), ("┤", "strong")]
    tone = "dim" if span.phase is DeployPhase.STOPPED else "key"
    mark = "╌" if span.phase is DeployPhase.STOPPED else "━"
    return [("·" * begin, "dim"), (mark * (end - begin), tone), ("·" * (bar - end), "dim")]


def _evidence(span: Span) -> str:
    """What shows the phase; of a memory that shows it, that it is no more than that."""
    words = clean(span.words, 60)
    return f"memory: {words}" if span.evidence is Evidence.MEMORY else words


def memory(one: Deployment, width: int) -> list[Line]:
    """Planned against actual."""
    share = "" if one.utilization is None else f"{one.utilization:g} of its GPU{'s' if len(one.gpus) > 1 else ''}"
    why = share if one.planned_bytes is not None else "its command line names no utilization"
    lines: list[Line] = [[("  planned ", ""), (f"{mib(one.planned_bytes):>11}  ", "strong"), (why, "dim")]]
    if not one.ended:
        lines.append(
            [("  now     ", ""), (f"{mib(one.used_bytes):>11}  ", "strong"), *_filled(one), (_growth(one), "")]
        )
    peak = against_plan(one.peak_bytes, one.planned_bytes) if one.served else ""
    lines.append([("  peak    ", ""), (f"{mib(one.peak_bytes):>11}  ", "strong"), (peak, "dim")])
    return [cut_line(line, width) for line in lines]


def _filled(one: Deployment) -> Line:
    used, planned = one.used_bytes, one.planned_bytes
    if used is None or not planned:
        return []
    cells = min(_MEANS_BAR, round(_MEANS_BAR * used / planned))
    return [("━" * cells, "key"), ("·" * (_MEANS_BAR - cells), "dim"), (f" {100 * used / planned:.0f} %", "")]


def _growth(one: Deployment) -> str:
    slope = one.slope_bytes_s
    if slope is None or not one.in_motion:
        return ""
    if abs(slope) < SLOW_BYTES_S:
        return ", steady"
    return f", {'+' if slope > 0 else '-'}{format_mib(abs(round(slope)))} MiB/s"


def notice(
    exposed: Sequence[tuple[Deployment, Sequence[str]]], races: Sequence[Race], now_s: float, width: int
) -> Line:
    """The one line over the explorer while hands must be off; empty when they need not be."""
    if not exposed:
        return []
    one, tenants = exposed[0]
    tail: Line = [("  D tells why ", "dim")]
    if races:
        more = f"  +{len(races) - 1} more" if len(races) > 1 else ""
        head: Line = [(" ! RACE ", "bad"), (clean(races[0].advice, 200), "strong"), (more, "dim")]
    else:
        names = ", ".join(clean(name, 24) for name in tenants) or "this GPU"
        doing = f"{name_of(one.phase, one)}, {duration(one.span.duration_s(now_s))}"
        head = [(" ! HANDS OFF ", "warn"), (names, "strong"), (f" while {clean(one.name, 24)} starts ({doing})", "")]
    return [*cut_line(head, max(20, width - 14)), *tail]


def badge(exposed: Sequence[object], races: Sequence[Race]) -> str:
    """For the header of a small terminal; empty when hands may be on."""
    return "! RACE (D)" if races else "! HANDS OFF (D)" if exposed else ""


_SHOWS = (
    "A vLLM server that stops, starts, loads, profiles, captures graphs, serves or dies shows here by itself: each "
    "phase with its duration, its memory planned against actual, why it died in vLLM's words and in plain ones, and "
    "what not to touch meanwhile."
)


def nothing(since: str, *, servers: bool) -> list[Line]:
    """What would show here.

    Args:
        since: when watching began, as a clock shows it.
        servers: whether vLLM servers are listed that were there before.
    """
    here = "No server has started" if servers else "No vLLM server is here, and none has come or gone"
    return [
        [(f"{here} since {since}, when watching began.", "strong")],
        [],
        [(_SHOWS, "")],
        [],
        [
            ("To see it: ", ""),
            ("gpu-tui --scenario deploy", "key"),
            (", or ", ""),
            ("--scenario race", "key"),
            (".", ""),
        ],
    ]
