"""Text that others wrote (process names, command lines, device names), made fit for a terminal.

Whatever a process calls itself, what reaches the screen is visible text of bounded length, and the secrets that people
put on command lines do not reach it at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from unicodedata import category

MASK = "***"
"""Stands where a secret stood."""

_COMBINING = ("Mn", "Me")
_MOST_COMBINING = 2


def clean(text: str, limit: int | None = None) -> str:
    r"""The same text with everything invisible made visible.

    C0 controls become control pictures (``␛``), a byte that was not UTF-8 becomes ``\xff``, and whatever else a
    terminal would obey or hide (C1 controls, bidirectional overrides, zero-width and unassigned characters, piled-up
    accents) its escape. Cleaning twice changes nothing more.

    Args:
        text: from outside, as read.
        limit: most characters of the result, at least 1; a longer one ends in ``…``. None: no limit.
    """
    if limit is not None and len(text) > 4 * limit:
        text = text[: 4 * limit]  # a name of many KiB is not worth reading to its end
    if not (text.isascii() and text.isprintable()):
        text = _visible(text)
    if limit is not None and len(text) > limit:
        return text[: max(0, limit - 1)] + "…"
    return text


def visible(value: Any) -> Any:
    """A JSON value with every text in it `clean`, names of members too: another hand may have written it to a file."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): visible(one) for key, one in value.items()}
    return [visible(one) for one in value] if isinstance(value, list) else value


def _visible(text: str) -> str:
    shown: list[str] = []
    combining = _MOST_COMBINING  # an accent that comes first has nothing of its own to sit on
    for char in text:
        kind = category(char)
        if kind in _COMBINING:
            combining += 1
            shown.append(char if combining <= _MOST_COMBINING else _escape(char))
            continue
        combining = 0
        if char.isprintable():
            shown.append(char)
        elif kind == "Zs":
            shown.append(" ")
        else:
            shown.append(_escape(char))
    return "".join(shown)


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if 0xDC80 <= code <= 0xDCFF:  # how Python carries a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


_WORDS = (
    r"(?:api[-_]?keys?|access[-_]?keys?|private[-_]?keys?|secret|passw(?:or)?d|passphrase|credentials?"
    r"|authorization|token(?!iz))"
)
_COUNT_NAME = "tokens"
_SECRET_NAME = rf"(?i){_WORDS}|(?:^|[-_.])(?:key|auth|pass|pwd)$"
_COUNT = r"(?i)[0-9.]+[kmg]?|auto|none"
_PLAIN_WORDS = r"(?i)[-_.]?(?:type|mode|format|file|path|name|id|len|length|parser|limit|count)s?$"
_ASSIGNED = rf"""(?ix) (?P<head> {_WORDS} [\w.-]{{0,40}} ["']? (?: \s*[=:]\s* | (?<=\S)\s+ ) )
                       (?P<value> (?:Bearer|Basic)\s+\S+ | "[^"]*" | '[^']*' | [^\s"'&,;}}]+ )"""
_BEARER = r"(?i)\b(bearer|basic)(\s+)[\w.~+/=-]{4,}"
_USERINFO = r"(?i)\b([a-z][a-z0-9+.-]{0,20}://)[^\s/@]+@"
_KNOWN = (
    r"\b(?:sk-[\w-]{4,}|hf_\w{4,}|gh[pousr]_\w{8,}|github_pat_\w{8,}|glpat-[\w-]{8,}|xox[abeoprs]-[\w-]{6,}"
    r"|nvapi-[\w-]{6,}|AKIA[0-9A-Z]{12,}|eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?)"
)
# Compiled at their first use, by re itself: `gpu-tui check` masks nothing and would pay 3 ms for them.


def mask_cmdline(argv: Sequence[str]) -> tuple[str, ...]:
    """A command line without its secrets: same number of arguments, each secret value replaced by `MASK`.

    Masked are the values of options and variables whose names speak of keys, tokens, secrets or passwords
    (``--api-key X``, ``--api-key=X``, ``HF_TOKEN=…``, also inside one long argument such as a shell's ``-c``), user
    information in URLs, and what looks like a well-known token (``sk-…``, ``hf_…``) wherever it stands. Counts such as
    ``--max-num-batched-tokens 8192`` and names such as ``--tokenizer`` stay.
    """
    shown: list[str] = []
    pending = ""
    for arg in argv:
        is_option = arg.startswith("--") or (arg.startswith("-") and not pending)
        if pending and not is_option:
            shown.append(_mask_value(pending, arg))
            # vllm's --api-key takes several values
            pending = pending if "api" in pending.lower() else ""
            continue
        pending = ""
        name, equals, value = arg.partition("=")
        if is_option and not equals and _is_secret_name(name):
            pending = name
            shown.append(arg)
        elif equals and _is_plain_name(name) and _is_secret_name(name):
            shown.append(f"{name}={_mask_value(name, value)}")
        else:
            shown.append(_mask_inside(arg))
    return tuple(shown)


def mask_url(url: str) -> str:
    """An address without what may be a secret in it: scheme and host stay, user, path and query do not."""
    scheme, sign, rest = url.partition("://")
    host, slash, _ = rest.partition("/")
    return f"{scheme}{sign}{host.rpartition('@')[2].partition('?')[0]}{f'/{MASK}' if slash else ''}"


def _is_plain_name(name: str) -> bool:
    return name.lstrip("-").replace("-", "_").replace(".", "_").isidentifier()


def _is_secret_name(name: str) -> bool:
    return re.search(_SECRET_NAME, name) is not None and re.search(_PLAIN_WORDS, name) is None


def _mask_value(name: str, value: str) -> str:
    return value if not value or _is_count(name, value) else MASK


def _is_count(name: str, value: str) -> bool:
    # `--max-tokens 8192` counts; `--token 123456` may well be a secret
    return name.lower().rstrip("_-").endswith(_COUNT_NAME) and re.fullmatch(_COUNT, value) is not None


def _mask_inside(text: str) -> str:
    text = re.sub(_USERINFO, rf"\1{MASK}@", text)
    text = re.sub(_ASSIGNED, _replace_assigned, text)
    text = re.sub(_BEARER, rf"\1\2{MASK}", text)
    return re.sub(_KNOWN, MASK, text)


def _replace_assigned(match: re.Match[str]) -> str:
    head, value = match["head"], match["value"]
    name = head.rstrip().rstrip("=:\"'").rstrip().rstrip("\"'")
    if value.startswith("-") or re.search(_PLAIN_WORDS, name) or _is_count(name, value.strip("\"'")):
        return match[0]
    is_flag = match.string[: match.start()].rpartition(" ")[2].startswith("-")
    if not head.rstrip().endswith(("=", ":")) and not is_flag:
        return match[0]  # "secret agent" is prose; "--secret agent" is not
    quote = value[0] if value[0] in "\"'" else ""
    return f"{head}{quote}{MASK}{quote}"
