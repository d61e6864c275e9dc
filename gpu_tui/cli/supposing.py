"""What `gpu-tui check` may suppose beside the memory as it is: other roles, peaks, headroom."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from gpu_tui.cli import output
from gpu_tui.cli.reading import Look
from gpu_tui.core.against import Against, View, view_of
from gpu_tui.core.books import Books
from gpu_tui.core.checks import CheckReport, Feasible, feasible_range
from gpu_tui.core.peaks import Peaks
from gpu_tui.core.snapshot import Gpu
from gpu_tui.core.what_if import WhatIf, require_known, sentences
from gpu_tui.errors import GpuTuiError
from gpu_tui.units import format_mib
from gpu_tui.view import against as words
from gpu_tui.view.text import clean
from gpu_tui.wire_peaks import against_object
from gpu_tui.wiring import peaks as wiring


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    group = parser.add_argument_group("what is supposed of the tenants")
    group.add_argument(
        "--what-if",
        metavar="NAME=ROLE",
        action="append",
        default=[],
        type=_what_if,
        help="judge as if a service were persistent, restarts or stopped; again for another",
    )
    group.add_argument(
        "--against",
        choices=[one.value for one in Against],
        default=Against.NOW.value,
        help="judge the tenants as they are now, at the most they held together, or each at its peak at once",
    )
    group.add_argument("--headroom-mib", metavar="N", type=float, help="memory to be kept free, MiB")
    group.add_argument("--headroom-pct", metavar="P", type=float, help="the same in percent of the GPU's memory")


def _what_if(text: str) -> tuple[str, WhatIf]:
    name, _, role = text.rpartition("=")
    if not name or role not in list(WhatIf):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=persistent, NAME=restarts or NAME=stopped")
    return name, WhatIf(role)


@dataclass(frozen=True, kw_only=True)
class Supposing:
    """What one command supposes, whichever GPU is asked about."""

    against: Against
    what_if: dict[str, WhatIf]
    if_loaded: dict[str, int]
    peaks: dict[str, Peaks]
    recorded: bool = False
    """The peaks are a recording's."""

    def view(self, gpu: Gpu, books: Books) -> View:
        """A GPU's books as they are judged.

        Raises:
            UsageError: a supposition is about nobody here.
        """
        require_known(books, self.what_if)
        known = wiring.peaks_of(gpu, self.peaks)
        return view_of(books, known, self.against, self.what_if, self.if_loaded)


def supposing(args: argparse.Namespace, seen: Look) -> Supposing:
    """From the command line; peaks that cannot be read are told, and the rest is judged without them."""
    against = Against(args.against)
    peaks: dict[str, Peaks] = {}
    recorded = seen.snapshot.source == "replay"
    if against is not Against.NOW:
        try:
            peaks = _recorded(seen) if recorded else wiring.known_peaks(seen.settings, seen.snapshot)
        except GpuTuiError as error:
            output.error(error)
    return Supposing(
        against=against,
        what_if=dict(args.what_if),
        if_loaded=wiring.if_loaded(seen.settings),
        peaks=peaks,
        recorded=recorded,
    )


def _recorded(seen: Look) -> dict[str, Peaks]:
    from gpu_tui.telemetry.recording.replay import ReplaySource
    from gpu_tui.wiring.recorded_peaks import recorded_peaks

    if not isinstance(seen.source, ReplaySource):
        return {}
    asked = {gpu.key for gpu in seen.gpus}
    number = seen.source.position().number
    return recorded_peaks(seen.source.recording, number, asked, seen.rules, seen.settings.restarts)


def feasible_now(view: View, report: CheckReport) -> Feasible | None:
    """The range against the memory as it is."""
    return feasible_range(view.now, report.need)


def text(view: View, report: CheckReport, *, recorded: bool = False) -> str:
    """What was supposed, for people; empty where it is the memory as it is. `recorded`: as of `Supposing`."""
    lines = [clean(sentence, 200) for sentence in sentences(view.now)]
    if report.need.headroom_bytes:
        kept = format_mib(report.need.headroom_bytes)
        lines.append(f"Headroom: {kept} MiB are kept free ({words.origin_words(report.need.headroom_origin)}).")
    if view.against is not Against.NOW:
        lines.append(f"Judged against {words.LONG[view.against]}.")
        lines += [f"  {words.grown(level)}" for level in view.growers]
        if not view.growers:
            lines.append("  No tenant is known to take more than now.")
        told = words.shrunk(feasible_now(view, report), report.feasible, view.growers, view.against)
        lines += [f"  {told[0].upper()}{told[1:]}"] if told else []
        lines.append(f"  {words.known_words(view.peaks, recorded=recorded)}")
    return "\n".join(lines)


def beside(verdict: str, told: str) -> str:
    """The verdict with what was supposed right below its first line: without that it would be misread."""
    first, _, rest = verdict.partition("\n")
    return f"{first}\n\n{told}\n{rest}" if told else verdict


def object_of(view: View, report: CheckReport) -> dict[str, Any]:
    """The same for a script."""
    return against_object(report.need, view.now, view.against, view.levels, view.peaks, feasible_now(view, report))
