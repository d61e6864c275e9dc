"""The one place that prints: results to stdout, all else to stderr."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any, Literal, NoReturn, TextIO

from gpu_tui.cli import exit_codes
from gpu_tui.errors import GpuTuiError
from gpu_tui.view.text import clean

_ASCII = {
    ord("✓"): "ok",
    ord("✗"): "FAIL",
    ord("–"): "-",
    ord("−"): "-",
    ord("…"): "...",
    ord("×"): "x",
    ord("Σ"): "sum",
    ord("·"): "|",
}
"""Our own signs, for terminals that cannot show them."""


def prepare() -> None:
    """Let no character of a foreign name end the program, nor a stream that was closed before it began."""
    sys.stdin = sys.stdin or _nowhere("r")
    sys.stdout = sys.stdout or _nowhere("w")
    sys.stderr = sys.stderr or _nowhere("w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _nowhere(mode: Literal["r", "w"]) -> TextIO:
    stream: TextIO = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115, PTH123 - as long as the process lives
    return stream


def can_show_signs(stream: TextIO | None = None) -> bool:
    """Whether ✓ ✗ and the like reach this stream (stdout) as they are."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "ascii"
    try:
        "✓✗–−…×Σ·".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def draw_in_utf8() -> None:
    """The explorer is drawn in UTF-8 whatever the locale says: in ASCII there would be escapes where lines belong."""
    streams = [stream for stream in (sys.__stdout__, sys.__stderr__) if isinstance(stream, io.TextIOWrapper)]
    mute = [stream for stream in streams if not can_show_signs(stream)]
    if mute:
        note(f"The locale's encoding is {mute[0].encoding}; the explorer is drawn in UTF-8. Set LANG to C.UTF-8.")
    for stream in mute:
        stream.reconfigure(encoding="utf-8")


def write(text: str) -> None:
    """One or more lines of result, to stdout."""
    print(text if can_show_signs() else text.translate(_ASCII))


def write_json(value: Any, *, line: bool = False) -> None:
    """A result as JSON: indented for people, or as one line of a stream, which is then flushed."""
    import json

    print(json.dumps(value, indent=None if line else 2, allow_nan=False), flush=line)


def flush() -> None:
    """Let whoever reads a stream of results see what was written so far."""
    sys.stdout.flush()


def note(text: str) -> None:
    """Something to know that is not the result, to stderr. It may name what others named: files, models, keys."""
    text = "\n".join(map(clean, text.split("\n")))
    print(f"gpu-tui: {text if can_show_signs(sys.stderr) else text.translate(_ASCII)}", file=sys.stderr)


def error(failure: GpuTuiError) -> None:
    """What happened and what to do, to stderr."""
    note(failure.message)
    if failure.remedy:
        note(failure.remedy)


def leave(code: int) -> NoReturn:
    """Flush and end the process at once.

    Not `sys.exit`: a driver call that hangs in its thread may hang the interpreter's own way out as well.
    """
    try:
        sys.stdout.flush()
    except OSError as failure:
        # For a verdict that was not delivered, 0 would be a lie. A reader that has gone away is no news.
        if not isinstance(failure, BrokenPipeError):
            note(f"The output could not be written: {failure.strerror}.")
        code = code or (exit_codes.BROKEN_PIPE if isinstance(failure, BrokenPipeError) else exit_codes.OUTPUT)
    with contextlib.suppress(OSError):  # there is nowhere left to say it
        sys.stderr.flush()
    os._exit(code)
