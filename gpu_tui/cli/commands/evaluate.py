"""``gpu-tui evaluate``: candidates as JSON lines in, results as JSON lines out, in the order given."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from gpu_tui.cli import exit_codes, output
from gpu_tui.config import Settings
from gpu_tui.evaluator import CandidateError, Result, ResultStatus
from gpu_tui.view.text import clean

_EPILOG = """\
A candidate is one JSON object: {"vllm_memory_util": 0.50, "whisper_model_size": "tiny"}

examples:
  gpu-tui evaluate '{"vllm_memory_util": 0.50}'
  gpu-tui evaluate - < candidates.jsonl > results.jsonl

exit codes: 0 every line was answered, 2 a line was bad (it is answered with an error, the rest go on),
            3 a candidate could not be measured or the machine not be read
"""

_MOST_LINE_BYTES = 1024 * 1024


class Evaluates(Protocol):
    """What this command needs of an evaluator."""

    def evaluate(self, candidate: Mapping[str, Any]) -> Result:
        """One result for one candidate."""
        ...


def configure(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "candidate", metavar="CANDIDATE", nargs="?", default="-", help="a JSON object; - or nothing reads stdin"
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Answer every line.

    Raises:
        UsageError: it is open which GPU or which vLLM instance is meant.
    """
    from gpu_tui.wiring import Evaluator

    evaluator = Evaluator(args.options, on_journal_error=output.error)
    if args.options.simulated:
        output.note("SIMULATED: these results are not about this machine.")
    if args.options.replay is not None:
        output.note("REPLAY: these results are about a recording, not about the machine now.")
    if args.candidate != "-":
        return answer(evaluator, [args.candidate.encode("utf-8", "surrogateescape")])
    if sys.stdin.isatty():
        output.note("Reading candidates from the terminal, one JSON object a line; Ctrl-D ends.")
    return answer(evaluator, _lines())


def _lines() -> Iterator[bytes]:
    while line := sys.stdin.buffer.readline(_MOST_LINE_BYTES + 1):
        yield line
        # The rest of an endless line belongs to it.
        while len(line) > _MOST_LINE_BYTES and not line.endswith(b"\n"):
            line = sys.stdin.buffer.readline(_MOST_LINE_BYTES + 1)


def answer(evaluator: Evaluates, lines: Iterable[bytes]) -> int:
    """One line of output for every line that is not blank; returns the exit code."""
    code = exit_codes.OK
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            result = evaluator.evaluate(_parse(line))
        except CandidateError as error:
            code = exit_codes.USAGE
            output.write_json({"error": {"line": number, "message": str(error)}}, line=True)
            continue
        output.write_json(dict(result), line=True)
        if result.status == ResultStatus.UNMEASURED and code == exit_codes.OK:
            code = exit_codes.UNAVAILABLE
    return code


def _parse(line: bytes) -> Any:
    if len(line) > _MOST_LINE_BYTES:
        raise CandidateError("The line is longer than 1 MiB.", "A candidate is one small JSON object.")
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        told = clean(str(error), 120) if isinstance(error, ValueError) else "nested too deeply"
        raise CandidateError(f"The line is not JSON: {told}.", "Write one JSON object a line.") from None
