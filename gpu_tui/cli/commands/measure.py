"""``gpu-tui measure``: STT and LLM latency of the live services, in this process; also the child of the TUI.

Results go to stdout: a table, with ``--json`` one object, with ``--jsonl`` a line per event. The HTTP client is loaded
by the run alone, so that no other command pays for it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from gpu_tui.bench.events import Event, Figure, Preview, Summary, Utilization
    from gpu_tui.bench.plan import Candidate, MeasurePlan
    from gpu_tui.config import Settings

_Number = TypeVar("_Number", int, float)
_Result = TypeVar("_Result", "Preview", "Summary")

MEASURED, NOTHING_MEASURED, INTERRUPTED = 0, 3, 130
_MAX_PLAN_BYTES = 1024 * 1024


class Surroundings(Protocol):
    """What is known of the machine the plan is for."""

    def __call__(self, plan: MeasurePlan, settings: Settings) -> AbstractContextManager[MeasurePlan]:
        """The plan with the services' ports as candidates, the running utilization and the machine's name.

        What was started for it, such as the demo's endpoints, ends with the context.
        """
        ...


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


def run(args: argparse.Namespace, settings: Settings, surroundings: Surroundings | None = None) -> int:
    """Measure, or with ``--dry-run`` show what would be.

    Returns:
        0 when anything was measured (or would be), 3 when nothing could be, 130 when interrupted.

    Raises:
        UsageError: an address or a number means nothing.
    """
    from gpu_tui.bench.plan import preview_plan, run_plan

    try:
        with _plan(args, settings, surroundings) as plan:
            emit = _emitter(args)
            if args.dry_run:
                preview = preview_plan(plan, emit)
                _show(args, preview, _preview_text)
                return MEASURED if preview.llm or preview.stt else NOTHING_MEASURED
            summary = run_plan(plan, emit)
            _show(args, summary, _summary_text)
            return MEASURED if summary.measured else NOTHING_MEASURED
    except KeyboardInterrupt:
        return INTERRUPTED


def _plan(
    args: argparse.Namespace, settings: Settings, surroundings: Surroundings | None
) -> AbstractContextManager[MeasurePlan]:
    from gpu_tui.bench.plan import load_plan

    if args.plan:
        # Unbuffered: what comes after the line is the tether, and belongs to the event loop.
        return nullcontext(load_plan(_first_line()))
    plan = plan_of(args, settings)
    if surroundings is None or _complete(plan):
        return nullcontext(plan)
    return surroundings(plan, settings)


def _complete(plan: MeasurePlan) -> bool:
    return bool((plan.llm_urls or not plan.wants_llm) and (plan.stt_urls or not plan.wants_stt))


def plan_of(args: argparse.Namespace, settings: Settings) -> MeasurePlan:
    """The plan that flags and settings alone make; a flag wins over a setting.

    Raises:
        UsageError: an address or a number means nothing.
    """
    from gpu_tui.bench.plan import MeasurePlan, Mode, candidates

    places, load = settings.endpoints, settings.measure

    def named(kind: str) -> tuple[Candidate, ...]:
        if (flag := getattr(args, kind)) is not None:
            return candidates(flag, origin=f"--{kind}", chosen=True)
        origin = f"[endpoints] {kind}, {settings.origin(f'endpoints.{kind}')}"
        return candidates(getattr(places, kind), origin=origin, chosen=True)

    def or_else(flag: _Number | None, setting: _Number) -> _Number:
        return setting if flag is None else flag

    return MeasurePlan(
        llm_urls=named("llm"),
        llm_model=args.llm_model or places.llm_model,
        stt_urls=named("stt"),
        stt_model=args.stt_model or places.stt_model,
        strict_llm_model=args.llm_model is not None,
        strict_stt_model=args.stt_model is not None,
        mode=Mode(args.mode),
        requests=or_else(args.requests, load.requests),
        concurrency=or_else(args.concurrency, load.concurrency),
        warmup=or_else(args.warmup, load.warmup),
        timeout_s=or_else(args.timeout, load.timeout_s),
        api_key_env=places.api_key_env,
        planned_utilization=settings.model.gpu_memory_utilization,
        machine=os.uname().nodename,
    )


def _first_line() -> bytes:
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
            sys.stderr.write(f"{event.kind.upper()}: {event.message}\n")
        elif isinstance(event, RequestDone) and event.error:
            sys.stderr.write(f"{event.kind.upper()} request {event.index}: {event.message}\n")

    return as_lines if args.jsonl else for_people


def _show(args: argparse.Namespace, result: _Result, text: Callable[[_Result], str]) -> None:
    from gpu_tui.bench.events import encode_result

    if args.json:
        _write(encode_result(result) + b"\n")
    elif not args.jsonl:
        _write(text(result).encode())


def _write(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Nobody reads any more, a parent that died or `head`: to go on would be load for nothing. What Python still
        # holds for stdout goes to nowhere, else the interpreter complains on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise KeyboardInterrupt from None


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
    return "\n".join(lines).strip("\n") + "\n"


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
    return "\n".join([*lines, "Nothing was measured.", ""])


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
