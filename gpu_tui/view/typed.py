"""What to type, laid out: each block that can be copied bears the key that copies it."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_tui.core.what_to_type import Recipe, WhatToType
from gpu_tui.view.spans import Line
from gpu_tui.view.text import clean

KEYS = "123456789"
"""Blocks beyond these are shown and not copied by a key."""

FLAGS_KEY = "y"


@dataclass(frozen=True, slots=True, kw_only=True)
class Laid:
    """Lines to show, and what each key copies."""

    lines: tuple[Line, ...]
    blocks: dict[str, str]


def lay_out(what: WhatToType, call: str, *, running: bool) -> Laid:
    """Lay it out.

    Args:
        what: the texts.
        call: the verdict on the plan, in words.
        running: a running server's command line is known.
    """
    lines: list[Line] = [[(f"The plan: {call}. Nothing here is applied; it is yours to run.", "dim")], []]
    blocks: dict[str, str] = {}
    if what.flags:
        lines.append([("Flags that differ from the running server's" if running else "Flags", "strong")])
        for flag in what.flags:
            before = (
                f"   (now {clean(flag.now, 60)})" if flag.now is not None else "   (now not given)" if running else ""
            )
            lines.append([(f"  {clean(flag.text, 200)}", ""), (before, "dim")])
        blocks[FLAGS_KEY] = what.flags_text
        lines += [[(f" {FLAGS_KEY} ", "key"), ("copies them on one line", "dim")], []]
    else:
        told = "The running server has these flags already." if running else "No flag follows from this plan."
        lines += [[(told, "")], []]
    if what.pinned is not None:
        lines += _block(blocks, "Or pin the KV cache", what.pinned.text)
        lines += [[(f"  {clean(what.pinned.note, 400)}", "dim")], []]
    for recipe in what.recipes:
        lines += _recipe(blocks, recipe)
    return Laid(lines=tuple(lines), blocks=blocks)


def _recipe(blocks: dict[str, str], recipe: Recipe) -> list[Line]:
    where = f"{recipe.title}: {recipe.path}" if recipe.path else recipe.title
    lines = _block(blocks, where, recipe.text)
    for word, text in (("Then run", recipe.apply), ("Undo", recipe.undo)):
        if text:
            lines += _block(blocks, word, text)
    lines += [[(f"  ! {clean(note, 400)}", "warn")] for note in recipe.notes]
    return [*lines, []]


def _block(blocks: dict[str, str], title: str, text: str) -> list[Line]:
    """A text as it stands, so that it can also be selected by hand, under its title and the key that copies it."""
    number = sum(key in KEYS for key in blocks)
    head: Line = [(clean(title, 200), "strong")]
    if number < len(KEYS):
        blocks[KEYS[number]] = text
        head += [("   ", ""), (f" {KEYS[number]} ", "key"), ("copies", "dim")]
    return [head, *([(clean(line), "")] for line in text.splitlines())]
