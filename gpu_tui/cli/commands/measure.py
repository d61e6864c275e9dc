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
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gpu_tui.cli import output
from gpu_tui.cli.main import COMPLETE_FILE, COMPLETE_FOLDER
from gpu_tui.cli.recording import Recorder
from gpu_tui.errors import SourceUnavailable, UsageError

if TYPE_CHECKING:
    from gpu_tui.bench.demo import DemoAddresses
    from gpu_tui.bench.events import Event, Preview, Summary
    from gpu_tui.bench.plan import MeasurePlan
    from gpu_tui.config import Settings
    from gpu_tui.core.books import Books
    from gpu_tui.core.snapshot import Snapshot
    from gpu_tui.wiring import Options

_Result = TypeVar("_Result", "Preview", "Summary")

MEASURED, NOTHING_MEASURED, INTERRUPTED = 0, 3, 130
_MAX_PLAN_BYTES = 8 * 1024 * 1024
"""Prompts of a user's own are in it: up to 512 KiB, each byte up to six in JSON."""
_UTILIZATION = "model.gpu_memory_utilization"


NO_REPLAY = "measure puts load on services that run now, and a recording has none."

_MODES = ("llm", "stt", "both", "interference", "voice")
_CLIPS = ("short", "5s", "15s")


class _ReaderGone(KeyboardInterrupt):
    """Nobody reads stdout any more; like Ctrl-C it has to end every task at once."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this command alone."""
    add = parser.add_argument
    add("--llm", metavar="URL", help="the LLM server; default: configured, else found among the services' ports")
    add("--llm-model", metavar="NAME", help="its model; default: what the server lists")
    speech = parser.add_mutually_exclusive_group()
    speech.add_argument("--stt", metavar="URL", help="the speech-to-text server; default: likewise")
    local = speech.add_argument(
        "--stt-local", metavar="DIR", help="a Whisper model for CTranslate2 instead, run here by faster-whisper"
    )
    vars(local)["complete"] = COMPLETE_FOLDER
    add("--stt-device", choices=("auto", "cpu", "cuda"), help="where it runs (default auto: a GPU, if there is one)")
    add("--stt-model", metavar="NAME", help="the server's model; default: what it lists")
    add("--stt-size", metavar="LABEL", help="size of Whisper, such as tiny; default: as server or model tell")
    add("--mode", choices=_MODES, default="both", help="both: LLM, then STT, never together; see the README")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--requests", type=int, metavar="N", help="measured requests of each kind (default 20)")
    amount.add_argument("--duration", type=float, metavar="S", help="send for so many seconds instead, each kind")
    add("--concurrency", type=int, metavar="N", help="requests under way at once (default 1)")
    add("--rate", type=float, metavar="R", help="requests a second instead, however long answers take")
    add("--arrivals", choices=("poisson", "constant"), help="with --rate: gaps as of callers (default), or even ones")
    add("--warmup", type=int, metavar="N", help="requests sent first and left out (default 2, at least --concurrency)")
    add("--timeout", type=float, metavar="S", help="longest a request may take, in seconds (default 60)")
    text = parser.add_mutually_exclusive_group()
    text.add_argument("--prompt-tokens", type=int, metavar="N", help="length of synthetic prompts (default 64 words)")
    prompts = text.add_argument("--prompts", type=Path, metavar="FILE", help="prompts of yours, one a line")
    add("--output-tokens", type=int, metavar="N", help="most tokens of an answer (default 32)")
    sound = parser.add_mutually_exclusive_group()
    sound.add_argument("--clip", choices=_CLIPS, help="the shipped clip to transcribe (default 5s)")
    wav = sound.add_argument(
        "--wav", type=Path, metavar="FILE", help="a recording of yours: PCM, 16 bit, mono or stereo"
    )
    for action in (prompts, wav):
        vars(action)["complete"] = COMPLETE_FILE
    add("--despite-traffic", action="store_true", help="also measure while the LLM server is answering others")
    add("--note", default="", metavar="TEXT", help="words of yours, kept with the run in the journal")
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
        UsageError: an address, a number or a file means nothing, it is open which GPU or vLLM instance is meant, or the
            server is answering others.
        SourceUnavailable: the machine cannot be read, and no endpoint is named that could do without.
        BrokenPipeError: nobody reads stdout any more; the run has ended.
    """
    from gpu_tui.bench.plan import preview_plan, run_plan
    from gpu_tui.cli.measure_text import preview_text, summary_text

    try:
        recorder = Recorder(settings, args.options)
        with _plan(args, settings, recorder) as plan:
            emit = _emitter(args)
            if args.dry_run:
                preview = preview_plan(plan, emit)
                _show(args, preview, preview_text)
                return MEASURED if preview.llm or preview.stt else NOTHING_MEASURED
            with recorder.sampling():
                summary = recorder.told(run_plan(plan, recorder.watch(emit)))
            try:
                _show(args, summary, summary_text)
            finally:  # also when nobody reads any more: it was measured
                if not args.plan:  # a child's run is its parent's to keep
                    recorder.keep(summary, note=args.note, say=not (args.json or args.jsonl))
            return MEASURED if summary.measured else NOTHING_MEASURED
    except _ReaderGone:
        raise BrokenPipeError from None
    except KeyboardInterrupt:
        return INTERRUPTED


@contextmanager
def _plan(args: argparse.Namespace, settings: Settings, recorder: Recorder) -> Iterator[MeasurePlan]:
    """The plan handed over by a parent, or made here; a simulated machine's endpoints live as long as it."""
    from gpu_tui.bench.plan import Mode, load_plan

    if args.plan:
        yield load_plan(_first_line())
        return
    from gpu_tui import wiring

    options: Options = args.options
    snapshot, books = recorder.saw(*_machine(options, settings))
    planned = settings.model.gpu_memory_utilization if settings.origin(_UTILIZATION).kind != "default" else None

    def made(demo: DemoAddresses | None) -> MeasurePlan:
        plan = wiring.measure_plan(settings, options, snapshot, books, planned, demo=demo)
        return replace(plan, **_load(args), mode=Mode(args.mode), machine=plan.machine or os.uname().nodename)

    if not options.simulated:
        yield made(None)
        return
    with wiring.demo_servers(snapshot) as servers:
        yield made(servers.start())


