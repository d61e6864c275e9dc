"""``gpu-tui check --scenario -``: cases as JSON lines in, verdicts as JSON lines out, in the order given."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from gpu_tui import wire, wire_start, wiring
from gpu_tui.cli import exit_codes, output
from gpu_tui.config import Settings
from gpu_tui.core.choice import blocking_fault
from gpu_tui.errors import ConfigError, GpuTuiError
from gpu_tui.view.text import clean
from gpu_tui.wiring.planning import asked_utilization, case_of, plan_of

MOST_LINE_BYTES = 4 * 1024 * 1024
"""A case with a whole config.json is a few KiB."""


def lines() -> Iterator[bytes]:
    """Standard input, line by line; a line beyond the limit comes back cut, one byte longer than it."""
    while line := sys.stdin.buffer.readline(MOST_LINE_BYTES + 1):
        yield line
        # The rest of an endless line belongs to it.
        while len(line) > MOST_LINE_BYTES and not line.endswith(b"\n"):
            line = sys.stdin.buffer.readline(MOST_LINE_BYTES + 1)


def answer(cases: Iterable[bytes], settings: Settings, util: float | None) -> int:
    """One line of output for every line that is not blank.

    Returns:
        0 when every line was answered, 2 when one was bad: it is answered by an error object, the rest go on.
    """
    code = exit_codes.OK
    for number, line in enumerate(cases, start=1):
        if not line.strip():
            continue
        try:
            result = _judged(line, number, settings, util)
        except GpuTuiError as error:
            code = exit_codes.USAGE
            result = {"error": {"line": number, "message": clean(str(error), 400)}, "id": _case_id(line)}
        output.write_json(result, line=True)
    return code


def _judged(line: bytes, number: int, settings: Settings, util: float | None) -> dict[str, Any]:
    label = f"line {number}"
    if len(line) > MOST_LINE_BYTES:
        raise ConfigError(f"{label}: longer than {MOST_LINE_BYTES // 1024**2} MiB.", "A case is one JSON object.")
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError) as error:
        told = clean(str(error), 120) if isinstance(error, ValueError) else "nested too deeply"
        raise ConfigError(f"{label}: not JSON: {told}.", "Write one JSON object a line.") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{label}: not an object.", "Write one JSON object a line.")
    snapshot = case_of(raw, label)
    rules = wiring.classifier(settings)
    gpus = wiring.choose_gpus(snapshot, settings, rules, needed_one=True)
    books = wiring.choose_restarts(snapshot, gpus, settings, rules)[0]
    asked = asked_utilization(util, settings, snapshot)
    if asked is None:
        raise ConfigError(f"{label}: no gpu_memory_utilization.", "Give vllm.gpu_memory_utilization or --util.")
    plan = plan_of(asked[0], settings, snapshot, gpus[0], books)
    judged = plan.judge()
    fault = blocking_fault(gpus[0])
    return {
        **wire.check_object(judged.report, snapshot, gpus[0], utilization_origin=asked[1], fault=fault),
        **wire_start.start_object(plan, judged, snapshot.case_id, judged=fault is None),
        "learned": None,
    }


def _case_id(line: bytes) -> str | int | None:
    """The id of a case that could not be judged, where it has one."""
    try:
        told = json.loads(line[:MOST_LINE_BYTES])["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return told if isinstance(told, str | int) else None
