"""``gpu-tui check``: would vLLM start with this utilization beside these tenants? Fit for ``ExecStartPre=``."""

from __future__ import annotations

import argparse
import sys

from gpu_tui import wire, wire_start, wiring
from gpu_tui.cli import cases, exit_codes, output, reading
from gpu_tui.cli.commands import services
from gpu_tui.cli.main import share
from gpu_tui.config import Settings
from gpu_tui.core.checks import CheckName, CheckReport
from gpu_tui.core.choice import ALL, blocking_fault
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.reasons import reason
from gpu_tui.core.snapshot import Fault, Gpu
from gpu_tui.errors import SourceUnavailable, UsageError
from gpu_tui.wiring.planning import asked_utilization, judgement

_EPILOG = """\
The three checks:
  model and KV cache    the allocation (total x U) holds the model and the smallest KV cache
  persistent services   model and KV cache fit beside the services that stay
  total memory          the whole allocation fits beside them

exit codes: 0 valid, 1 not valid, 2 wrong usage or configuration, 3 unknown
"""

_FLAG = Origin(kind=OriginKind.ASSUMED, source="flag --util")

_NAMES = {
    CheckName.MODEL: "model and KV cache",
    CheckName.PERSISTENT: "persistent services",
    CheckName.TOTAL: "total memory",
}


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
    parser.add_argument("--json", action="store_true", help="for a script (schema 1)")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Judge once.

    Raises:
        SourceUnavailable: the machine cannot be read, or its one GPU cannot be judged.
        UsageError: it is open which GPU or which vLLM instance is meant.
    """
    if args.options.scenario == "-":
        if sys.stdin.isatty():
            output.note("Reading cases from the terminal, one JSON object a line; Ctrl-D ends.")
        output.note("SIMULATED: these verdicts are about the cases, not about this machine.")
        return cases.answer(cases.lines(), settings, args.util)
    if args.util is None and not args.options.simulated:
        raise UsageError("--util is missing.", "Say which utilization: gpu-tui check --util 0.50.")
    seen = reading.look(args.options, settings)
    for_all = seen.settings.gpu == ALL
    faults = [blocking_fault(gpu) for gpu in seen.gpus]
    if faults[0] is not None and not for_all:
        raise SourceUnavailable(faults[0].message, faults[0].remedy, kind=faults[0].kind.value)
    books = wiring.choose_restarts(seen.snapshot, seen.gpus, seen.settings, seen.rules)
    util, asked = asked_utilization(args.util, settings, seen.snapshot) or (0.0, _FLAG)
    judged = [judgement(util, settings, seen.snapshot, *pair) for pair in zip(seen.gpus, books, strict=True)]
    reports = [one.report for one in judged]
    if args.json:
        case = seen.snapshot.case_id
        objects = [
            {
                **wire.check_object(
                    one.report, seen.snapshot, gpu, utilization_origin=asked, age_s=seen.age_s, fault=fault
                ),
                **wire_start.start_object(one, case, judged=fault is None),
            }
            for one, gpu, fault in zip(judged, seen.gpus, faults, strict=True)
        ]
        output.write_json(wire.all_gpus_object(objects) if for_all else objects[0])
    else:
        told = [text(seen, gpu, report, fault) for gpu, report, fault in zip(seen.gpus, reports, faults, strict=True)]
        output.write("\n\n".join(told))
    verdicts = [None if fault else report.valid for report, fault in zip(reports, faults, strict=True)]
    if False in verdicts:
        return exit_codes.INVALID
    return exit_codes.UNAVAILABLE if None in verdicts or not verdicts else exit_codes.OK


def text(seen: reading.Look, gpu: Gpu, report: CheckReport, fault: Fault | None = None) -> str:
    """The verdict for people; the reason stands on the first line, to the letter."""
    head = reading.headline(seen.snapshot, gpu)
    if fault is not None:
        return f"Unknown: {fault.message}\n\n{head}\n  {fault.remedy}"
    lines = [reason(report), "", head, *_checks(report), "", "Services", *services.table(report.books)]
    for gap in gpu.faults:
        lines += ["", gap.message, gap.remedy]
    return "\n".join([*lines, "", "Assumed", *_assumed(report)])


def _checks(report: CheckReport) -> list[str]:
    mib = reading.mib
    lines = [
        f"gpu_memory_utilization {report.gpu_memory_utilization:g}: allocation {mib(report.allocation_bytes)} MiB"
        f" = model {mib(report.need.model_bytes)} + KV cache {mib(report.kv_cache_bytes)}",
        "",
    ]
    for check in report.checks:
        sign = {True: "✓", False: "✗", None: "?"}[check.passed]
        margin = check.margin_bytes
        word = "deficit" if margin is not None and margin < 0 else "margin "
        lines.append(
            f"  {sign} {_NAMES[check.name]:<20} need {mib(check.need_bytes):>7}  have {mib(check.have_bytes):>7}  "
            f"{word} {mib(None if margin is None else abs(margin)):>7} MiB"
        )
    feasible = report.feasible
    lines.append("")
    if feasible is not None:
        lines.append(f"Feasible: {feasible.min:.4f}–{feasible.max:.4f}")
    else:
        lines.append("Feasible: unknown" if report.valid is None else "Feasible: none")
    if report.tight:
        lines.append(
            f"Tight: only {mib(report.checks[2].margin_bytes)} MiB are left for the new engine's own CUDA context "
            "(0.2 to 0.6 GiB), which is not counted; set model.startup_overhead_mib to count it."
        )
    return lines


def _assumed(report: CheckReport) -> list[str]:
    need, mib = report.need, reading.mib
    told = [
        ("model", need.model_bytes, need.model_origin),
        ("minimum KV cache", need.min_kv_cache_bytes, need.min_kv_cache_origin),
        ("startup overhead", need.startup_overhead_bytes, need.startup_overhead_origin),
    ]
    return [
        f"  {name:<17} {mib(size):>7} MiB  {origin.source}"
        for name, size, origin in told
        if origin.kind is OriginKind.ASSUMED
    ]
