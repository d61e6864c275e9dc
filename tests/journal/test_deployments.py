"""Starts of vLLM in the journal: once each, whole, beside the runs, in files of every schema."""

from __future__ import annotations

import csv
import io
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_tui.core.start_terms import TermName
from gpu_tui.journal import Journal, JournalError, JournalRefused, UnknownRun
from gpu_tui.journal.deployments import Deployment, Deployments
from gpu_tui.journal.deployments_text import csv_text, deployment_object, detailed, listed
from gpu_tui.journal.schema import VERSION
from gpu_tui.units import GIB
from tests.journal.runs import VERSION_1, run, written
from tests.journal.starts import START, start

W, A, N = TermName.WEIGHTS, TermName.ACTIVATION, TermName.NON_TORCH

VERSION_2 = (
    VERSION_1.replace("PRAGMA user_version = 1;", "")
    + """
ALTER TABLE runs ADD COLUMN kv_cache_tokens INTEGER;
ALTER TABLE runs ADD COLUMN voice_total_p50_ms REAL;
ALTER TABLE runs ADD COLUMN voice_total_p95_ms REAL;
ALTER TABLE runs ADD COLUMN evaluation TEXT;
CREATE TABLE samples (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, kind TEXT NOT NULL, part TEXT NOT NULL,
    number INTEGER NOT NULL, started_s REAL, ttft_ms REAL, itl_ms REAL, tpot_ms REAL, sentence_ms REAL, e2e_ms REAL,
    latency_ms REAL, rtf REAL, output_tokens INTEGER, error TEXT, PRIMARY KEY (run_id, kind, part, number)
) WITHOUT ROWID;
INSERT INTO samples (run_id, kind, part, number, ttft_ms) VALUES (1, 'llm', '', 0, 41.5);
PRAGMA user_version = 2;
"""
)
"""A file of the second schema, written down as it was: it must not follow the code."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "j.db"


def test_it_comes_back_as_it_was(path: Path) -> None:
    with Deployments(path, writable=True) as journal:
        assert journal.record(START) == 1
    with Deployments(path) as journal:
        assert journal.start(1).deployment == START
        assert [one.id for one in journal.starts()] == [1]


def test_newest_first(path: Path) -> None:
    with Deployments(path, writable=True) as journal:
        for number in (1, 3, 2):
            journal.record(start(number))
        assert [one.id for one in journal.starts()] == [2, 3, 1]
        assert [one.id for one in journal.starts(limit=1)] == [2]
        assert [one.id for one in journal.starts(since="2026-11-23T12:00:00Z")] == [2, 3]


@pytest.mark.parametrize(
    ("again", "kept"),
    [
        pytest.param({}, None, id="the-same"),
        pytest.param({"started_s": START.started_s + 1.2}, None, id="the-clock-was-set"),
        pytest.param({"recorded_at": "2027-01-01T00:00:00Z", "outcome": "other"}, None, id="nothing-new-is-known"),
        pytest.param({"started_s": START.started_s + 61}, 2, id="a-minute-later"),
        pytest.param({"server_pid": 78}, 2, id="another-process"),
        pytest.param({"machine": "other"}, 2, id="another-machine"),
    ],
)
def test_the_same_start_is_kept_once(path: Path, again: dict[str, object], kept: int | None) -> None:
    with Deployments(path, writable=True) as journal:
        journal.record(START)
        assert journal.record(replace(START, **again)) == kept  # type: ignore[arg-type]
        assert journal.start(1).deployment == START
        assert len(journal.starts()) == (1 if kept is None else 2)


def test_more_that_is_known_replaces_less(path: Path) -> None:
    little = replace(START, measured={"terms": {}, "kv_tokens": 25_472}, source="metrics of port 8001")
    with Deployments(path, writable=True) as journal:
        assert journal.record(little) == 1
        assert journal.record(replace(START, started_s=START.started_s + 0.4)) == 1
        assert journal.start(1).deployment == START  # with the first look's time
        assert journal.record(little) is None
        assert journal.start(1).deployment == START


def test_a_deleted_start_is_gone_and_so_is_its_number(path: Path) -> None:
    with Deployments(path, writable=True) as journal:
        journal.record(START)
        journal.forget(1)
        assert journal.starts() == []
        assert journal.record(START) == 2
        for number in (1, 0, -1, 99, 2**70):
            with pytest.raises(UnknownRun, match=f"no deployment {number}"):
                journal.forget(number)
            with pytest.raises(UnknownRun, match="history --deployments"):
                journal.start(number)


def test_what_others_wrote_is_made_safe(path: Path) -> None:
    hostile = replace(
        START,
        model="m\x1b[2J",
        flags={"block_size": float("nan")},
        measured={"failure": "\x07 token=hf_abcdefgh", "terms": {}},
    )
    with Deployments(path, writable=True) as journal:
        journal.record(hostile)
        told = journal.start(1).deployment
    assert told.model == "m␛[2J"
    assert told.flags == {"block_size": None}
    assert told.measured["failure"] == "␇ token=***"


@pytest.mark.parametrize(("script", "old"), [(VERSION_1, 1), (VERSION_2, 2)])
def test_an_older_file_is_brought_up_and_loses_nothing(path: Path, script: str, old: int) -> None:
    written(path, script)
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (old,)
    with Deployments(path) as journal:
        assert journal.starts() == []
        assert journal.get(1).run.note == "an old one"
        assert len(journal.get(1).run.samples) == (1 if old == 2 else 0)
    with Deployments(path, writable=True) as journal:
        assert journal.record(START) == 1
        assert journal.add(run()) == 2
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (VERSION,)


WATCHED = {
    "outcome": "max_len_too_long",
    "phases": [{"phase": "loading", "seconds": 12.5, "evidence": "log"}],
    "took_s": 14.0,
    "planned_bytes": 6 * GIB,
    "peak_bytes": 5 * GIB,
    "cause": "The KV cache that was left cannot hold one request.",
    "remedy": "Give it less.",
    "races": ["whisper grew by 900 MiB"],
}


def test_a_watched_start_takes_the_place_of_its_page_and_keeps_what_was_watched(path: Path) -> None:
    with Deployments(path, writable=True) as journal:
        assert journal.record(START) == 1
        assert journal.record(replace(START, watched=WATCHED, outcome="max_len_too_long")) == 1
        # A later page from the log alone tells more figures, and nothing of the phases.
        more = replace(START, measured={**START.measured, "failure": "x", "requested_bytes": 1, "num_blocks": 7})
        more = replace(more, measured={**more.measured, "kv_tokens": 9, "kv_cache_bytes": 4})
        journal.record(more)
        told = journal.start(1)
    assert told.deployment.watched == WATCHED
    page = "\n".join(detailed(told))
    assert "phases    loading 12.5 s (log)" in page
    assert "took      14.0 s; memory planned 6.00 GiB, most held 5.00 GiB" in page
    assert "cause     The KV cache" in page
    assert "race      whisper grew by 900 MiB" in page
    assert deployment_object(told)["watched"] == WATCHED


def test_a_new_file_has_the_same_shape_as_one_brought_up(path: Path, tmp_path: Path) -> None:
    written(path, VERSION_2)
    fresh = tmp_path / "fresh.db"
    for file in (path, fresh):
        Deployments(file, writable=True).close()

    def shape(file: Path) -> list[object]:
        connection = sqlite3.connect(file)
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master ORDER BY name")]
        return [(name, connection.execute(f"PRAGMA table_info({name})").fetchall()) for name in names]

    assert shape(path) == shape(fresh)


def test_a_newer_and_a_damaged_file_are_refused(path: Path) -> None:
    written(path, VERSION_2.replace("user_version = 2", f"user_version = {VERSION + 1}"))
    before = path.read_bytes()
    with pytest.raises(JournalRefused, match="newer gpu-tui"):
        Deployments(path, writable=True)
    assert path.read_bytes() == before
    path.write_bytes(before[:5000])
    with pytest.raises(JournalRefused, match="damaged"):
        Deployments(path)


@pytest.mark.parametrize(("column", "text"), [("flags", "{"), ("measured", "[]"), ("predicted", "{"), ("flags", "7")])
def test_a_page_that_is_none_is_told(path: Path, column: str, text: str) -> None:
    with Deployments(path, writable=True) as journal:
        journal.record(START)
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE deployments SET {column} = ?", (text,))
    connection.commit()
    connection.close()
    with Deployments(path) as journal, pytest.raises(JournalRefused, match="damaged: deployment 1 cannot be read"):
        journal.start(1)


def test_no_file_reads_as_no_starts(path: Path) -> None:
    with Deployments(path) as journal:
        assert journal.starts() == []
        with pytest.raises(JournalError):
            journal.record(START)


WRITER = """
import sys
from pathlib import Path
from gpu_tui.journal.deployments import Deployments
from tests.journal.starts import start
print("ready", flush=True)
sys.stdin.readline()
for number in range(12):
    with Deployments(Path(sys.argv[1]), writable=True) as journal:
        print(journal.record(start(number)), flush=True)
