"""``gpu-tui check``: would vLLM start with this utilization beside these tenants? Fit for ``ExecStartPre=``."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from gpu_tui import wire, wire_start, wiring
from gpu_tui.cli import cases, exit_codes, learning, output, quiet, reading, supposing
from gpu_tui.cli.check_text import text
from gpu_tui.cli.main import share
from gpu_tui.config import Settings
from gpu_tui.core.against import View
from gpu_tui.core.books import Books
from gpu_tui.core.choice import ALL, blocking_fault
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.plan import Plan
from gpu_tui.core.planning import Judgement
from gpu_tui.core.snapshot import Fault, Gpu
from gpu_tui.core.start_inputs import StartInputs, merged
from gpu_tui.errors import SourceUnavailable, UsageError
from gpu_tui.view.text import clean
from gpu_tui.wiring.asking import Question, asked_inputs, asked_server
from gpu_tui.wiring.planning import asked_utilization, means_running, plan_of

if TYPE_CHECKING:
    from gpu_tui.core.what_to_type_values import RunningServer

_EPILOG = """\
The three checks:
  model and KV cache    the allocation (total x U) holds the model and the smallest KV cache
  persistent services   model and KV cache fit beside the services that stay
  total memory          the whole allocation fits beside them

With a model, vLLM's start is predicted from its files: whether it starts, the KV cache with its band, remedies.
  gpu-tui check --util 0.50 --model Qwen/Qwen2.5-7B-Instruct-AWQ --max-model-len 8192
  gpu-tui check --serve "vllm serve /models/qwen --gpu-memory-utilization 0.50 --enforce-eager"

What earlier starts of the model measured is told where gpu-tui has kept them, and corrects the figures with --learned.

Before a start, --wait-quiet 10 reads until no tenant grows or frees any more; vLLM books such memory to itself.

exit codes: 0 valid, 1 not valid, 2 wrong usage or configuration, 3 unknown
"""

_FLAG = Origin(kind=OriginKind.ASSUMED, source="flag --util")


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "--util",
        metavar="U",
        type=share,
        help="--gpu-memory-utilization, above 0 and at most 1; a scenario may give its own",
    )
    parser.add_argument("--model-mib", metavar="N", type=float, help="model without KV cache, MiB")
    parser.add_argument("--min-kv-mib", metavar="N", type=float, help="smallest KV cache to run with, MiB")
    model = parser.add_argument_group("the model to be started, read from its files without a network")
    model.add_argument("--model", metavar="NAME|DIR|FILE", help="in the local Hugging Face cache, a folder, or a GGUF")
    model.add_argument("--max-model-len", metavar="N", help="as vLLM takes it; without --model: of the running model")
    model.add_argument(
        "--vllm-version", metavar="V", help="the release that starts it; the newest known where not given"
    )
    model.add_argument("--serve", metavar="COMMAND", help="a whole command line in quotes, whose flags count")
    model.add_argument(
        "--learned", action="store_true", help="correct the figures by what past starts here measured (history)"
    )
    supposing.configure(parser)
    quiet.configure(parser)
    parser.add_argument("--json", action="store_true", help="for a script (schema 1)")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Judge once, as soon as the memory is steady where that is asked for; see `_run`."""
    quiet.refuse(args)
    return quiet.on_unknown(args, lambda: _run(args, settings))


def _run(args: argparse.Namespace, settings: Settings) -> int:
    """Judge once.

    Raises:
        SourceUnavailable: the machine cannot be read, or its one GPU cannot be judged.
        UsageError: it is open which GPU or which vLLM instance is meant, or the model that is asked about is not found.
    """
    question = Question(model=args.model, serve=args.serve, max_model_len=args.max_model_len, version=args.vllm_version)
    if not question.empty and args.model_mib is not None:
        raise UsageError("--model-mib sets the model's size by hand.", "Leave it out, or the flags that name a model.")
    if args.learned and args.model_mib is not None:
        raise UsageError("--model-mib sets the model's size by hand.", "Leave it out, or --learned.")
    if args.learned and not args.options.live:
        raise UsageError(
            "--learned is about past starts on this machine.", "Leave it out for a simulated one and for a recording."
        )
    if args.options.scenario == "-":
        return _cases(args, settings, question)
    known = asked_inputs(question)
    told = known is not None and known.gpu_memory_utilization is not None
    if args.util is None and not told and not args.options.simulated:
        raise UsageError("--util is missing.", "Say which utilization: gpu-tui check --util 0.50.")
    seen = reading.look(args.options, settings, wait=quiet.Waiting.of(args, settings))
    for_all = seen.settings.gpu == ALL
    faults = [blocking_fault(gpu) for gpu in seen.gpus]
    if faults[0] is not None and not for_all:
        raise SourceUnavailable(faults[0].message, faults[0].remedy, kind=faults[0].kind.value)
    util, asked = asked_utilization(args.util, settings, seen.snapshot, known) or (0.0, _FLAG)
    supposed = supposing.supposing(args, seen)
    judged = _judged(seen, settings, util, known, supposed, learn=args.learned)
    if args.json:
        objects = [_object(seen, one, fault, asked) for one, fault in zip(judged, faults, strict=True)]
        output.write_json(wire.all_gpus_object(objects) if for_all else objects[0])
    else:
        told_all = [
            supposing.beside(
                text(seen, plan, one, fault, partial(_server, seen, question, plan.books)),
                "" if fault is not None else supposing.text(view, one.report, recorded=supposed.recorded),
            )
            + ("" if lesson is None or fault is not None else f"\n\n{learning.words(lesson)}")
            for (plan, one, lesson, view), fault in zip(judged, faults, strict=True)
        ]
        output.write("\n\n".join(told_all))
    verdicts = [None if fault else one.report.valid for (_, one, _, _), fault in zip(judged, faults, strict=True)]
    if False in verdicts:
        return exit_codes.INVALID
    return exit_codes.UNAVAILABLE if None in verdicts or not verdicts else exit_codes.OK


