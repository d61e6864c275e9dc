"""Options as a log prints them: a dict, an argparse namespace, or a plain list of ``name=value``.

They are never evaluated, only cut at the commas that stand outside quotes and brackets. Secrets are masked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MASK = "***"
_NAME = re.compile(r"[A-Za-z_][\w-]{0,80}\Z")
_KINDS = r"(?:api_?keys?|(?:hf_?|auth_?|access_?|bearer_?|_)token|passw(?:or)?d|secret|credentials?)"
_SECRET_NAME = re.compile(rf"(?:{_KINDS}|^token)\Z", re.IGNORECASE)
_SECRET_INSIDE = re.compile(
    rf"({_KINDS}['\"]?\s?[:=]\s?)('[^']{{0,4000}}'|\"[^\"]{{0,4000}}\"|[^\s,'\"}}\])]{{1,400}})", re.IGNORECASE
)
_OPEN, _CLOSE = "([{<", ")]}>"


def options(text: str, separator: str, *, enclosed: bool = True) -> tuple[tuple[str, str], ...]:
    """Names and values as text. `separator` is ``:`` for a dict's inside, ``=`` for a namespace's or a plain list's.

    Reading ends at the bracket that closes what the text stands in; where it is missing though the text is `enclosed`,
    the last option was cut off and is left out. A value's own quotes are dropped.
    """
    found = []
    for item in _items(text, enclosed):
        name, cut, value = item.partition(separator)
        name = name.strip().strip("'\"")
        if cut and _NAME.match(name):
            found.append((name, _masked(name, _unquoted(value.strip()))))
    return tuple(found)


def _items(text: str, enclosed: bool) -> Iterator[str]:
    depth, start, quote, escaped = 0, 0, "", False
    for i, char in enumerate(text):
        if escaped:
            escaped = False
        elif quote:
            escaped = char == "\\"
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in _OPEN:
            depth += 1
        elif char in _CLOSE:
            depth -= 1
            if depth < 0:
                yield text[start:i]
                return
        elif char == "," and depth == 0:
            yield text[start:i]
            start = i + 1
    if not (quote or depth or enclosed):
        yield text[start:]


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _masked(name: str, value: str) -> str:
    if _SECRET_NAME.search(name) and value not in ("None", "", "[]"):
        return MASK
    return _SECRET_INSIDE.sub(rf"\1{MASK}", value)