"""


def test_two_instances_that_see_the_same_starts_keep_each_once(path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) for _ in range(3)
    ]
    for one in writers:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    told: list[str] = []
    for one in writers:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in writers:
        out, _ = one.communicate(timeout=60)
        assert one.returncode == 0
        told += out.split()
    assert sorted(int(word) for word in told if word != "None") == list(range(1, 13))
    assert len(told) == 36
    with Deployments(path) as journal:
        assert len(journal.starts()) == 12
    with Journal(path) as runs:
        assert runs.entries() == []


def test_as_learning_takes_it() -> None:
    past = START.past_start()
    assert past.setup.model == "Qwen/Qwen3-8B"
    assert (past.setup.max_model_len, past.setup.version, past.setup.quantization) == (8192, "0.21.0", "none")
    assert (past.missed(A), past.missed(W), past.missed(N)) == (GIB // 4, 0, None)
    assert (past.model_bytes, past.kv_cache_bytes, past.started) == (16 * GIB + GIB // 2, 3 * GIB + GIB // 2, True)
    assert past.gpu_total_bytes == 22 * GIB


def with_terms(**terms: dict[str, object]) -> Deployment:
    return replace(START, measured=START.measured | {"terms": START.measured["terms"] | terms})


def test_terms_inside_another_are_learned_with_it() -> None:
    inside = with_terms(non_torch={"size_bytes": 0, "part_of": "activation"})
    past = inside.past_start()
    assert past.inside == {N}
    assert past.missed(N) is None
    assert past.missed(A) is None  # nothing was predicted of non-torch memory
    terms = (START.predicted or {})["terms"] | {"non_torch": {"size_bytes": GIB // 8}}
    told = replace(inside, predicted={"terms": terms}).past_start()
    assert told.missed(A) == GIB // 8


@pytest.mark.parametrize("predicted", [None, {}, {"terms": []}, {"terms": {"weights": {"size_bytes": "15"}}}])
def test_what_is_not_known_teaches_nothing(predicted: dict[str, object] | None) -> None:
    past = replace(START, predicted=predicted).past_start()
    assert past.predicted == {}
    assert past.missed(W) is None


def stored(*starts: Deployment, path: Path) -> list[str]:
    with Deployments(path, writable=True) as journal:
        for one in starts:
            journal.record(one)
        return listed(journal.starts())


def test_the_list_fits_80_cells(path: Path) -> None:
    long = start(1, model="org/" + "x" * 80, outcome="not_enough_free", utilization=None, measured={}, predicted=None)
    lines = stored(START, long, path=path)
    assert max(map(len, lines)) < 80
    assert lines[2].split() == ["1", "11-23", "10:00", "Qwen3-8B", "0.9", "started", "3.50", "4.00"]
    assert lines[1].split()[-4:] == ["-", "not_enough_free", "-", "-"]


def test_one_start_in_full(path: Path) -> None:
    stored(START, start(1, outcome="no_cache_blocks", predicted=None, measured={"failure": "No memory"}), path=path)
    with Deployments(path) as journal:
        told, bare = "\n".join(detailed(journal.start(1))), "\n".join(detailed(journal.start(2)))
    assert "Deployment 1  started 2026-11-23 10:00 UTC  started" in told
    assert "weights          15.00      15.00 GiB   14.00–16.00   ✓ inside  +0.00 GiB" in told
    assert "activation        1.25       1.00 GiB    0.50–1.12    ✗ outside +0.25 GiB" in told
    assert "KV cache          3.50       4.00 GiB    3.00–5.00    ✓ inside  -0.50 GiB" in told
    assert "tokens          25,472     29,000" in told
    assert "max_model_len 8192" in told
    assert "failure   No memory" in bare
    assert "the model's files were not found" in bare
    assert max(map(len, told.splitlines())) <= 98


def test_for_other_programs(path: Path) -> None:
    stored(START, start(1, model="=SUM(A1)"), path=path)
    with Deployments(path) as journal:
        starts = journal.starts()
    assert deployment_object(starts[1])["measured"]["terms"]["activation"]["size_bytes"] == GIB + GIB // 4
    rows = list(csv.DictReader(io.StringIO(csv_text(starts))))
    assert [row["id"] for row in rows] == ["2", "1"]
    assert rows[0]["model"] == "'=SUM(A1)"
    assert rows[1]["activation_measured_bytes"] == str(GIB + GIB // 4)
    assert (rows[1]["kv_cache_predicted_bytes"], rows[1]["non_torch_measured_bytes"]) == (str(4 * GIB), "")