_Judged = tuple[Plan, Judgement, learning.Lesson | None, View]


def _judged(
    seen: reading.Look,
    settings: Settings,
    util: float,
    known: StartInputs | None,
    supposed: supposing.Supposing,
    *,
    learn: bool,
) -> list[_Judged]:
    """Every GPU's plan, what it comes to, and what past starts teach of it."""
    books = wiring.choose_restarts(seen.snapshot, seen.gpus, seen.settings, seen.rules)
    judged: list[_Judged] = []
    for gpu, book in zip(seen.gpus, books, strict=True):
        inputs = _completed(known, seen, book, gpu)
        view = supposed.view(gpu, book)
        plan = plan_of(util, settings, seen.snapshot, gpu, view.books, inputs, asked=known is not None)
        lesson = None
        if seen.snapshot.here:
            plan, lesson = learning.lesson(plan, settings, partial(_server, seen, Question(), book), apply=learn)
        judged.append((plan, plan.judge(), lesson, view))
    if known is not None and any(one.start is None for _, one, _, _ in judged):
        raise UsageError(
            "No model whose size is known is meant here, so no start can be predicted.",
            "Name one: --model NAME, a folder with its files, or a GGUF file.",
        )
    return judged


def _object(seen: reading.Look, judged: _Judged, fault: Fault | None, asked: Origin) -> dict[str, Any]:
    plan, one, lesson, view = judged
    return {
        **wire.check_object(
            one.report, seen.snapshot, plan.gpu, utilization_origin=asked, age_s=seen.age_s, fault=fault
        ),
        **wire_start.start_object(plan, one, seen.snapshot.case_id, judged=fault is None),
        "learned": learning.learned_object(lesson if fault is None else None),
        **supposing.object_of(view, one.report),
    }


def _cases(args: argparse.Namespace, settings: Settings, question: Question) -> int:
    if not question.empty:
        raise UsageError("--scenario - reads each case's own model.", "Leave out the flags that name one.")
    if sys.stdin.isatty():
        output.note("Reading cases from the terminal, one JSON object a line; Ctrl-D ends.")
    output.note("SIMULATED: these verdicts are about the cases, not about this machine.")
    return cases.answer(cases.lines(), settings, args.util)


def _completed(known: StartInputs | None, seen: reading.Look, books: Books, gpu: Gpu) -> StartInputs | None:
    """What is asked about; without a model that is the one that runs, its start kept where flags are asked about."""
    if known is not None and known.facts is not None:
        return known
    if not seen.snapshot.here or (known is None and not means_running(seen.settings, seen.snapshot, books)):
        return known
    from gpu_tui.wiring.evidence import Seeker

    running = Seeker(seen.clock).running(seen.snapshot, books)
    if known is None:
        return running.inputs
    from gpu_tui.wiring.deployments import remember

    for words in running.missing:
        output.note(clean(words, 400))
    notice = remember(running, seen.snapshot, books, seen.settings, gpu=gpu, clock=seen.clock)
    if notice is not None:
        output.note(f"{notice.message} {notice.remedy}".rstrip())
    return known if running.inputs is None else merged(known, running.inputs)


def _server(seen: reading.Look, question: Question, books: Books) -> RunningServer | None:
    from gpu_tui.wiring.serving import running_server

    return asked_server(question, running_server(seen.snapshot, books))
