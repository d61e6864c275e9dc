"""Names in a journal or a recording, whoever wrote them there, reach a terminal as visible text alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gpu_tui.journal import Journal
from gpu_tui.journal.deployments import Deployments
from tests.endurance.kept import KEPT, hostile_journal, hostile_recording
from tests.endurance.machine import BEGUN
from tests.endurance.nasties import MARK, unseen
from tests.endurance.test_names_in_commands import said
from tests.endurance.test_names_on_screen import alone
from tests.tui.terminal import GPU_TUI, Terminal


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_journal(tmp_path_factory.mktemp("kept") / "journal.db", KEPT.values())


def test_every_run_and_start_is_read(journal: Path) -> None:
    with Journal(journal) as runs, Deployments(journal) as starts:
        assert len(runs.entries()) == len(starts.starts()) == len(KEPT)
        for number in range(1, len(KEPT) + 1):
            assert MARK in runs.get(number).run.note
            assert MARK in starts.start(number).deployment.model


def test_every_command_about_the_journal_shows_visible_text_alone(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = len(KEPT)
    lists = [["list"], ["--deployments"], ["compare", "1", "2"], ["compare", str(last), str(last - 1)], ["plot"]]
    shows = [["show", str(n), *more] for n in range(1, last + 1) for more in ([], ["--deployments"])]
    exports = [["export", "--format", kind] for kind in ("csv", "json", "markdown")]
    exports += [["export", "--format", kind, "--deployments"] for kind in ("csv", "json")]
    for words in (*lists, *shows, *exports):
        out, err = said(capsys, "--journal", str(journal), "history", *words)
        assert not unseen(out + err), (words, unseen(out + err))
        if words[0] == "show":
            assert MARK in out, words


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("note", b"\x1b[2J"),
        ("llm_ttft_p50_ms", "fast"),
        ("utilization_actual", "all"),
        ("gpus", "[1]"),
        ("services", '{"kloros": 7}'),
        ("summary", "[]"),
        ("evaluation", '"\\u001b"'),
        ("workload", "\x1b"),
    ],
)
def test_a_run_of_another_shape_is_told_as_damage(
    column: str, value: str | bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = hostile_journal(tmp_path / "journal.db", ["a name"])
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"UPDATE runs SET {column} = ?", (value,))
    connection.close()
    _, err = said(capsys, "--journal", str(path), "history", "show", "1", allowed=(2,))
    assert "is damaged: run 1 cannot be read" in err
    assert not unseen(err)


def test_its_json_is_json_and_fit_for_a_terminal(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["list"], ["--deployments"], ["show", "1"], ["compare", "1", "2"]):
        out, err = said(capsys, "--journal", str(journal), "history", *words, "--json")
        assert not unseen(out + err), words
        assert json.loads(out)


def walk(argv: Sequence[str], begun: str, keys: Iterable[str]) -> str:
    """All that is written while these keys are pressed, each once the screen has been drawn."""
    with Terminal([*GPU_TUI, *argv], size=(120, 40)) as terminal:
        terminal.wait_for(begun)
        for key in keys:
            terminal.press(key)
            terminal.read(0.1)
            assert terminal.process.poll() is None, f"it has ended at {key!r}\n{terminal.text}"
        terminal.press("\x11")
        assert terminal.quit_code(20) == 0
        return terminal.raw.decode("utf-8")


def harmless(raw: str) -> None:
    """No character that is not visible text, and of sequences only what moves, colours and sets up."""
    kinds, strange = alone(raw)
    assert not strange, sorted(strange)
    assert {kind for kind in kinds if not kind.startswith("CSI")} <= {"OSC 22"}, kinds  # 22: the pointer's shape


@pytest.mark.slow
def test_the_history_and_the_kept_starts_on_the_screen(journal: Path) -> None:
    each = ("\r", "\x1b", "\x1b[B")
    runs = ["H", *each * len(KEPT), " ", "\x1b[A", "c", "\x1b", "p", "\x1b", "/", *MARK, "\r", "\x1b", "\x1b"]
    starts = ["D", *(key for n in range(len(KEPT)) for key in ("h", "\x1b[B" * n + "\r", "\x1b")), "\x1b"]
    raw = walk(["--demo", "--journal", str(journal)], "VALID", [*runs, *starts])
    harmless(raw)
    assert raw.count(MARK) > 2 * len(KEPT)


@pytest.mark.slow
def test_a_recording_on_the_screen(tmp_path: Path) -> None:
    recording = hostile_recording(tmp_path / "hostile.rec", KEPT.values())
    steps = [" ", "{", "{", *">" * (3 * len(KEPT)), *"nnnnNNNN"]
    views = ["E", "\x1b[B" * len(KEPT), "\x1b", "D", "\x1b", "e", "\x1b", "A", "\x1b", "\t", "\t", "\r", "\x1b"]
    raw = walk(["--replay", str(recording)], "REPLAY", [*steps, *views, *"((((", *views])
    harmless(raw)
    assert raw.count(MARK) > 2 * len(KEPT)


def test_a_recording_in_every_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording = hostile_recording(tmp_path / "hostile.rec", KEPT.values())
    first = datetime.fromtimestamp(BEGUN).astimezone()
    for second in range(1, 3 * len(KEPT) + 1):
        at = (first + timedelta(seconds=second)).strftime("%H:%M:%S")
        for words in (["services"], ["check", "--util", "0.5"], ["services", "--json"]):
            out, err = said(capsys, "--replay", f"{recording}@{at}", *words, allowed=(0, 1, 2, 3))
            assert not unseen(out + err), (second, words, unseen(out + err))
            assert MARK in out + err
