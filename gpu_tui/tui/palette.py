"""The palette's entries: every action of a screen, from its bindings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from textual.app import SystemCommand
from textual.binding import Binding
from textual.screen import Screen

from gpu_tui.tui.texts import key_words


def offered(screen: Screen[Any], binding: Binding) -> bool:
    """Whether a key means anything now: those of a replay only in one."""
    return not (binding.id or "").startswith("replay.") or bool(screen.check_action(binding.action, ()))


def commands_of(screen: Screen[Any]) -> Iterator[SystemCommand]:
    """What each key does, named, with the key."""
    for binding in screen.BINDINGS:
        if isinstance(binding, Binding) and binding.id and binding.action != "app.quit" and offered(screen, binding):
            action = binding.action

            async def run(action: str = action) -> None:
                await screen.run_action(action)

            words = f"{binding.tooltip or binding.description} ({key_words(binding.key)})"
            yield SystemCommand(binding.description, words, run)
