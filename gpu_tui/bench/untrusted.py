"""Text from servers and child processes, made safe to show: no control characters, no secrets, bounded."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import urlsplit

SHOWN_LENGTH = 200
"""Characters of a foreign message that are shown: a sentence, not a page."""
_READ_LENGTH = 20_000
_MASK = "•••"
_SECRETS = re.compile(
    r"(?i)(bearer\s+)[\w.~+/=-]{6,}|\b(?:sk|hf|pk|ghp|xox[abp])[-_][\w-]{8,}|"
    r"((?:api[-_]?key|token|password|secret)[\"']?\s*[=:]\s*[\"']?)[^\s\"',}]{4,}"
)


def shown(text: str, limit: int = SHOWN_LENGTH, secrets: Iterable[str] = ()) -> str:
    """One line of at most `limit` characters, safe for a terminal.

    Every character of Unicode's C categories (escape sequences, direction overrides) and every line or paragraph
    separator becomes a space; anything that looks like a credential, and each of `secrets`, is masked.
    """
    text = text[:_READ_LENGTH]
    for secret in secrets:
        if secret:
            text = text.replace(secret, _MASK)
    clean = "".join(" " if unicodedata.category(char) in _UNSHOWN else char for char in text)
    line = " ".join(clean.split())
    line = _SECRETS.sub(lambda match: (match[1] or match[2] or "") + _MASK, line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


_UNSHOWN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def shown_url(url: str) -> str:
    """An address without user, password, query and fragment."""
    parts = urlsplit(url)
    return shown(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")
