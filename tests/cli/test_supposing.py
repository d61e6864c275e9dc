"""``check`` with roles supposed, peaks and headroom; on the stand-in driver where peaks were kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from gpu_tui.cli.main import main
from gpu_tui.core.peaks import Instant, Peaks, Seen
from gpu_tui.telemetry.peaks_file import add
from tests.standin import MIB, Sleepers, StandIn, known_machine

UUID = "GPU-00000000-0000-4000-8000-000000000000"


def check(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    code = main(["check", "--demo", *words])
    out, err = capsys.readouterr()
    return code, json.loads(out) if "--json" in words else out, err


def test_a_stopped_tenant_frees_its_memory_and_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code, told, _ = check(capsys, "--util", "0.88", "--what-if", "ollama=stopped")
    assert code == 0
    assert told.splitlines()[2] == "What if ollama is stopped: 1068 MiB come free."
    assert "1068 MiB  stopped (what if)" in told
    code, told, _ = check(capsys, "--util", "0.88", "--json")
    assert (code, told["what_if"], told["against"]) == (1, {}, "now")
    code, told, _ = check(capsys, "--util", "0.88", "--what-if", "ollama=stopped", "--json")
    assert (code, told["what_if"]) == (0, {"ollama": "stopped"})
    assert told["persistent_mib"] == 1194.0
    assert told["services"]["ollama"]["persistent"] is False


def test_a_judge_that_keeps_its_memory_leaves_only_what_is_free(capsys: pytest.CaptureFixture[str]) -> None:
    code, told, _ = check(capsys, "--util", "0.5", "--what-if", "judge=persistent", "--json")
    assert (code, told["available_mib"], told["services"]["judge"]["persistent"]) == (1, 3892.0, True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--what-if", "olama=stopped"), "there is no service 'olama' here"),
        (("--what-if", "ollama"), "'ollama' is not NAME=persistent"),
        (("--what-if", "ollama=off"), "'ollama=off' is not NAME=persistent"),
        (("--against", "yesterday"), "invalid choice"),
        (("--headroom-pct", "101"), "model.headroom_pct"),
        (("--headroom-mib", "-1"), "model.headroom_mib"),
    ],
)
def test_a_mistake_is_told(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str) -> None:
    try:
        code = main(["check", "--demo", "--util", "0.5", *words])
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    assert code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--headroom-mib", "1229"), ("--headroom-pct", "10")])
def test_headroom_is_kept_and_told(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    _, told, _ = check(capsys, "--util", "0.5", *words, "--json")
    assert told["headroom_mib"] == pytest.approx(1229, abs=1)
    assert told["feasible"]["max"] == 0.7159  # (10026 − 1229) / 12288, rounded down
    assert told["checks"][1]["need_mib"] == pytest.approx(6070 + 1229, abs=1)
    assert told["checks"][2]["need_mib"] == pytest.approx(6144 + 1229, abs=1)
    _, told, _ = check(capsys, "--util", "0.5", *words)
    assert "Headroom: 1229 MiB are kept free (assumed: flag --headroom" in told


def test_the_worst_case_by_the_users_own_word(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[[services]]\nname = "ollama"\nmatch = "ollama"\nif_loaded_mib = 5000\n')
    words = ("--config", str(file), "--util", "0.5", "--against", "worst")
    code, told, _ = check(capsys, *words)
    assert code == 1
    assert "ollama 1068 → 5000 MiB (assumed: configured: if_loaded_mib)" in told
    assert "Feasible 0.4940–0.4959 against worst case (now 0.4940–0.8159): ollama +3932 MiB" in told
    assert "No peaks are known of this GPU" in told
    code, told, _ = check(capsys, *words, "--json")
    assert told["peaks"] is None
    assert told["feasible_now"] == {"min": 0.494, "max": 0.8159}
    assert told["tenants"]["ollama"]["judged_mib"] == 5000.0
    assert told["tenants"]["ollama"]["origin"]["kind"] == "assumed"


def run(standin: StandIn, state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gpu_tui", "check", "--util", "0.5", *words]
    env = standin.env() | {"XDG_STATE_HOME": str(state)}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_peaks_that_the_explorer_kept_are_judged_against(standin: StandIn, sleepers: Sleepers, tmp_path: Path) -> None:
    known_machine(standin, sleepers)
    state = tmp_path / "state"
    peaks = Peaks(
        since=1e9,
        until=1e9 + 7200,
        alone={"ollama": Seen(size=5200 * MIB, at=1e9), "kloros": Seen(size=2000 * MIB, at=1e9 + 7200)},
        together=(Instant(at=1e9, held={"ollama": 3000 * MIB, "kloros": 952 * MIB, "other": 242 * MIB}),),
    )
    add(state / "gpu-tui" / "peaks.json", {UUID: peaks})
    now, together, worst = (run(standin, state, "--against", against) for against in ("now", "peaks", "worst"))
    assert [done.returncode for done in (now, together, worst)] == [0, 0, 1]
    assert "ollama 1068 → 3000 MiB (measured: held together with the others, 2 h ago)" in together.stdout
    assert "ollama 1068 → 5200 MiB (measured: peak, 2 h ago)" in worst.stdout
    assert "Peaks are known from 2001-09-09 01:46 UTC to 2001-09-09 03:46 UTC" in worst.stdout
    told = json.loads(run(standin, state, "--against", "worst", "--json").stdout)
    assert told["available_mib"] == 10026 - (5200 - 1068) - (2000 - 952)


@pytest.mark.parametrize("command", [["watch"], ["exporter", "--listen", "127.0.0.1:0"]])
def test_peaks_that_a_watch_or_an_exporter_saw_are_judged_against(
    standin: StandIn, sleepers: Sleepers, tmp_path: Path, command: list[str]
) -> None:
    pids = known_machine(standin, sleepers)
    (ollama,) = [row for row in standin.state.devices[0].processes if row.pid == pids["ollama"]]
    ollama.used_mib = 3068
    standin.write()
    env = standin.env() | {"XDG_STATE_HOME": str(tmp_path)}
    words = [sys.executable, "-m", "gpu_tui", *command, "--interval", "0.1"]
    seeing = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert seeing.stderr is not None
    assert seeing.stdout is not None
    if command == ["watch"]:
        while "valid" not in seeing.stdout.readline():
            assert seeing.poll() is None
    else:
        url = next(line for line in seeing.stderr if "Serving " in line).split("Serving ", 1)[1].strip()
        end = time.monotonic() + 30
        while "gpu_tui_up 1.0" not in urllib.request.urlopen(url, timeout=10).read().decode():
            assert time.monotonic() < end
            time.sleep(0.02)
    seeing.send_signal(signal.SIGTERM)
    _, err = seeing.communicate(timeout=60)
    assert seeing.returncode == 0, err
    ollama.used_mib = 1068
    standin.write()
    told = run(standin, tmp_path, "--against", "worst").stdout
    assert "ollama 1068 → 3068 MiB (measured: peak," in told
    assert "while the explorer or watch ran" in told


def test_peaks_that_cannot_be_read_are_told_and_the_rest_is_judged(
    standin: StandIn, sleepers: Sleepers, tmp_path: Path
) -> None:
    known_machine(standin, sleepers)
    file = tmp_path / "peaks.json"
    file.write_text("{")
    (tmp_path / "gpu-tui").mkdir()
    file.replace(tmp_path / "gpu-tui" / "peaks.json")
    done = run(standin, tmp_path, "--against", "worst")
    assert done.returncode == 0
    assert "do not mean anything" in done.stderr
    assert "No peaks are known of this GPU" in done.stdout
