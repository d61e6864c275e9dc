"""``gpu-tui doctor``: what works here, what does not, and what to do about it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from gpu_tui import config, wiring
from gpu_tui.cli import exit_codes, output
from gpu_tui.cli.host import Finding, Level, host_findings, terminal_findings
from gpu_tui.clock import SystemClock
from gpu_tui.config import Settings
from gpu_tui.core.choice import blocking_fault
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.errors import ConfigError, GpuTuiError, SourceUnavailable
from gpu_tui.view.text import clean

READS_SETTINGS = False
"""A mistaken configuration is one of its findings."""

SCHEMA = 1

_EPILOG = """\
exit codes: 0 the GPU can be read, 2 the configuration is mistaken, 3 the GPU cannot be read
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.epilog = _EPILOG
    parser.add_argument("--json", action="store_true", help="for a script (schema 1)")


def run(args: argparse.Namespace, settings: Settings | None) -> int:
    """Look at everything, whatever of it fails."""
    findings, code = examine(args.options)
    if args.json:
        checks = [asdict(finding) for finding in findings]
        output.write_json({"schema": SCHEMA, "ok": code == exit_codes.OK, "checks": checks})
    else:
        for finding in findings:
            output.write(f"{_SIGNS[finding.level]} {finding.name:<14} {clean(finding.message)}")
            if finding.remedy:
                output.write(f"  {'':<14} -> {clean(finding.remedy)}")
    return code


_SIGNS = {Level.OK: "✓", Level.WARN: "!", Level.FAIL: "✗"}


def examine(options: wiring.Options) -> tuple[list[Finding], int]:
    """Every finding, and the exit code that sums them up."""
    path = options.config or config.default_path()
    findings: list[Finding] = []
    code = exit_codes.OK
    try:
        settings = wiring.load_settings(options)
        there = "in order" if path.exists() else "not there, the defaults apply"
        findings.append(Finding("configuration", Level.OK, f"{clean(str(path))}: {there}"))
    except ConfigError as error:
        settings, code = Settings(), exit_codes.USAGE
        findings.append(Finding("configuration", Level.FAIL, error.message, error.remedy))
    try:
        clock = SystemClock()
        snapshot = wiring.read_once(wiring.open_source(options, settings, clock), clock)
    except SourceUnavailable as error:
        findings.append(Finding("driver", Level.FAIL, error.message, error.remedy))
        code = code or exit_codes.UNAVAILABLE
    except ConfigError as error:
        findings.append(Finding("scenario", Level.FAIL, error.message, error.remedy))
        code = exit_codes.USAGE
    else:
        findings += _machine(snapshot)
        findings += _endpoints(options, settings, snapshot)
        if not any(gpu.total_bytes is not None for gpu in snapshot.gpus):
            code = code or exit_codes.UNAVAILABLE
    return [*findings, *host_findings(), *terminal_findings()], code


def _machine(snapshot: Snapshot) -> Iterator[Finding]:
    where = f"SIMULATED: scenario {snapshot.source_detail}" if snapshot.simulated else snapshot.source_detail
    driver = f", driver {snapshot.driver_version}" if snapshot.driver_version else ""
    count = len(snapshot.gpus)
    message = f"{clean(where)}{driver}, {count} GPU{'' if count == 1 else 's'}"
    yield Finding("driver", Level.WARN if snapshot.simulated else Level.OK, message)
    for gpu in snapshot.gpus:
        yield from _device(gpu)
    yield _command_lines(snapshot)


def _device(gpu: Gpu) -> Iterator[Finding]:
    name = f"GPU {gpu.label}"
    told = {id(fault) for fault in gpu.faults}
    blocking = blocking_fault(gpu)
    if blocking is not None and id(blocking) not in told:
        yield Finding(name, Level.FAIL, blocking.message, blocking.remedy)
    for fault in gpu.faults:
        yield Finding(name, Level.FAIL if fault is blocking else Level.WARN, fault.message, fault.remedy)
    if gpu.total_bytes is None:
        return
    known = [process.used_bytes is not None for process in gpu.processes or ()]
    shares = "not listed" if gpu.processes is None else f"known for {sum(known)} of {len(known)} processes"
    memory = "memory v2 (reserved is known)" if gpu.reserved_bytes is not None else "memory v1 (reserved is in used)"
    fine = gpu.processes is not None and all(known) and gpu.reserved_bytes is not None
    message = f"{clean(gpu.name, 64)}: {memory}, per-process memory {shares}"
    yield Finding(name, Level.OK if fine else Level.WARN, message, "" if fine else _REMEDY_MEMORY)


_REMEDY_MEMORY = "Where a figure is unknown the verdict says so; a newer driver, or running on the host, tells more."


def _command_lines(snapshot: Snapshot) -> Finding:
    on_gpu = {process.pid for gpu in snapshot.gpus for process in gpu.processes or ()}
    infos = [snapshot.processes[pid] for pid in on_gpu if pid in snapshot.processes]
    hidden = [info for info in infos if info.cmdline is None]
    if not hidden:
        return Finding("command lines", Level.OK, f"readable for all {len(on_gpu)} processes on the GPU")
    why = ", ".join(sorted({info.problem or "unknown" for info in hidden}))
    message = f"not readable for {len(hidden)} of {len(on_gpu)} processes ({clean(why, 80)})"
    return Finding(
        "command lines", Level.WARN, message, "Run as the same user or as root, or mount /proc without hidepid."
    )


def _endpoints(options: wiring.Options, settings: Settings, snapshot: Snapshot) -> Iterator[Finding]:
    if snapshot.simulated:
        yield Finding("endpoints", Level.OK, "the demo starts its own, simulated, when a measurement runs")
        return
    if not snapshot.here:
        yield Finding("endpoints", Level.OK, "a recording has none to measure")
        return
    from gpu_tui.cli.host import answers

    try:
        rules = wiring.classifier(settings)
        gpus = wiring.choose_gpus(snapshot, settings, rules, needed_one=True)
        books = wiring.choose_restarts(snapshot, gpus, settings, rules)[0]
        plan = wiring.measure_plan(settings, options, snapshot, books, None)
    except GpuTuiError as error:
        yield Finding("endpoints", Level.WARN, error.message, error.remedy)
        return
    if plan.stt_local is not None:
        yield _whisper(Path(plan.stt_local), plan.stt_local_origin)
    for kind, found in (("LLM", plan.llm_urls), ("STT", plan.stt_urls)):
        if kind == "STT" and plan.stt_local is not None:
            continue
        listening = [one for one in found if answers(one.url)]
        if listening:
            told = ", ".join(f"{clean(one.url, 80)} from {clean(one.origin, 80)}" for one in listening[:3])
            yield Finding(f"{kind} endpoint", Level.OK, f"listening: {told}")
        else:
            remedy = f"Start the service, or name it: gpu-tui measure --{kind.lower()} URL, or [endpoints] in the file."
            yield Finding(f"{kind} endpoint", Level.WARN, "none is listening", remedy)


def _whisper(folder: Path, origin: str) -> Finding:
    """Whether a local model could be measured; it is not loaded."""
    from gpu_tui.bench.whisper_folder import installed, look

    try:
        size = look(folder).size
        installed()
    except GpuTuiError as error:
        return Finding("STT local model", Level.WARN, error.message, error.remedy)
    told = f"{clean(str(folder), 120)}{f' (whisper {size})' if size else ''} from {clean(origin, 80)}"
    return Finding("STT local model", Level.OK, told)
