"""Killed in the middle of writing, and several writers at once."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpu_tui.journal import Journal, JournalError
from tests.journal.runs import llm_samples, run

ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

WRITER = """
import sys
from pathlib import Path
from gpu_tui.journal import Journal
from tests.journal.runs import llm_samples, run
path, who, runs = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for i in range(runs):
    with Journal(path, writable=True) as journal:
        number = journal.add(run(note=f"{who} {i}", samples=llm_samples([float(x) for x in range(300)])))
    print(number, flush=True)
"""


def writer(path: Path, who: str, runs: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), who, str(runs)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENV)


def started(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()
    return process


def whole(path: Path) -> list[str]:
    """The notes of the runs, in order; each of them is complete."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    with Journal(path) as journal:
        stored = [journal.get(entry.id) for entry in journal.entries()]
    assert all(len(one.run.samples) == 300 for one in stored)
    return [one.run.note for one in sorted(stored, key=lambda one: one.id)]


def test_killed_in_the_middle_many_times_it_loses_at_most_that_run(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    drawn = random.Random(5)
    said: list[str] = []
    for round_ in range(200):
        if round_ >= 25 and len(said) > 25:
            break  # on a busy machine with a slow disk it takes more rounds until so much has been kept
        with writer(path, str(round_), 10_000) as process:
            started(process)
            # From the first instant, when the file is being made, to the middle of many runs.
            time.sleep(drawn.uniform(0, 0.004 if round_ < 5 else 0.08))
            process.send_signal(signal.SIGKILL)
            out, _ = process.communicate(timeout=30)
        complete = out.splitlines() if out.endswith("\n") or not out else out.splitlines()[:-1]
        said += [f"{round_} {i}" for i in range(len(complete))]
        if not path.exists():
            assert not said
            continue
        kept = whole(path)
        # What was said to be kept is there; of the run under way when it was killed, all or nothing.
        assert [note for note in kept if note in set(said)] == said
        extra = [note for note in kept if note not in set(said)]
        assert len(extra) <= 1
        said = kept
    assert len(said) > 25


def test_two_instances_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    processes = [writer(path, who, 12) for who in "abcd"]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # all at once, with the file not there yet
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    numbers = []
    for process in processes:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        numbers += [int(line) for line in out.splitlines()]
    assert sorted(numbers) == list(range(1, 49))
    notes = whole(path)
    for who in "abcd":
        assert [note for note in notes if note.startswith(who)] == [f"{who} {i}" for i in range(12)]


def test_readers_are_not_held_up_by_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with Journal(path, writable=True) as journal:
        journal.add(run())
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    holder.execute("DELETE FROM runs")
    with Journal(path) as reader:
        assert len(reader.entries()) == 1
    holder.close()


def test_a_writer_waits_and_then_says_so(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with Journal(path, writable=True) as journal:
        journal.add(run())
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with Journal(path, writable=True, busy_s=0.2) as journal, pytest.raises(JournalError, match="another gpu-tui"):
        journal.add(run())
    holder.close()
    with Journal(path, writable=True) as journal:
        assert journal.add(run()) == 2


def test_an_interrupted_run_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "j.db"

    class Interrupting(list):  # type: ignore[type-arg]
        def __iter__(self):  # type: ignore[no-untyped-def]
            yield from llm_samples([1.0] * 10)
            raise KeyboardInterrupt

    with Journal(path, writable=True) as journal:
        with pytest.raises(KeyboardInterrupt):
            journal.add(run(samples=Interrupting()))
        assert journal.entries() == []
        assert journal.add(run()) >= 1
