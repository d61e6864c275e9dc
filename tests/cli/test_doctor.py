"""``doctor``: every line says what is and, where something is not, what to do."""

import json
import socket
from pathlib import Path

import pytest

from gpu_tui.cli.host import Level, answers, container_kind, host_findings, terminal_findings
from gpu_tui.cli.main import main


def test_on_the_demo_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--demo", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["ok"]) == (1, True)
    names = [one["name"] for one in told["checks"]]
    assert {"configuration", "driver", "GPU 0", "command lines", "endpoints", "/proc", "TERM", "size"} <= set(names)
    for one in told["checks"]:
        assert list(one) == ["name", "level", "message", "remedy"]
        assert one["level"] in ("ok", "warn", "fail")
        assert one["remedy"] or one["level"] != "fail"


def test_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--demo"]) == 0
    told = capsys.readouterr().out
    assert "✓ configuration" in told
    assert "! driver         SIMULATED: scenario kloros" in told


def test_a_mistaken_configuration_is_a_finding_and_exits_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("gpv = 1")
    assert main(["doctor", "--demo", "--config", str(file)]) == 2
    told = capsys.readouterr().out
    assert "✗ configuration" in told
    assert "-> Did you mean gpu?" in told
    assert "driver" in told


def test_a_machine_of_which_little_is_known(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "machine.json"
    hidden = {"pid": 10, "name": "python", "problem": "permission denied"}
    gpu = {"total_mib": 12288, "free_mib": 9000, "mig_enabled": True}
    file.write_text(json.dumps({"gpu": gpu, "processes": [hidden]}))
    assert main(["doctor", "--scenario", str(file), "--json"]) == 0
    told = {one["message"]: one for one in json.loads(capsys.readouterr().out)["checks"]}
    assert any("MIG" in message and one["level"] == "fail" for message, one in told.items())
    assert any("memory v1" in message and "0 of 1" in message for message in told)
    assert any(message.startswith("not readable for 1 of 1 processes (permission denied)") for message in told)


def test_a_port_is_tried_without_a_word_to_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert answers(f"http://127.0.0.1:{port}/v1")
        assert answers(f"127.0.0.1:{port}")
    assert not answers(f"http://127.0.0.1:{port}")


def root(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        file = tmp_path / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def test_wsl_and_containers_are_named(tmp_path: Path) -> None:
    assert container_kind(tmp_path) is None
    at = root(
        tmp_path, proc__sys__kernel__osrelease="5.15.0-microsoft-standard-WSL2\n", proc__1__cgroup="0::/docker/ab"
    )
    assert container_kind(at) == "docker"
    assert {"WSL"} <= {finding.name for finding in host_findings(at)}


def test_hidepid_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    plain = root(tmp_path / "a", proc__self__mounts="proc /proc proc rw,nosuid 0 0\n")
    hiding = root(tmp_path / "b", proc__self__mounts="proc /proc proc rw,hidepid=invisible 0 0\n")
    levels = [next(f.level for f in host_findings(at) if f.name == "/proc") for at in (plain, hiding)]
    assert levels == [Level.OK, Level.WARN]


def test_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "20")
    found = {finding.name: finding for finding in terminal_findings()}
    assert (found["TERM"].level, found["size"].level, found["size"].message) == (Level.WARN, Level.WARN, "60x20")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "none (NO_COLOR)" in {finding.name: finding for finding in terminal_findings()}["TERM"].message
