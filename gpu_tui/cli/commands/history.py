"""``gpu-tui history``: the runs in the journal, listed, shown, compared, plotted, exported, deleted."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_tui import wiring
from gpu_tui.cli import exit_codes, output
from gpu_tui.cli.main import COMPLETE_FILE, global_flags
from gpu_tui.clock import SystemClock
from gpu_tui.config import Settings
from gpu_tui.errors import UsageError
from gpu_tui.view.text import clean

if TYPE_CHECKING:
    from gpu_tui.journal import Entry, Journal

NO_REPLAY = "history shows what the journal keeps, and a recording keeps no runs."

_EPILOG = """\
Every run of `gpu-tui measure`, the optimizer and the explorer is kept, unless --no-journal is said. Simulated runs
are marked, and never stand in one comparison or plot with real ones. With --deployments the same actions (list, show,
export, delete) are about starts of vLLM: what was predicted of each, and what its log measured.

examples:
  gpu-tui history --since 7d
  gpu-tui history compare 12 15
  gpu-tui history export --format markdown --output report.md
  gpu-tui history --deployments

exit codes: 0 done, 2 no such run, or the file is no journal, damaged or newer, 3 it cannot be read or written
"""
_LISTED = 20
_KINDS = ("measure", "evaluate", "tui")
_FORMATS = ("csv", "json", "markdown")


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags, which are those of `list`, and its actions."""
    parser.epilog = _EPILOG
    _which(parser, _LISTED)
    parser.add_argument("--json", action="store_true", help="for a script (schema 1)")
    parser.set_defaults(action="list")
    actions = parser.add_subparsers(title="actions", metavar="ACTION")

    def action(name: str, words: str, *, json: bool = False) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = actions.add_parser(
            name,
            help=words,
            description=f"{words[0].upper()}{words[1:]}.",
            parents=[global_flags(argparse.SUPPRESS)],
            formatter_class=parser.formatter_class,
            allow_abbrev=False,
        )
        added.set_defaults(action=name)
        if json:
            added.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="for a script (schema 1)")
        return added

    _reading_actions(action)
    _writing_actions(action)


def _reading_actions(action: Callable[..., argparse.ArgumentParser]) -> None:
    _which(action("list", "the runs, newest first; also without an action", json=True), argparse.SUPPRESS)
    show = action("show", "everything that is kept of one run", json=True)
    show.add_argument("run", metavar="ID", type=_number)
    _deployments(show)
    compare = action("compare", "two runs side by side: what changed, and whether it is more than scatter", json=True)
    compare.add_argument("a", metavar="A", type=_number)
    compare.add_argument("b", metavar="B", type=_number)
    plot = action("plot", "p50 and p95 of the runs against utilization or KV cache, with the targets")
    plot.add_argument("--against", choices=("utilization", "kv-tokens"), default="utilization", help="the other axis")
    plot.add_argument("--simulated", action="store_true", help="the simulated runs instead of the real ones")
    _which(plot, argparse.SUPPRESS)


def _writing_actions(action: Callable[..., argparse.ArgumentParser]) -> None:
    export = action("export", "the runs for other programs, or as a report")
    export.add_argument(
        "--format",
        choices=_FORMATS,
        required=True,
        help="markdown: a table and the plots, as text and, with --output, as SVG",
    )
    file = export.add_argument("--output", metavar="FILE", type=Path, help="default: standard output")
    vars(file)["complete"] = COMPLETE_FILE
    _which(export, argparse.SUPPRESS)
    delete = action("delete", "take a run out of the journal, for good")
    delete.add_argument("run", metavar="ID", type=_number)
    delete.add_argument("--yes", action="store_true", help="do not ask")
    _deployments(delete)


def _which(parser: argparse.ArgumentParser, limit: object) -> None:
    """Which runs. The flags of an action must not put defaults over those before it."""
    none = None if isinstance(limit, int) else argparse.SUPPRESS
    add = parser.add_argument
    add("--limit", metavar="N", type=_number, default=none, help=f"at most so many (list: {_LISTED})")
    add("--since", metavar="WHEN", type=_instant, default=none, help="2026-11-01, 2026-11-01T10:00 (UTC), 7d, 12h, 30m")
    _deployments(parser, False if none is None else argparse.SUPPRESS)
    add("--kind", choices=_KINDS, default=none, help="who ran it: the command, the optimizer, the explorer")


