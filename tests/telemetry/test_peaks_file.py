"""The file of peaks: what is written is read again, two writers lose nothing, and what is damaged is told."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.peaks import Instant, Peaks, Seen
from gpu_tui.errors import GpuTuiError
from gpu_tui.telemetry.peaks_file import add, default_path, read

names = st.text(max_size=20)
sizes = st.integers(0, 2**50)
instants = st.floats(0, 4e9)
seen = st.dictionaries(names, st.builds(Seen, size=sizes, at=instants), max_size=5)
peaks = st.builds(
    Peaks,
    since=instants,
    until=instants,
    alone=seen,
    reported=seen,
    together=st.lists(st.builds(Instant, at=instants, held=st.dictionaries(names, sizes, max_size=4)), max_size=4).map(
        tuple
    ),
)


@given(st.dictionaries(names, peaks, max_size=3))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, known: dict[str, Peaks]) -> None:
    path = tmp_path_factory.mktemp("peaks") / "gpu-tui" / "peaks.json"
    add(path, known)
    assert read(path) == known


def one(size: int, at: float) -> dict[str, Peaks]:
    held = Instant(at=at, held={"ollama": size})
    return {"GPU-0": Peaks(since=at, until=at, alone={"ollama": Seen(size=size, at=at)}, together=(held,))}


def test_the_larger_of_two_writers_stands_and_the_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "peaks.json"
    add(path, one(500, 10))
    add(path, one(300, 20))
    found = read(path)["GPU-0"]
    assert found.alone["ollama"] == Seen(size=500, at=10)
    assert (found.since, found.until) == (10, 20)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["peaks.json"]


def test_no_file_is_no_peaks(tmp_path: Path) -> None:
    assert read(tmp_path / "none.json") == {}


GOOD = {"since": 1, "until": 2, "alone": {"a": [1, 2]}, "together": [], "reported": {}}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"schema": 1}',
        json.dumps({"schema": 1, "gpus": {"x": GOOD | {"alone": {"a": [-1, 2]}}}}),
        json.dumps({"schema": 1, "gpus": {"x": GOOD | {"alone": {"a": [1.5, 2]}}}}),
        json.dumps({"schema": 1, "gpus": {"x": GOOD | {"together": [{"at": 1}]}}}),
        "\xff\xfe",
    ],
)
def test_what_means_nothing_is_refused_and_never_overwritten(tmp_path: Path, content: str) -> None:
    path = tmp_path / "peaks.json"
    path.write_bytes(content.encode("latin-1"))
    for attempt in (lambda: read(path), lambda: add(path, one(1, 1))):
        with pytest.raises(GpuTuiError, match="do not mean anything"):
            attempt()
    assert path.read_bytes() == content.encode("latin-1")


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "peaks.json"
    path.write_text('{"schema": 2, "gpus": {}}')
    with pytest.raises(GpuTuiError, match="schema 2"):
        read(path)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GpuTuiError, match="cannot be kept"):
        add(tmp_path / "file" / "peaks.json", one(1, 1))


def test_where_it_is_by_the_xdg_rules() -> None:
    assert default_path({"XDG_STATE_HOME": "/x"}) == Path("/x/gpu-tui/peaks.json")
    assert default_path({}) == Path.home() / ".local/state/gpu-tui/peaks.json"
