"""``gpu-tui services``: who holds the memory, once."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial

from gpu_tui import wire
from gpu_tui.cli import exit_codes, output, reading
from gpu_tui.config import Settings
from gpu_tui.core.books import Books, Service
from gpu_tui.core.choice import ALL, blocking_fault
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.view.spans import cells, pad, plain
from gpu_tui.view.text import clean


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.add_argument("--json", action="store_true", help="for a script (schema 1)")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Read once and print; every GPU unless one is named.

    Raises:
        SourceUnavailable: the machine cannot be read.
        UsageError: there is no such GPU.
    """
    seen = reading.look(args.options, settings, default_gpu=ALL)
    machine = [(gpu, seen.books(gpu)) for gpu in seen.gpus]
    blocked = {gpu.key: blocking_fault(gpu) for gpu in seen.gpus}
    if args.json:
        output.write_json(
            wire.services_object(seen.snapshot, machine, partial(clean, limit=64), partial(clean, limit=400))
        )
    else:
        for gpu, books in machine:
            held = [] if blocked[gpu.key] else _told(books, gpu, seen.snapshot)
            output.write("\n".join([reading.headline(seen.snapshot, gpu), *gaps(gpu), *held, ""]))
    if args.json:
        for gpu in seen.gpus:
            for fault in gpu.faults:
                output.note(f"{clean(fault.message, 200)} {clean(fault.remedy, 200)}")
    unknown = any(blocked[gpu.key] or gpu.total_bytes is None or not books.listed for gpu, books in machine)
    return exit_codes.UNAVAILABLE if unknown else exit_codes.OK


def _told(books: Books, gpu: Gpu, snapshot: Snapshot) -> Sequence[str]:
    """The table with where each service lives, then what is known of the rest, and on what all of it rests."""
    from gpu_tui.view import who
    from gpu_tui.wiring.residents import all_residents

    loaded = {
        name: f"models: {who.model_words(one.models, one.source)}"
        for name, one in all_residents(books, snapshot).items()
    }
    lines = list(table(books, lambda service: who.short_facts(service, snapshot, loaded.get(service.name, ""))))
    lines += [f"  {plain(line)}" for line in who.rest_lines(books, gpu, snapshot, width=110)]
    return lines


def gaps(gpu: Gpu) -> Sequence[str]:
    """What could not be read of a GPU, why, and what to do."""
    return [
        f"  {words}" for fault in gpu.faults for words in (f"! {clean(fault.message, 200)}", clean(fault.remedy, 200))
    ]


def table(books: Books, where: Callable[[Service], str] | None = None) -> Sequence[str]:
    """One line per service, and what `where` tells of it below; then what no process explains."""
    lines = []
    names = max(12, *(cells(clean(service.name, 24)) for service in books.services))
    for service in books.services:
        if not books.listed:
            held = "unknown"
        elif not service.running:
            held = "not running"
        else:
            pids = ", ".join(str(pid) for pid in service.pids[:3])
            more = f" +{len(service.pids) - 3}" if len(service.pids) > 3 else ""
            role = f"{service.what_if} (what if)" if service.what_if else service.role.value
            held = f"{reading.mib(service.used_bytes):>7} MiB  {role:<10}  pid {pids}{more}"
        note = f"  ({clean(service.note, 80)})" if service.note else ""
        lines.append(f"  {pad(clean(service.name, 24), names)} {held}{note}")
        below = where(service) if where is not None and service.running else ""
        lines += [f"  {'':<{names}} {below}"] if below else []
    lines.append(
        f"  {'unattributed':<{names}} {reading.mib(books.unattributed_bytes):>7} MiB  in use, but by no process listed"
    )
    lines.append(f"  {'reserved':<{names}} {reading.mib(books.reserved_bytes):>7} MiB  by the driver")
    lines.append(f"  {'free':<{names}} {reading.mib(books.free_bytes):>7} MiB")
    return lines
