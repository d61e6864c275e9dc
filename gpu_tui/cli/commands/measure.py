"""``gpu-tui measure``: STT and LLM latency of the live services, in this process; also the child of the TUI.

Results go to stdout: a table, with ``--json`` one object, with ``--jsonl`` a line per event. The HTTP client is loaded
by the run alone, so that no other command pays for it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from gpu_tui.cli import output
from gpu_tui.errors import SourceUnavailable

if TYPE_CHECKING:
    from gpu_tui.bench.demo import DemoAddresses
    from gpu_tui.bench.events import Event, Figure, Preview, Summary, Utilization
    from gpu_tui.bench.plan import MeasurePlan
    from gpu_tui.config import Settings
    from gpu_tui.core.books import Books
    from gpu_tui.core.snapshot import Snapshot
    from gpu_tui.wiring import Options

_Result = TypeVar("_Result", "Preview", "Summary")

MEASURED, NOTHING_MEASURED, INTERRUPTED = 0, 3, 130
_MAX_PLAN_BYTES = 1024 * 1024
_UTILIZATION = "model.gpu_memory_utilization"


class _ReaderGone(KeyboardInterrupt):
    """Nobody reads stdout any more; like Ctrl-C it has to end every task at once."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this command alone."""
    add = parser.add_argument
    add("--llm", metavar="URL", help="the LLM server; default: configured, else found among the services' ports")
    add("--llm-model", metavar="NAME", help="its model; default: what the server lists")
    add("--stt", metavar="URL", help="the speech-to-text server; default: likewise")
    add("--stt-model", metavar="NAME", help="its model; default: likewise")
    add("--mode", choices=("llm", "stt", "both"), default="both", help="both: LLM, then STT, never together")
    add("--requests", type=int, metavar="N", help="measured requests of each kind (default 20)")
    add("--concurrency", type=int, metavar="N", help="requests under way at once (default 1)")
    add("--warmup", type=int, metavar="N", help="requests of each kind sent first and left out (default 2)")
    add("--timeout", type=float, metavar="S", help="longest a request may take, in seconds (default 60)")
    add("--dry-run", action="store_true", help="show the endpoints, models and load, and measure nothing")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="one object at the end")
    output.add_argument("--jsonl", action="store_true", help="one line of JSON per event, the summary last")
    add("--plan", metavar="-", choices=("-",), help=argparse.SUPPRESS)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Measure, or with ``--dry-run`` show what would be.

    Returns:
        0 when anything was measured (or would be), 3 when nothing could be, 130 when interrupted.

    Raises:
        UsageError: an address or a number means nothing, or it is open which GPU or vLLM instance is meant.
        SourceUnavailable: the machine cannot be read, and no endpoint is named that could do without.
        BrokenPipeError: nobody reads stdout any more; the run has ended.
    """
    from gpu_tui.bench.plan import preview_plan, run_plan

    try:
        with _plan(args, settings) as plan:
            emit = _emitter(args)
            if args.dry_run:
                preview = preview_plan(plan, emit)
                _show(args, preview, _preview_text)
                return MEASURED if preview.llm or preview.stt else NOTHING_MEASURED
            summary = run_plan(plan, emit)
            _show(args, summary, _summary_text)
            return MEASURED if summary.measured else NOTHING_MEASURED
    except _ReaderGone:
        raise BrokenPipeError from None
    except KeyboardInterrupt:
        return INTERRUPTED


@contextmanager
def _plan(args: argparse.Namespace, settings: Settings) -> Iterator[MeasurePlan]:
    """The plan handed over by a parent, or made here; a simulated machine's endpoints live as long as it."""
    from gpu_tui.bench.plan import Mode, load_plan

    if args.plan:
        yield load_plan(_first_line())
        return
    from gpu_tui import wiring

    options: Options = args.options
    snapshot, books = _machine(options, settings)
    planned = settings.model.gpu_memory_utilization if settings.origin(_UTILIZATION).kind != "default" else None

    def made(demo: DemoAddresses | None) -> MeasurePlan:
        plan = wiring.measure_plan(settings, options, snapshot, books, planned, demo=demo)
        return replace(plan, mode=Mode(args.mode), machine=plan.machine or os.uname().nodename)

    if not options.simulated:
        yield made(None)
        return
    with wiring.demo_servers(snapshot) as servers:
        yield made(servers.start())


def _machine(options: Options, settings: Settings) -> tuple[Snapshot | None, Books | None]:
    """What is measured on; (None, None) when it cannot be read and an endpoint is named anyway."""
    from gpu_tui import wiring
    from gpu_tui.cli.reading import look

    try:
        seen = look(options, settings)
    except SourceUnavailable as error:
        if settings.endpoints.llm is None and settings.endpoints.stt is None:
            raise
        output.error(error)
        return None, None
    gpus = wiring.choose_gpus(seen.snapshot, settings, seen.rules, needed_one=True)
    return seen.snapshot, wiring.choose_restarts(seen.snapshot, gpus, settings, seen.rules)[0]


