"""Lines of a service's log freed of what wraps them: colours, progress bars, JSON, and prefixes that name a process.

Text of a log is untrusted: nothing here raises, and no expression here needs more than linear time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

LONGEST = 64 * 1024
"""Characters of one line that are looked at."""

_COLOURS = re.compile(r"(?:\x1b|#033|\\x1b|\\u001b|\^\[)\[[0-9;?]{0,20}[A-Za-z]|\x1b\][^\x07\x1b]{0,200}\x07?")
"""ANSI colours: as bytes, and as syslog, repr and JSON write the escape."""
_PROCESS = re.compile(r"\(([A-Za-z][\w.:-]{0,60})((?: rank=\d{1,6})?) pid=(\d{1,10})(?:, ip=[\w.:]{1,60})?\)")
"""``(EngineCore_DP0 pid=17374)``, ``(VllmWorker rank=1 pid=295)``, ``(RayWorkerWrapper pid=12, ip=10.0.0.2)``."""
_STAMPS = (
    re.compile(r"\s{0,4}\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)"),
    re.compile(r"([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})?) "),
)
_OWN_STAMP = re.compile(r"\b(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) (\d\d-\d\d \d\d:\d\d:\d\d)\b")
_JSON_TEXT = ("log", "message", "MESSAGE", "msg")
_JSON_TIME = ("time", "timestamp", "ts", "asctime")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogText:
    """One line as it was meant to be read."""

    text: str
    stamp: str | None
    """What the log's keeper stamped it with, else vLLM's own; as printed."""

    def process_before(self, position: int) -> tuple[str, int | None]:
        """Label and pid of the last process prefix before this place; ``("", None)`` without one."""
        found: re.Match[str] | None = None
        for found in _PROCESS.finditer(self.text, 0, position):  # noqa: B007 - the last one counts
            pass
        return ("", None) if found is None else (found[1] + found[2], int(found[3]))


def unwrapped(raw: str) -> LogText:
    """The line without colours, carriage returns and JSON around it, and its time stamp."""
    text, stamp = raw, None
    if text.lstrip()[:1] == "{":
        text, stamp = _from_json(text)
    text = _COLOURS.sub("", text[:LONGEST]).replace("\r", " ").rstrip("\n")
    return LogText(text=text, stamp=stamp or _stamp(text))


def lines_of(text: str) -> Iterator[str]:
    """Lines at newlines only: a progress bar's carriage returns stay within its line."""
    return iter(text.split("\n"))


def printable(text: str) -> str:
    """The text with everything that is not printable made a space, so that it can be shown."""
    return "".join(char if char.isprintable() else " " for char in text)


def number(text: str) -> Decimal | None:
    """A plain number, thousands separated by commas or not; None for anything else."""
    try:
        value = Decimal(text.replace(",", ""))
    except InvalidOperation:
        return None
    return value if value.is_finite() and abs(value) < 10**18 else None


def _from_json(raw: str) -> tuple[str, str | None]:
    try:
        entry = json.loads(raw)
    except (ValueError, RecursionError):
        return raw, None
    if not isinstance(entry, dict):
        return raw, None
    text = next((entry[key] for key in _JSON_TEXT if isinstance(entry.get(key), str)), raw)
    stamp = next((entry[key] for key in _JSON_TIME if isinstance(entry.get(key), str)), None)
    return text, None if stamp is None else printable(stamp[:40])


def _stamp(text: str) -> str | None:
    for pattern in _STAMPS:
        if found := pattern.match(text):
            return found[1]
    own = _OWN_STAMP.search(text[:400])
    return own[1] if own else None
