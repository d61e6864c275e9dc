"""A command line as words that may hold secrets: changed flag by flag, and written for a shell, systemd or compose."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gpu_tui.core.serve_args import server_start
from gpu_tui.core.what_to_type_values import Flag

MASK = "***"
"""What stands in a masked command line where a secret stood (`gpu_tui.view.text.MASK`)."""

_PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
_SHORTEST_BEGINNING = 8
"""argparse takes the beginning of an option for it; shorter ones are never unique among vLLM's."""
_ALIASES = {"device-memory-utilization": "gpu-memory-utilization"}
_KNOWN_VARIABLES = {"api-key": "VLLM_API_KEY", "hf-token": "HF_TOKEN"}


@dataclass(frozen=True, slots=True)
class Secret:
    """Stands for a secret: the environment variable that is to hold it."""

    variable: str


Word = tuple[str | Secret, ...]
"""One argument, in pieces."""


def words_of(argv: Sequence[str], masked: Sequence[str]) -> tuple[Word, ...]:
    """A command line's words, each secret replaced by a variable. Where the two do not match, the masked one counts."""
    real = argv if len(argv) == len(masked) else masked
    taken: dict[str, int] = {}
    found: list[Word] = []
    option = ""
    for arg, shown in zip(real, masked, strict=True):
        if arg.startswith("-"):
            option = arg.partition("=")[0]
        hidden = arg != shown or real is masked
        found.append(_hidden(shown, option, taken) if hidden and MASK in shown else (arg,))
    return tuple(found)


def _hidden(shown: str, option: str, taken: dict[str, int]) -> Word:
    pieces: list[str | Secret] = []
    for i, piece in enumerate(shown.split(MASK)):
        if i:
            name = option.lstrip("-").replace("_", "-").lower()
            variable = _KNOWN_VARIABLES.get(name) or re.sub(r"\W", "_", name, flags=re.ASCII).upper() or "SECRET"
            variable = f"_{variable}" if variable[0].isdigit() else variable
            taken[variable] = taken.get(variable, 0) + 1
            pieces.append(Secret(variable if taken[variable] == 1 else f"{variable}_{taken[variable]}"))
        if piece:
            pieces.append(piece)
    return tuple(pieces)


def variables(words: Iterable[Word]) -> tuple[str, ...]:
    """The environment variables that must be set."""
    return tuple(piece.variable for word in words for piece in word if isinstance(piece, Secret))


def with_flags(words: Sequence[Word], flags: Iterable[Flag]) -> tuple[Word, ...]:
    """The same command with these flags: in the place of their old values, the others at the end."""
    argv = [word[0] if len(word) == 1 and isinstance(word[0], str) else "" for word in words]
    changed = list(words)
    begin = server_start(argv) or 0
    for flag in flags:
        changed = _with_flag(changed, flag, begin)
    return tuple(changed)


def _with_flag(words: list[Word], flag: Flag, begin: int) -> list[Word]:
    wanted = flag.name.removeprefix("--").removeprefix("no-")
    kept: list[Word] = words[:begin]
    place: int | None = None
    joined = False
    i = begin
    while i < len(words):
        text = words[i][0] if words[i] and isinstance(words[i][0], str) else ""
        name, equals, _ = str(text).partition("=")
        if not _means(name, wanted):
            kept.append(words[i])
            i += 1
            continue
        if place is None:
            place, joined = len(kept), bool(equals)
        i += 1
        if not equals and flag.value is not None and i < len(words) and not str(words[i][0]).startswith("--"):
            i += 1
    place = len(kept) if place is None else place
    return [*kept[:place], *_written(flag, joined), *kept[place:]]


def _written(flag: Flag, joined: bool) -> list[Word]:
    if flag.value is None:
        return [(flag.name,)]
    return [(f"{flag.name}={flag.value}",)] if joined else [(flag.name,), (flag.value,)]


def _means(option: str, wanted: str) -> bool:
    if not option.startswith("--"):
        return False
    name = option[2:].replace("_", "-").removeprefix("no-")
    name = _ALIASES.get(name, name)
    return name == wanted or (len(name) >= _SHORTEST_BEGINNING and wanted.startswith(name))


def shell(words: Iterable[Word]) -> str:
    """For a POSIX shell that knows ``$'…'``; a variable that is not set ends the command."""
    return " ".join("".join(_shell_piece(piece) for piece in word) or "''" for word in words)


def _shell_piece(piece: str | Secret) -> str:
    if isinstance(piece, Secret):
        return f'"${{{piece.variable}:?}}"'
    if _PLAIN.fullmatch(piece):
        return piece
    if piece.isprintable():
        return "'" + piece.replace("'", "'\"'\"'") + "'"
    return "$'" + "".join(_escaped(char) for char in piece) + "'"


def _escaped(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable():
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def systemd(words: Iterable[Word]) -> str:
    """For ``ExecStart=`` (systemd.service(5), "Command lines"): no shell, ``%`` and ``$`` doubled."""
    return " ".join(_systemd_word(word, first=i == 0) for i, word in enumerate(words))


def _systemd_word(word: Word, *, first: bool) -> str:
    pieces = [
        f"${{{piece.variable}}}" if isinstance(piece, Secret) else _systemd_piece(piece, first=first) for piece in word
    ]
    text = "".join(pieces)
    return text if re.fullmatch(r"[\w@%+=:,./${}-]+", text, re.ASCII) else f'"{text}"'


def _systemd_piece(piece: str, *, first: bool) -> str:
    text = piece.replace("%", "%%")
    # No variable is looked for in the program's own path.
    text = text if first else text.replace("$", "$$")
    return "".join(
        f"\\{char}" if char in '\\"' else _escaped(char) if not char.isprintable() else char for char in text
    )


def compose_item(word: Word) -> str:
    """An item of a compose file's ``command:`` list: a YAML string, ``$`` doubled."""
    text = "".join(
        f"${{{piece.variable}:?}}" if isinstance(piece, Secret) else piece.replace("$", "$$") for piece in word
    )
    plain = _YAML_PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS
    return f"- {text if plain else json.dumps(text)}"


_YAML_PLAIN = re.compile(r"(?:--?)?[A-Za-z/][\w@+=,./-]*", re.ASCII)
_YAML_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
