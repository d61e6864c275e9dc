"""The texts an operator copies, as values. `gpu_tui.core.what_to_type` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """The server that restarts with the plan, as far as it is known."""

    argv: tuple[str, ...]
    """Its command line as it stands in the process table, secrets and all."""
    masked: tuple[str, ...]
    """The same with its secrets masked (`gpu_tui.view.text.mask_cmdline`): as many arguments."""
    unit: str | None = None
    """The systemd unit that runs it: ``vllm.service``."""
    user_unit: bool = False
    """The unit belongs to a user's manager: ``systemctl --user``."""
    compose_service: str | None = None
    """The compose service that runs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag of vLLM."""

    name: str
    """``--max-model-len``."""
    value: str | None
    """None: a switch."""
    now: str | None = None
    """What the running server was given; None: nothing, or no server is known."""
    note: str = ""

    @property
    def text(self) -> str:
        """As typed: ``--max-model-len 4096``."""
        return self.name if self.value is None else f"{self.name} {self.value}"


class RecipeKind(StrEnum):
    """Which recipe: where the changed command goes."""

    COMMAND = "command"
    SYSTEMD = "systemd"
    COMPOSE = "compose"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way to put the flags to work, for the operator to carry out."""

    kind: RecipeKind
    title: str
    path: str | None
    """The file to write; None: a command to run, or a diff."""
    text: str
    """The file's content, the diff, or the command: to be copied as it stands."""
    apply: str
    """What to run then; empty: the text is what is run."""
    undo: str
    """What takes it back."""
    notes: tuple[str, ...] = ()
    """What must be known before: secrets to be put into the environment, a path that is not absolute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatToType:
    """All of it, for one plan."""

    flags: tuple[Flag, ...]
    """Those that differ from the running server's command line; all that the plan sets where no server is known."""
    pinned: Flag | None
    """`--kv-cache-memory-bytes`, in place of what the profile run leaves; its `note` explains the number."""
    recipes: tuple[Recipe, ...]
    """The systemd drop-in or the compose diff where that is known, then the bare command."""

    @property
    def flags_text(self) -> str:
        """The flags on one line, to be copied."""
        return " ".join(flag.text for flag in self.flags)
