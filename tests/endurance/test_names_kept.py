"""Names in a journal or a recording, whoever wrote them there, reach a terminal as visible text alone."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from gpu_tui.journal import Journal
from gpu_tui.journal.deployments import Deployments
from tests.endurance.kept import KEPT, hostile_journal
from tests.endurance.nasties import MARK, unseen
from tests.endurance.test_names_in_commands import said


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
