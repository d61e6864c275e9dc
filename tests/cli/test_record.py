"""``gpu-tui record`` and ``--replay`` as a user meets them: in processes of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpu_tui.cli.main import main
from tests.standin import Sleepers, StandIn, known_machine
from tests.telemetry.recordings import BEGUN, day, real, record

GPU_TUI = (sys.executable, "-m", "gpu_tui")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*GPU_TUI, *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def past(tmp_path: Path) -> Path:
    return record(tmp_path / "past.rec", real(day(60)))


def test_recording_and_asking_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    done = run("record", str(path), "--demo", "--duration", "0.3", "--interval", "0.1")
    assert done.returncode == 0
    assert done.stdout.startswith(f"{path}: ")
    assert "SIMULATED" in done.stderr
    asked = run("check", "--util", "0.4", "--json", "--replay", str(path))
    told = json.loads(asked.stdout)
    assert (asked.returncode, told["source"], told["simulated"]) == (1, "replay", True)
    assert "REPLAY: a.rec" in asked.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "a.rec"
    process = subprocess.Popen(
        [*GPU_TUI, "record", str(path), "--scenario", "kloros", "--interval", "0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 30
    while not (path.exists() and path.stat().st_size > 700) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "observation" in out
    shown = subprocess.run(["gzip", "-t"], input=path.read_bytes(), capture_output=True, check=False)
    assert shown.returncode == 0


def test_a_second_recorder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    first = subprocess.Popen(
        [*GPU_TUI, "record", str(path), "--demo", "--duration", "30"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert first.stderr is not None
    while b"Recording into" not in first.stderr.readline():
        pass
    second = run("record", str(path), "--demo", "--duration", "1")
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=30)
    assert second.returncode == 2
    assert "by another gpu-tui" in second.stderr


def test_an_instant_of_a_real_machine_is_measured_then(past: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--util", "0.40", "--json", "--replay", f"{past}@+30s"]) == 1
    told = json.loads(capsys.readouterr().out)
    origin = told["origins"]["used_mib"]
    assert (told["source"], told["simulated"], origin["kind"]) == ("replay", False, "measured")
    assert origin["source"].startswith("replay past.rec @ 20")
    assert main(["check", "--util", "0.50", "--replay", f"{past}@start"]) == 0


def test_services_tell_the_figures_of_that_instant(past: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for second in (0, 30):
        assert main(["services", "--json", "--replay", f"{past}@+{second}s"]) == 0
        told.append(json.loads(capsys.readouterr().out)["gpus"][0]["gpu"]["used_mib"])
    wanted = [one.gpus[0].used_bytes for one in (day(31)[0], day(31)[30])]  # type: ignore[union-attr]
    assert told == [None if size is None else size / 2**20 for size in wanted]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("services", "--demo"), "name two machines"),
        (("check", "--util", "0.5", "--scenario", "oom"), "name two machines"),
        (("measure",), "a recording has none"),
        (("record", "b.rec"), "is kept already"),
        (("exporter", "--listen", "127.0.0.1:0"), "of a machine now"),
        (("history",), "keeps no runs"),
        (("history", "--deployments"), "keeps no runs"),
        (("check", "--util", "0.5", "--learned"), "Leave it out"),
    ],
)
def test_what_contradicts_a_replay_is_refused(
    past: Path, words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--replay", str(past)]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("when", ["25:00", "noon", "+5h", "200%", "14:60", "2020-01-01", "", "-"])
def test_a_time_that_is_none_or_outside_is_refused(past: Path, when: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["services", "--replay", f"{past}@{when}"]) == 2
    err = capsys.readouterr().err
    assert "is no time" in err or "is not in" in err


@pytest.mark.parametrize("command", ["services", "doctor", "config", "completion"])
def test_commands_take_a_replay(past: Path, command: str) -> None:
    words = [command, "bash"] if command == "completion" else [command]
    assert run(*words, "--replay", str(past)).returncode == 0


def test_the_evaluator_judges_a_recording_and_measures_nothing(past: Path) -> None:
    told = json.loads(run("evaluate", '{"vllm_memory_util": 0.5}', "--replay", str(past)).stdout)
    assert told["status"] == "unmeasured"
    assert "A recording has no services" in told["validation_reason"]
    assert json.loads(run("evaluate", '{"vllm_memory_util": 0.4}', "--replay", str(past)).stdout)["status"] == (
        "invalid_production"
    )


def test_a_file_with_an_at_sign_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(tmp_path / "me@home.rec", real(day(20)))
    for words in (str(path), f"{path}@50%"):
        assert main(["services", "--replay", words]) == 0
        assert "me@home.rec @" in capsys.readouterr().out


def test_a_torn_file_is_told_on_standard_error(past: Path, capsys: pytest.CaptureFixture[str]) -> None:
    past.write_bytes(past.read_bytes()[:-20])
    assert main(["services", "--replay", str(past)]) == 0
    assert "was cut off" in capsys.readouterr().err


def test_a_fault_is_an_observation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from gpu_tui.errors import SourceUnavailable

    path = record(tmp_path / "a.rec", [*real(day(3)), SourceUnavailable("Gone.", "Come back.", kind="gpu_lost")])
    assert main(["services", "--replay", str(path)]) == 3
    assert "Gone." in capsys.readouterr().err
    assert main(["services", "--replay", f"{path}@+2s"]) == 0


def test_times_of_the_day_are_local(past: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        from gpu_tui.clock import ManualClock
        from gpu_tui.wiring.replaying import open_replay

        source = open_replay(f"{past}@09:00:30", ManualClock())
        assert source.position().at == BEGUN + 30
        source.close()
        source = open_replay(f"{past}@2026-01-01T00:00:10+00:00", ManualClock())
        assert source.position().at == BEGUN + 10
        source.close()
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_real_machine_is_recorded_and_judged_again(standin: StandIn, sleepers: Sleepers, tmp_path: Path) -> None:
    pids = known_machine(standin, sleepers)
    path = tmp_path / "live.rec"
    words = ("record", str(path), "--duration", "1.2", "--interval", "0.3")
    done = subprocess.run(
        [*GPU_TUI, *words], env=standin.env(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    # Neither the driver nor the processes are asked again: this interpreter has no driver at all.
    for util, code in (("0.40", 1), ("0.50", 0)):
        asked = run("check", "--util", util, "--json", "--replay", str(path))
        told = json.loads(asked.stdout)
        assert (asked.returncode, told["simulated"]) == (code, False)
    assert told["services"]["judge"]["pids"] == [pids["judge"]]
    assert told["services"]["judge"]["memory_mib"] == 6134.0