def _first_line() -> bytes:
    """Read without a buffer: what comes after the line is the tether, and belongs to the event loop."""
    line = b""
    while not line.endswith(b"\n") and len(line) < _MAX_PLAN_BYTES:
        data = os.read(sys.stdin.fileno(), 65536)
        if not data:
            break
        line += data
    return line


def _emitter(args: argparse.Namespace) -> Callable[[Event], None]:
    from gpu_tui.bench.events import Progress, RequestDone, encode_event

    def as_lines(event: Event) -> None:
        _write(encode_event(event) + b"\n")

    def for_people(event: Event) -> None:
        if isinstance(event, Progress) and event.message and event.kind:
            output.note(f"{event.kind.upper()}: {event.message}")
        elif isinstance(event, RequestDone) and event.error:
            output.note(f"{event.kind.upper()} request {event.index}: {event.message}")

    return as_lines if args.jsonl else for_people


def _show(args: argparse.Namespace, result: _Result, text: Callable[[_Result], str]) -> None:
    from gpu_tui.bench.events import encode_result

    if args.json:
        _write(encode_result(result) + b"\n")
    elif not args.jsonl:
        output.write(text(result))


def _write(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # A parent that died, or `head`: to go on would be load for nothing.
        raise _ReaderGone from None


def _summary_text(summary: Summary) -> str:
    lines = ["SIMULATED endpoints: these figures are invented."] if summary.simulated else []
    llm, stt = summary.llm, summary.stt
    if llm is not None:
        lines += ["", f"LLM  {llm.url}  {llm.model or 'no model named'}  n={llm.n}"]
        lines += [_HEADER] if llm.n else []
        lines += _rows(("TTFT", llm.ttft_ms), ("ITL", llm.itl_ms), ("end to end", llm.e2e_ms), unit="ms")
        if llm.output_tokens_per_s is not None:
            lines.append(f"  {llm.output_tokens_per_s:.1f} output tokens/s")
        if llm.not_streamed:
            lines.append(f"  {llm.not_streamed} answers came whole, not streamed: no time to first token")
        if llm.itl_basis == "mean_per_token":
            lines.append("  chunks carry several tokens: ITL is the mean per token of each answer")
        lines += _error_lines(llm.errors)
    if stt is not None:
        lines += ["", f"STT  {stt.url}  {stt.model or 'no model named'}  n={stt.n}  clip {stt.audio_s:.1f} s"]
        lines += [_HEADER] if stt.n else []
        lines += _rows(("latency", stt.latency_ms), unit="ms") + _rows(("RTF", stt.rtf), unit="", digits=3)
        lines += _error_lines(stt.errors)
    lines += ["", *_foot(summary.reason, summary.notes, summary.gpu_memory_utilization)]
    cost = summary.generator
    if cost.cpu_s is not None and cost.share is not None:
        lines.append(f"measuring took {cost.cpu_s:.2f} s of CPU, {cost.share:.1%} of a core during the load")
    if summary.oom_events:
        lines.append(f"! {summary.oom_events} answers reported CUDA out of memory")
    return "\n".join(lines).strip("\n")


def _preview_text(preview: Preview) -> str:
    lines = ["SIMULATED endpoints."] if preview.simulated else []
    for name, shown in (("LLM", preview.llm), ("STT", preview.stt)):
        if shown is not None:
            lines.append(f"{name}  {shown.url}  from {shown.origin}")
            lines.append(f"     model {shown.model or 'not named'}  from {shown.model_origin}")
    lines.append(
        f"load  {preview.requests} requests of each kind after {preview.warmup} to warm up, {preview.concurrency} at "
        f"once, at most {preview.timeout_s:g} s each; prompts of {preview.prompt_words} words, "
        f"{preview.output_tokens} output tokens"
    )
    lines += _foot(preview.reason, preview.notes, preview.gpu_memory_utilization)
    return "\n".join([*lines, "Nothing was measured."])


_HEADER = f"  {'':<12}{'p50':>10}{'p95':>10}{'p99':>10}{'min':>10}{'max':>10}{'mean':>10}"


def _rows(*rows: tuple[str, Figure | None], unit: str, digits: int = 1) -> list[str]:
    return [
        f"  {name:<12}"
        + "".join(f"{value:>10.{digits}f}" for value in (f.p50, f.p95, f.p99, f.min, f.max, f.mean))
        + f" {unit}".rstrip()
        for name, f in rows
        if f is not None
    ]


def _error_lines(errors: dict[str, int]) -> list[str]:
    return ["  errors: " + ", ".join(f"{kind} {count}" for kind, count in errors.items())] if errors else []


def _foot(reason: dict[str, str], notes: list[str], utilization: Utilization) -> list[str]:
    lines = [f"{kind.upper()}  {text}" for kind, text in reason.items()]
    lines += [f"note: {note}" for note in notes]
    actual, planned = utilization.actual, utilization.planned
    running = "unknown" if actual is None else f"{actual:g}"
    lines.append(f"gpu_memory_utilization: running {running}" + ("" if planned is None else f", planned {planned:g}"))
    return lines
