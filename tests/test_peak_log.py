"""Peaks of a machine that is watched day and night: kept in the file that check and the explorer read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_tui.clock import ManualClock
from gpu_tui.config import Settings
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.telemetry.peaks_file import read
from gpu_tui.units import MIB
from gpu_tui.wiring.peak_log import KEEP_EVERY_S, PeakLog
from tests.factories import KLOROS_HOLDS, kloros

OLLAMA = 2387058
PATIENCE_S = 30.0


def seen(at: float, ollama_mib: float, **fields: object) -> Snapshot:
    machine = kloros(holds={**KLOROS_HOLDS, OLLAMA: ollama_mib})
    told: dict[str, object] = {"simulated": False, "source": "nvml", "taken_at": 1e9 + at, **fields}
    return replace(machine, **told)  # type: ignore[arg-type]


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "peaks.json"


def ollama_mib(file: Path) -> float:
    return read(file)["GPU-0"].alone["ollama"].size / MIB


def test_they_are_written_every_minute_and_at_the_end(file: Path) -> None:
    clock = ManualClock()
    log = PeakLog(Settings(peaks=str(file)), clock, pytest.fail)
    log.see(seen(0, 900))
    log.see(seen(1, 100))
    assert not file.exists()
    clock.advance(KEEP_EVERY_S)
    log.see(seen(2, 100))
    until(file.exists)
    assert ollama_mib(file) == 900
    log.see(seen(3, 1500))
    log.close(PATIENCE_S)
    assert ollama_mib(file) == 1500


def test_what_others_kept_stays(file: Path) -> None:
    for size in (2000, 100):
        log = PeakLog(Settings(peaks=str(file)), ManualClock(), pytest.fail)
        log.see(seen(0, size))
        log.close(PATIENCE_S)
    assert ollama_mib(file) == 2000


@pytest.mark.parametrize("fields", [{"simulated": True, "source": "demo"}, {"source": "replay"}])
def test_of_no_other_machine_anything_is_kept(file: Path, fields: dict[str, object]) -> None:
    log = PeakLog(Settings(peaks=str(file)), ManualClock(), pytest.fail)
    log.see(seen(0, 900, **fields))
    log.close(PATIENCE_S)
    assert not file.exists()


def test_switched_off_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = PeakLog(Settings(peaks="off"), ManualClock(), pytest.fail)
    log.see(seen(0, 900))
    log.close(PATIENCE_S)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told_once_until_it_can(tmp_path: Path) -> None:
    place = tmp_path / "state"
    place.write_text("a file where a folder belongs")
    said: list[str] = []
    log = PeakLog(Settings(peaks=str(place / "peaks.json")), ManualClock(), said.append)
    log.see(seen(0, 900))
    for _ in range(2):
        log.close(PATIENCE_S)
    assert len(said) == 1
    assert "cannot be kept" in said[0]
    assert "peaks = FILE" in said[0]
    place.unlink()
    log.close(PATIENCE_S)
    assert ollama_mib(place / "peaks.json") == 900
    place.rename(tmp_path / "elsewhere")
    place.write_text("again")
    log.close(PATIENCE_S)
    assert len(said) == 2


def test_other_settings_begin_anew_elsewhere(file: Path, tmp_path: Path) -> None:
    log = PeakLog(Settings(peaks=str(file)), ManualClock(), pytest.fail)
    log.see(seen(0, 900))
    log.reload(Settings(peaks=str(tmp_path / "other.json")))
    log.see(seen(1, 100))
    log.close(PATIENCE_S)
    assert ollama_mib(tmp_path / "other.json") == 100
    assert not file.exists()
