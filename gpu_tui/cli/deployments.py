"""``gpu-tui history --deployments``: the kept starts of vLLM, predicted against measured."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from gpu_tui.cli import exit_codes, output
from gpu_tui.config import Settings
from gpu_tui.errors import UsageError
from gpu_tui.view.text import clean

if TYPE_CHECKING:
    from gpu_tui.journal.deployments import Deployments, StoredDeployment

LISTED = 20
FORMATS = ("csv", "json")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do what the action says, with starts in place of runs.

    Raises:
        UsageError: there is no such start, the action is about runs alone, or the journal is switched off.
        JournalRefused: the file is no journal, damaged or newer.
        JournalError: it cannot be read or written.
    """
    from gpu_tui.wiring.deployments import open_deployments

    actions: dict[str, Callable[[argparse.Namespace, Settings, Deployments], int]] = {
        "list": _list,
        "show": _show,
        "export": _export,
        "delete": _delete,
    }
    if args.action not in actions:
        raise UsageError(
            f"{args.action} is about runs.", "With --deployments say list, show ID, export --format json or delete ID."
        )
    if args.kind is not None:
        raise UsageError("--kind is about runs.", "Leave it out: every deployment is a start of vLLM.")
    with open_deployments(settings) as journal:
        return actions[args.action](args, settings, journal)


def _chosen(args: argparse.Namespace, journal: Deployments, limit: int | None = None) -> list[StoredDeployment]:
    return journal.starts(limit=args.limit if args.limit is not None else limit, since=args.since)


def _list(args: argparse.Namespace, _settings: Settings, journal: Deployments) -> int:
    from gpu_tui.journal import deployments_text as text

    starts = _chosen(args, journal, LISTED)
    if args.json:
        objects = [text.deployment_object(one) for one in starts]
        output.write_json({"schema": text.SCHEMA, "journal": str(journal.path), "deployments": objects})
        return exit_codes.OK
    if not starts:
        output.note(f"No deployments in {clean(str(journal.path))}.")
        output.note("One is kept when gpu-tui has read the start-up log or the metrics of a running vLLM.")
        return exit_codes.OK
    output.write("\n".join(text.listed(starts)))
    if args.limit is None and len(starts) == LISTED:
        output.note(f"The newest {LISTED} deployments; --limit shows more.")
    return exit_codes.OK


def _show(args: argparse.Namespace, _settings: Settings, journal: Deployments) -> int:
    from gpu_tui.journal import deployments_text as text

    stored = journal.start(args.run)
    if args.json:
        output.write_json({"schema": text.SCHEMA, **text.deployment_object(stored)})
    else:
        output.write("\n".join(text.detailed(stored)))
    return exit_codes.OK


def _export(args: argparse.Namespace, settings: Settings, journal: Deployments) -> int:
    from gpu_tui.journal import deployments_text as text

    if args.format not in FORMATS:
        raise UsageError(f"Deployments are not exported as {args.format}.", f"Say one of: {', '.join(FORMATS)}.")
    starts = _chosen(args, journal)
    if args.format == "csv":
        told = text.csv_text(starts)
    else:
        whole = {"schema": text.SCHEMA, "deployments": [text.deployment_object(one) for one in starts]}
        told = json.dumps(whole, indent=2, allow_nan=False) + "\n"
    if args.output is None:
        output.write(told.removesuffix("\n"))
        return exit_codes.OK
    if args.output.exists() and args.output.samefile(journal.path):
        raise UsageError(f"{args.output} is the journal itself.", "Choose another file.")
    try:
        args.output.write_text(told, encoding="utf-8")
    except OSError as error:
        output.note(f"{args.output} could not be written: {error.strerror}.")
        return exit_codes.OUTPUT
    return exit_codes.OK


def _delete(args: argparse.Namespace, settings: Settings, journal: Deployments) -> int:
    from gpu_tui.journal import deployments_text as text
    from gpu_tui.wiring.deployments import open_deployments

    stored = journal.start(args.run)
    if not args.yes:
        if not sys.stdin.isatty():
            told = f"Deployment {stored.id} is deleted only after a question, and nobody can answer."
            raise UsageError(told, "Say --yes.")
        output.note(text.detailed(stored)[0])
        output.note("Delete it for good? Nothing is learned from it then. Type yes:")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            output.note("Nothing was deleted.")
            return exit_codes.OK
    with open_deployments(settings, writable=True) as writable:
        writable.forget(stored.id)
    output.note(f"Deployment {stored.id} is deleted.")
    return exit_codes.OK