def _deployments(parser: argparse.ArgumentParser, default: object = argparse.SUPPRESS) -> None:
    words = "starts of vLLM, predicted against measured, instead of runs"
    parser.add_argument("--deployments", action="store_true", default=default, help=words)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _instant(text: str) -> str:
    """UTC as the journal writes it."""
    ago = re.fullmatch(r"(\d{1,6})([dhm])", text)
    if ago is not None:
        unit = {"d": "days", "h": "hours", "m": "minutes"}[ago[2]]
        try:
            moment = datetime.fromtimestamp(SystemClock().wall(), UTC) - timedelta(**{unit: int(ago[1])})
        except OverflowError:
            moment = datetime.min.replace(tzinfo=UTC)
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is neither a date nor an age such as 7d") from None
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do what the action says.

    Raises:
        UsageError: there is no such run, or the journal is switched off.
        JournalRefused: the file is no journal, damaged or newer.
        JournalError: it cannot be read or written.
    """
    if args.deployments:
        from gpu_tui.cli import deployments

        return deployments.run(args, settings)
    actions: dict[str, Callable[[argparse.Namespace, Settings, Journal], int]] = {
        "list": _list,
        "show": _show,
        "compare": _compare,
        "plot": _plot,
        "export": _export,
        "delete": _delete,
    }
    with wiring.open_journal(settings) as journal:
        return actions[args.action](args, settings, journal)


def _chosen(args: argparse.Namespace, journal: Journal, limit: int | None = None) -> list[Entry]:
    return journal.entries(
        limit=args.limit if args.limit is not None else limit,
        since=args.since,
        kind=args.kind,
        simulated=getattr(args, "simulated", None),
    )


def _list(args: argparse.Namespace, _settings: Settings, journal: Journal) -> int:
    from gpu_tui.journal import export, text

    entries = _chosen(args, journal, _LISTED)
    if args.json:
        runs = [export.entry_object(entry) for entry in entries]
        output.write_json({"schema": export.SCHEMA, "journal": str(journal.path), "runs": runs})
        return exit_codes.OK
    if not entries:
        output.note(f"No runs in {journal.path}.")
        return exit_codes.OK
    output.write("\n".join(text.listed(entries)))
    if args.limit is None and len(entries) == _LISTED:
        output.note(f"The newest {_LISTED} runs; --limit shows more.")
    return exit_codes.OK


def _show(args: argparse.Namespace, _settings: Settings, journal: Journal) -> int:
    from gpu_tui.journal import export, text

    stored = journal.get(args.run)
    if args.json:
        output.write_json({"schema": export.SCHEMA, **export.run_object(stored)})
    else:
        output.write("\n".join(text.detailed(stored)))
    return exit_codes.OK


def _compare(args: argparse.Namespace, _settings: Settings, journal: Journal) -> int:
    from gpu_tui.journal import export, text
    from gpu_tui.journal.compare import compare

    comparison = compare(journal.get(args.a), journal.get(args.b))
    if args.json:
        output.write_json(export.comparison_object(comparison))
    else:
        output.write("\n".join(text.compared(comparison)))
    return exit_codes.OK


def _targets(settings: Settings) -> dict[str, float | None]:
    targets = settings.evaluator.targets
    return {"llm": targets.llm_ms, "stt": targets.stt_ms}


def _plot(args: argparse.Namespace, settings: Settings, journal: Journal) -> int:
    from gpu_tui.journal import scatter

    entries = _chosen(args, journal)
    output.write("\n".join(scatter.plot(entries, args.against, _targets(settings))))
    left_out = not entries and not args.simulated
    if left_out and journal.entries(since=args.since, kind=args.kind, simulated=True, limit=1):
        output.note("Simulated runs are left out; --simulated plots them.")
    return exit_codes.OK


def _export(args: argparse.Namespace, settings: Settings, journal: Journal) -> int:
    from gpu_tui.journal import report

    entries, targets = _chosen(args, journal), _targets(settings)
    if args.output is None:
        output.write(report.text_of(journal, entries, args.format, targets).removesuffix("\n"))
        return exit_codes.OK
    try:
        written = report.write(journal, entries, args.format, args.output, targets)
    except OSError as error:
        output.note(f"{args.output} could not be written: {error.strerror}.")
        return exit_codes.OUTPUT
    for picture in written[:-1]:
        output.note(f"Written beside it: {clean(str(picture))}")
    return exit_codes.OK


def _delete(args: argparse.Namespace, settings: Settings, journal: Journal) -> int:
    from gpu_tui.journal import text

    stored = journal.get(args.run)
    if not args.yes:
        if not sys.stdin.isatty():
            raise UsageError(f"Run {stored.id} is deleted only after a question, and nobody can answer.", "Say --yes.")
        output.note(text.detailed(stored)[0])
        output.note("Delete it for good? Type yes:")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            output.note("Nothing was deleted.")
            return exit_codes.OK
    with wiring.open_journal(settings, writable=True) as writable:
        writable.delete(stored.id)
    output.note(f"Run {stored.id} is deleted.")
    return exit_codes.OK
