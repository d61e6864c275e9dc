"""Where a changed command goes: a systemd drop-in, a compose file's diff, a shell; each with what takes it back."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpu_tui.core.serve_args import server_start
from gpu_tui.core.what_to_type_values import Flag, Recipe, RecipeKind, RunningServer
from gpu_tui.core.what_to_type_words import Word, compose_item, shell, systemd, variables, with_flags, words_of

_UNIT = re.compile(r"[A-Za-z0-9:_.@-][A-Za-z0-9:_.@\\-]{0,240}\.service", re.ASCII)
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,240}", re.ASCII)
_WRAPPED = "The command is what runs now; if {where} starts a script, put the flags into the script instead."


def recipes(server: RunningServer, flags: Sequence[Flag]) -> tuple[Recipe, ...]:
    """The recipes that fit this server: where it is managed, and the bare command last."""
    before = words_of(server.argv, server.masked)
    after = with_flags(before, flags)
    found: list[Recipe] = []
    if server.unit is not None and _UNIT.fullmatch(server.unit):
        found.append(_drop_in(server.unit, server.user_unit, after))
    if server.compose_service is not None and _SERVICE.fullmatch(server.compose_service):
        compose = _compose(server.compose_service, server.argv, before, after)
        found += [compose] if compose is not None else []
    command = Recipe(
        kind=RecipeKind.COMMAND,
        title="Command line",
        path=None,
        text=shell(after),
        apply="",
        undo=shell(before),
        notes=_secrets(after, "export {} in that shell"),
    )
    return (*found, command)


def _secrets(words: Sequence[Word], how: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(variables(words)))
    if not names:
        return ()
    told = " and ".join(names)
    return (f"The command line holds a secret, which is not copied: before you run it, {how.format(told)}.",)


def _drop_in(unit: str, user: bool, after: Sequence[Word]) -> Recipe:
    folder = f"{'~/.config/systemd/user' if user else '/etc/systemd/system'}/{unit}.d"
    path, secrets = f"{folder}/gpu-tui.conf", f"{folder}/gpu-tui.env"
    quoted = unit if "\\" not in unit else f"'{unit}'"
    ctl = "systemctl --user" if user else "systemctl"
    restart = f"{ctl} daemon-reload && {ctl} restart {quoted}"
    lines = ["[Service]"]
    notes = [f"First: mkdir -p {_path(folder)}", _WRAPPED.format(where="the unit")]
    if variables(after):
        # Without the file the unit does not start: better than a server that lost its key.
        lines.append(f"EnvironmentFile={'%h' + secrets[1:] if user else secrets}".replace("\\", "\\\\"))
        notes += _secrets(after, f"write {{}}=… into {secrets} (chmod 600)")
    lines += ["ExecStart=", f"ExecStart={systemd(after)}", ""]
    if after and not str(after[0][0]).startswith("/"):
        notes.append(f"systemd wants an absolute path: write that of {after[0][0]}.")
    return Recipe(
        kind=RecipeKind.SYSTEMD,
        title=f"systemd drop-in for {unit}",
        path=path,
        text="\n".join(lines),
        apply=restart,
        undo=f"rm {_path(path)} && {restart}",
        notes=tuple(notes),
    )


def _path(path: str) -> str:
    return path if "\\" not in path else f"'{path}'"


def _compose(service: str, argv: Sequence[str], before: Sequence[Word], after: Sequence[Word]) -> Recipe | None:
    from difflib import unified_diff  # seldom needed, and slow to import

    begin = server_start(argv)
    if begin is None:
        return None
    head = ["services:", f"  {service}:", "    command:"]
    old, new = ([*head, *(f"      {compose_item(word)}" for word in words[begin:])] for words in (before, after))
    diff = unified_diff(old, new, "compose.yaml", "compose.yaml (planned)", lineterm="", n=max(len(old), len(new)))
    up = f"docker compose up -d {service}"
    return Recipe(
        kind=RecipeKind.COMPOSE,
        title=f"compose diff for {service}",
        path=None,
        text="\n".join(diff) + "\n",
        apply=up,
        undo=f"Take the change back in the compose file, then: {up}",
        notes=(
            "The list is what follows `vllm serve`, the image's own entrypoint; your file may write it on one line.",
            *_secrets(after, "write {} into the project's .env"),
        ),
    )
