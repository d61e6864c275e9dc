"""Whatever a process calls itself, what the explorer writes to its terminal is what it writes for a plain name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.endurance.nasties import MARK, NASTIES, sequences, written
from tests.standin import Device, Process, Sleepers, StandIn, State
from tests.tui.terminal import GPU_TUI, Terminal

VIEWS = [
    *("e", "\x1b", "t", "\x1b", "g", "\x1b", "v", "\x1b", "l", "l", "?", "\x1b", "M", "\x1b", "H", "\x1b", "A", "\x1b"),
    *("D", "h", "\x1b"),
    *("y", "Y", "i", "\x1b", "\x10gpu", "\x1b", "0.9\r", "e", "\x1b", "r"),
]
"""Every place where what others wrote is shown: explanation, what to type, choices, help, models, journal, alerts,
deployments, toasts, the palette, an invalid plan's tenants, a refused run."""


def visit(argv: Sequence[str], env: dict[str, str] | None = None) -> str:
    """All that is written on the way through the views."""
    with Terminal(argv, size=(120, 40), env=env) as terminal:
        terminal.wait_for("VALID")
        terminal.read(0.5)
        for keys in VIEWS:
            terminal.press(keys)
            terminal.read(0.1)
            assert terminal.process.poll() is None, f"it has ended at {keys!r}\n{terminal.text}"
        terminal.press("\x1b")
        terminal.read(0.3)
        terminal.press("\x11")  # Ctrl-Q, from wherever it is
        assert terminal.quit_code(20) == 0
        return terminal.raw.decode("utf-8")


def alone(raw: str) -> tuple[set[str], set[str]]:
    """Kinds of sequences, and the characters beside them that are not visible text."""
    kinds, rest = sequences(raw)
    return kinds, {char for char in rest if not char.isprintable() and char not in "\r\n"}


@cache
def plain(folder: Path) -> frozenset[str]:
    """What it writes for a name that means no harm."""
    kinds, strange = alone(visit([*GPU_TUI, "--scenario", str(written("plain-name", folder))]))
    assert not strange
    return frozenset({*kinds, "OSC 52 of visible text"})


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    return plain(tmp_path_factory.mktemp("plain"))


WORST = ["window title", "clipboard", "C1 controls", "bidi override", "markup click"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name if name in WORST else pytest.param(name, marks=pytest.mark.soak) for name in NASTIES]
)
def test_a_name_writes_nothing_that_a_plain_one_does_not(name: str, tmp_path: Path, harmless: frozenset[str]) -> None:
    raw = visit([*GPU_TUI, "--scenario", str(written(NASTIES[name], tmp_path))])
    kinds, strange = alone(raw)
    assert not strange, sorted(strange)
    assert kinds <= harmless, kinds - harmless
    assert MARK in raw


@pytest.mark.slow
@pytest.mark.parametrize("name", WORST)
def test_a_real_process_of_that_name(name: str, standin: StandIn, sleepers: Sleepers, harmless: frozenset[str]) -> None:
    payload = NASTIES[name]
    # argv[0] and the kernel's own name, cut to 15 bytes wherever that falls: in the midst of a character, too.
    pids = [
        sleepers.start([payload, payload], comm=payload).pid,
        sleepers.start(["/usr/bin/python3", "-m", "kloros_voice", payload], comm=payload).pid,
        sleepers.start([f"/usr/bin/ollama{payload}", payload], comm=f"ollama{payload}").pid,
    ]
    engine = sleepers.vllm(payload, 8001).engine
    rows = [Process(pid, 500) for pid in pids] + [Process(engine, 6134)]
    standin.write(State(devices=[Device(name="NVIDIA GeForce RTX 3060", processes=rows)]))
    kinds, strange = alone(visit([*GPU_TUI, "--interval", "0.2"], standin.env()))
    assert not strange, sorted(strange)
    assert kinds <= harmless, kinds - harmless


def test_the_comparison_would_see_it() -> None:
    raw = "\x1b[31mred\x1b]0;owned\x07\x9b\u202e"
    kinds, strange = alone(raw)
    assert kinds == {"CSI m", "OSC 0"}
    assert strange == {"\x9b", "\u202e"}
    assert sys.getdefaultencoding() == "utf-8"
