"""What goes into the journal comes out again, and only that."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace
from pathlib import Path

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.errors import ConfigError, UsageError
from gpu_tui.journal import Journal, JournalError, JournalRefused, Sample, UnknownRun, default_path, schema
from gpu_tui.journal.records import FIGURES, figures_of, safe
from tests.journal.runs import VERSION_1, llm_samples, run, summary, written


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "j.db"


def test_a_run_comes_back_as_it_went_in(path: Path) -> None:
    kept = run(note="after the driver update", evaluation={"fitness": 0.5}, samples=llm_samples([1.5, 2.5], "alone"))
    with Journal(path, writable=True) as journal:
        number = journal.add(kept)
        assert journal.get(number).run == replace(kept, gpus=list(kept.gpus))
    with Journal(path) as journal:
        stored = journal.get(number)
    assert stored.run == replace(kept, gpus=list(kept.gpus))
    assert (stored.figures["llm_ttft_p50_ms"], stored.figures["errors"], stored.figures["stt_p50_ms"]) == (40, 1, None)


def test_what_is_unknown_stays_unknown(path: Path) -> None:
    blank = run(
        utilization_actual=None,
        utilization_planned=None,
        status=None,
        reason=None,
        samples=(Sample(kind="stt", number=0, error="timeout"),),
        summary=summary(None),
    )
    with Journal(path, writable=True) as journal:
        stored = journal.get(journal.add(blank))
    assert (stored.run.utilization_actual, stored.run.status, stored.run.evaluation) == (None, None, None)
    assert set(stored.figures.values()) == {None}
    assert stored.run.samples[0].latency_ms is None


def test_newest_first_whatever_the_order_of_writing(path: Path) -> None:
    with Journal(path, writable=True) as journal:
        for day in (3, 1, 2, 2):
            journal.add(run(started_at=f"2026-11-0{day}T00:00:00Z"))
        assert [entry.id for entry in journal.entries()] == [1, 4, 3, 2]
        assert [entry.id for entry in journal.entries(limit=2)] == [1, 4]
        assert [entry.id for entry in journal.entries(since="2026-11-02T00:00:00Z")] == [1, 4, 3]
        assert journal.entries(limit=0) == []


def test_filters(path: Path) -> None:
    with Journal(path, writable=True) as journal:
        journal.add(run())
        journal.add(run(kind="evaluate", simulated=True))
        assert [entry.id for entry in journal.entries(kind="evaluate")] == [2]
        assert [entry.simulated for entry in journal.entries(simulated=False)] == [False]
        assert [entry.id for entry in journal.entries(simulated=True, kind="measure")] == []


def test_a_deleted_run_is_gone_with_its_samples_and_its_number(path: Path) -> None:
    with Journal(path, writable=True) as journal:
        journal.add(run())
        journal.add(run())
        journal.delete(2)
        assert journal.add(run()) == 3
        for number in (2, 0, -1, 99, 2**70):
            with pytest.raises(UnknownRun, match=f"no run {number}"):
                journal.delete(number)
            with pytest.raises(UnknownRun):
                journal.get(number)
    left = sqlite3.connect(path).execute("SELECT DISTINCT run_id FROM samples").fetchall()
    assert left == [(1,), (3,)]


def test_no_file_is_no_runs(path: Path) -> None:
    with Journal(path) as journal:
        assert journal.entries() == []
        with pytest.raises(UnknownRun):
            journal.get(1)
        with pytest.raises(JournalError, match="is not there"):
            journal.delete(1)
    assert not path.exists()
    path.touch()
    with Journal(path) as journal:
        assert journal.entries() == []
    assert path.stat().st_size == 0
    with Journal(path, writable=True) as journal:
        assert journal.add(run()) == 1


def test_a_reader_cannot_write(path: Path) -> None:
    with Journal(path, writable=True) as journal:
        journal.add(run())
    with Journal(path) as journal, pytest.raises(JournalError, match="could not be written: it is read-only"):
        journal.add(run())


def test_it_is_its_owner_s_alone_and_leaves_one_file(path: Path) -> None:
    with Journal(path, writable=True) as journal:
        journal.add(run())
        assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    with Journal(path) as journal:
        journal.entries()
    assert [file.name for file in path.parent.iterdir()] == ["j.db"]


def test_secrets_and_controls_do_not_get_in(path: Path) -> None:
    hostile = run(
        note="\x1b[2J key=sk-abcdefghijkl",
        server={"cmdline": ["vllm", "serve", "--api-key=sesame-sesame"]},
        services={"a\x1b": {"note": "http://u:sesame@h/"}},
        reason="HF_TOKEN=sesame-sesame",
        samples=(Sample(kind="llm", number=0, error="token: sesame-sesame"),),
        summary=summary() | {"x": math.nan, "broken": "\udcff"},
    )
    with Journal(path, writable=True) as journal:
        stored = journal.get(journal.add(hostile)).run
    data = path.read_bytes()
    assert b"sesame" not in data
    assert b"sk-abc" not in data
    assert stored.note.startswith("␛[2J")
    assert (stored.summary["x"], stored.summary["broken"]) == (None, "\\xff")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_what_is_safe_stays_the_same(value: object) -> None:
    assert safe(safe(value)) == safe(value)


def test_figures_are_found_or_unknown() -> None:
    given = summary(40, 200) | {"oom_events": 0}
    given["llm"]["kv_cache_tokens"] = 7104
    told = figures_of(given)
    assert set(told) == set(FIGURES)
    assert (told["llm_ttft_p95_ms"], told["llm_e2e_p50_ms"], told["stt_p50_ms"], told["stt_n"]) == (80, 200, 200, 5)
    assert (told["oom_events"], told["kv_cache_tokens"], told["errors"]) == (0, 7104, 1)
    assert set(figures_of({}).values()) == {None}
    assert figures_of({"llm": 3, "stt": {"n": True, "errors": {}, "latency_ms": "x"}})["stt_n"] is None


def test_of_an_interference_run_what_each_delivered_alone() -> None:
    alone = summary(40, 200)
    parts = {"llm_alone": alone["llm"], "stt_alone": None, "together": {"llm": summary(90)["llm"], "stt": None}}
    told = figures_of({"llm": None, "stt": None, "interference": parts})
    assert (told["llm_ttft_p50_ms"], told["stt_p50_ms"]) == (40, None)
    assert told["errors"] == 2, "of every load"


def test_the_folder_is_platformdirs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for base in (str(tmp_path), "", "  "):
        monkeypatch.setenv("XDG_DATA_HOME", base)
        assert default_path() == Path(platformdirs.user_data_dir("gpu-tui")) / "journal.db"


def test_the_default_folder_is_made_another_is_not(tmp_path: Path) -> None:
    with Journal(default_path(), writable=True) as journal:
        assert journal.add(run()) == 1
    assert default_path().parent.stat().st_mode & 0o777 == 0o700
    with pytest.raises(JournalError, match="no such file or directory"):
        Journal(tmp_path / "nope" / "j.db", writable=True)


def test_a_file_of_the_first_schema_is_brought_up_and_loses_nothing(path: Path) -> None:
    assert schema.VERSION == 4
    written(path, VERSION_1)
    with Journal(path) as journal:
        old = journal.get(1)
        assert (old.run.note, old.run.workload, old.run.samples) == ("an old one", {"requests": 20}, ())
        assert (old.figures["llm_ttft_p50_ms"], old.figures["kv_cache_tokens"], old.run.evaluation) == (
            41.5,
            None,
            None,
        )
    with Journal(path, writable=True) as journal:
        assert journal.add(run()) == 2
        assert [entry.id for entry in journal.entries()] == [2, 1]
        journal.delete(2)
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    fresh = path.with_name("fresh.db")
    Journal(fresh, writable=True).close()
    shapes = [
        {
            table: sqlite3.connect(file).execute(f"PRAGMA table_info({table})").fetchall()
            for table in ("runs", "samples")
        }
        for file in (path, fresh)
    ]
    assert shapes[0] == shapes[1]


def test_kinds_of_errors_decide_the_exit_code() -> None:
    assert issubclass(JournalRefused, ConfigError)
    assert issubclass(UnknownRun, UsageError)
    assert not issubclass(JournalError, (ConfigError, UsageError))