def _load(args: argparse.Namespace) -> dict[str, Any]:
    """The part of the load that is no setting, by the plan's fields.

    Raises:
        UsageError: a file is not what its flag takes.
    """
    from gpu_tui.bench.workload import load_wav, read_prompts

    if args.arrivals is not None and args.rate is None:
        raise UsageError("--arrivals means nothing without --rate.", "Add --rate, or leave it out.")
    if args.concurrency is not None and args.rate is not None:
        raise UsageError(
            "--rate sends however many are under way: --concurrency means nothing beside it.", "Leave one of them out."
        )
    load: dict[str, Any] = {
        "duration_s": args.duration,
        "rate": args.rate,
        "constant_rate": args.arrivals == "constant",
        "refuse_traffic": not args.despite_traffic and not args.dry_run,
    }
    if args.prompts is not None:
        load["prompts"] = read_prompts(args.prompts)
    if args.clip is not None:
        load["clip"] = args.clip
    if args.wav is not None:
        load_wav(args.wav)  # a mistake is told before anything is asked of a server
        load["wav"] = str(args.wav.absolute())
    return load


def _machine(options: Options, settings: Settings) -> tuple[Snapshot | None, Books | None]:
    """What is measured on; (None, None) when it cannot be read and an endpoint is named anyway."""
    from gpu_tui import wiring
    from gpu_tui.cli.reading import look

    try:
        seen = look(options, settings)
    except SourceUnavailable as error:
        named = settings.endpoints
        if named.llm is None and named.stt is None and named.stt_local is None:
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
    from gpu_tui.bench.events import Progress, RequestDone, TurnDone, encode_event

    def as_lines(event: Event) -> None:
        _write(encode_event(event) + b"\n")

    def for_people(event: Event) -> None:
        if isinstance(event, Progress) and event.message and event.kind:
            output.note(f"{event.kind.upper()}: {event.message}")
        elif isinstance(event, RequestDone) and event.error:
            output.note(f"{event.kind.upper()} request {event.index}: {event.message}")
        elif isinstance(event, TurnDone) and event.turn.error:
            output.note(f"turn {event.turn.index}: {event.turn.message}")

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
