"""The past judged against its own past: peaks of a recording up to the instant it stands at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_tui.cli.main import main
from gpu_tui.core.books import keep_books
from gpu_tui.core.peaks import PeakKeeper
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import SourceUnavailable
from gpu_tui.telemetry.recording.reader import Recording
from gpu_tui.units import MIB
from gpu_tui.wiring.recorded_peaks import LOOK_BACK_S, recorded_keepers, recorded_peaks
from tests.factories import KLOROS_HOLDS, kloros
from tests.telemetry.recordings import BEGUN, record

OLLAMA = 2387058


def told(second: float, ollama_mib: float) -> Snapshot:
    seen = kloros(holds={**KLOROS_HOLDS, OLLAMA: ollama_mib})
    return replace(seen, taken_at=BEGUN + second, taken_monotonic=second, simulated=False, source="nvml")


def peak_mib(path: Path, number: int) -> float | None:
    recording = Recording(path)
    found = recorded_peaks(recording, number, {"GPU-0"}, Classifier())
    recording.close()
    return found["GPU-0"].alone["ollama"].size / MIB if found else None


def test_what_came_before_counts_and_what_came_later_does_not(tmp_path: Path) -> None:
    path = record(tmp_path / "a.rec", [told(0, 100), told(1, 900), told(2, 100), told(3, 100), told(4, 2000)])
    assert [peak_mib(path, number) for number in range(5)] == [100, 900, 900, 900, 2000]


def test_it_looks_back_so_far_and_no_farther(tmp_path: Path) -> None:
    story = [told(0, 900), told(1, 500), told(LOOK_BACK_S, 100), told(LOOK_BACK_S + 1, 100), told(LOOK_BACK_S + 2, 100)]
    path = record(tmp_path / "a.rec", story)
    assert [peak_mib(path, number) for number in range(5)] == [900, 900, 900, 500, 100]


def test_what_could_not_be_read_tells_nothing_and_ends_nothing(tmp_path: Path) -> None:
    path = record(tmp_path / "a.rec", [told(0, 900), SourceUnavailable("The driver is gone.", "Wait."), told(2, 100)])
    assert peak_mib(path, 2) == 900
    path = record(tmp_path / "b.rec", [SourceUnavailable("The driver is gone.", "Wait."), told(1, 100)])
    assert peak_mib(path, 0) is None


def test_only_the_gpus_that_are_asked_about(tmp_path: Path) -> None:
    recording = Recording(record(tmp_path / "a.rec", [told(0, 900)]))
    assert recorded_peaks(recording, 0, {"GPU-7"}, Classifier()) == {}


def test_it_ends_early_where_it_is_told_so(tmp_path: Path) -> None:
    recording = Recording(record(tmp_path / "a.rec", [told(second, 100 + second) for second in range(9)]))
    answers = iter([False, False, True])
    (found,) = recorded_keepers(recording, 8, {"GPU-0"}, Classifier(), stop=lambda: next(answers)).values()
    assert found.peaks().alone["ollama"].size == 101 * MIB


def test_who_holds_the_same_under_another_name_has_a_peak_of_its_own(tmp_path: Path) -> None:
    first, later = told(0, 900), told(1, 900)
    renamed = replace(first.processes[OLLAMA], name="trainer", cmdline=("trainer",))
    later = replace(later, processes={**later.processes, OLLAMA: renamed})
    recording = Recording(record(tmp_path / "a.rec", [first, later, told(2, 900)]))
    (found,) = recorded_peaks(recording, 2, {"GPU-0"}, Classifier()).values()
    assert (found.alone["ollama"].size, found.alone["other"].size) == (900 * MIB, (900 + 242) * MIB)


@settings(max_examples=25)
@given(st.lists(st.sampled_from([100, 100, 100, 500, 900]), min_size=1, max_size=20))
def test_leaving_out_what_has_not_changed_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    story = [told(second * 50.0, size) for second, size in enumerate(sizes)]  # the recent while is six of them
    path = record(tmp_path_factory.mktemp("law") / "a.rec", story)
    keeper = PeakKeeper()
    for seen in story:
        keeper.add(seen.taken_at, keep_books(seen, seen.gpus[0], Classifier()))
    whole = keeper.peaks()
    found = recorded_peaks(Recording(path), len(sizes) - 1, {"GPU-0"}, Classifier())["GPU-0"]
    assert found == whole


def test_a_plan_that_held_then_and_not_against_what_was_known_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record(tmp_path / "a.rec", [told(0, 1068), told(1, 5000), told(2, 1068)])
    words = ["check", "--util", "0.5", "--replay"]
    assert main([*words, f"{path}@end"]) == 0
    capsys.readouterr()
    assert main([*words, f"{path}@end", "--against", "worst"]) == 1
    out = capsys.readouterr().out
    assert "ollama 1068 → 5000 MiB (measured: peak, 1 s ago)" in out
    assert "by the recording (an hour back at most)" in out
    assert main([*words, f"{path}@start", "--against", "worst"]) == 0
    assert "No tenant is known to take more than now." in capsys.readouterr().out
