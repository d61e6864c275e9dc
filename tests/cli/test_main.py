"""The command line itself: flags before and after, help, mistakes, and the ways out."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import shtab

from gpu_tui import __version__
from gpu_tui.cli.main import COMMANDS, COMPLETE_FILE, main

GPU_TUI = (sys.executable, "-m", "gpu_tui")


def run(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*GPU_TUI, *words], capture_output=True, text=True, timeout=60, check=False, **more)


def usage(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"gpu-tui {__version__}\n"


def test_help_names_every_command_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    assert all(f"    {name} " in told for name in COMMANDS)
    assert "--interval" in told
    assert "gpu-tui check --util 0.50" in told


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help_with_the_global_flags(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    told = capsys.readouterr().out
    assert all(flag in told for flag in ("--gpu", "--config", "--restarts", "--demo", "--scenario"))


@pytest.mark.parametrize(
    "words",
    [
        ["--demo", "check", "--util", "0.4", "--json"],
        ["check", "--util", "0.4", "--json", "--demo"],
        ["--scenario", "oom", "check", "--scenario", "kloros", "--util", "0.4", "--json"],
    ],
)
def test_global_flags_stand_before_or_after(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 1
    assert json.loads(capsys.readouterr().out)["deficit_mib"] == 1154.8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chekc"], "invalid choice: 'chekc'"),
        (["check", "--util", "abc"], "'abc' is not a number"),
        (["check", "--util", "nan"], "'nan' is not above 0 and at most 1"),
        (["check", "--util", "0"], "'0' is not above 0 and at most 1"),
        (["check", "--util=-0.5"], "'-0.5' is not above 0 and at most 1"),
        (["check", "--util", "1.0001"], "'1.0001' is not above 0"),
        (["check", "--util", "inf"], "'inf' is not above 0"),
        (["check", "--util", "50%"], "'50%' is not a number"),
        (["check", "--util", "0.5", "--uti", "0.5"], "unrecognized arguments: --uti"),
        (["--restarts", "x", "services"], "'x' is neither a pid nor a port"),
        (["services", "--restarts", "0"], "'0' is neither a pid nor a port"),
        (["completion", "fish"], "invalid choice: 'fish'"),
    ],
)
def test_wrong_usage_is_one_line_and_a_hint(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = usage(capsys, *words)
    assert said in told
    assert told.endswith("--help.\n")
    assert len(told.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config", "/nope.toml", "services"], "The configuration file /nope.toml does not exist."),
        (["--scenario", "klorox", "services"], "There is no scenario 'klorox'."),
        (["services", "--demo", "--gpu", "7"], "There is no GPU '7' here."),
        (["check", "--demo", "--util", "0.5", "--gpu", "-1"], "There is no GPU '-1' here."),
        (["check", "--demo", "--util", "0.5", "--model-mib", "-5"], "--model-mib: model.model_mib is -5.0."),
        (["check", "--demo", "--util", "0.5", "--min-kv-mib", "nan"], "--min-kv-mib: model.min_kv_cache_mib is nan."),
        (["check", "--demo", "--util", "0.5", "--restarts", "99999999"], "No vLLM instance has the pid 99999999."),
        (["check", "--scenario", "h100x8", "--util", "0.5"], "This machine has 8 GPUs and none was chosen."),
    ],
)
def test_mistakes_are_two_sentences_and_exit_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err


def test_a_mistake_in_the_environment_exits_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GPU_TUI_MODEL_MODEL_MIB", "big")
    assert main(["check", "--demo", "--util", "0.5"]) == 2
    assert "GPU_TUI_MODEL_MODEL_MIB: model.model_mib is 'big'." in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [("services", "--demo", "--json"), ("config",), ("check", "--demo", "--util", "0.5")])
def test_a_full_disk_is_no_success(words: tuple[str, ...]) -> None:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    for env in (buffered, {**buffered, "PYTHONUNBUFFERED": "1"}):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [*GPU_TUI, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False, env=env
            )
        assert done.returncode == 74
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        assert "could not be written" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_from_the_start(closed: str) -> None:
    for words, code in (("check --demo --util 0.4", 1), ("evaluate --demo", 0), ("services --demo", 0)):
        shell = ["sh", "-c", f'"$0" -m gpu_tui {words} {closed}', sys.executable]
        done = subprocess.run(shell, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, "mistake" in done.stderr) == (code, False)


def test_a_reader_that_goes_away_is_met_quietly() -> None:
    process = subprocess.Popen(
        [*GPU_TUI, "evaluate", "--demo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(b'{"vllm_memory_util": 0.4}\n')
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.close()
    process.stdin.write(b'{"vllm_memory_util": 0.4}\n' * 3)
    process.stdin.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 141
    assert err == "gpu-tui: SIMULATED: these results are not about this machine.\n"


def test_ctrl_c_is_130_without_a_word() -> None:
    process = subprocess.Popen(
        [*GPU_TUI, "evaluate", "--demo"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write('{"vllm_memory_util": 0.4}\n')
    process.stdin.flush()
    process.stdout.readline()  # from here on it waits for the next line
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_our_own_mistake_is_told_as_one(tmp_path: Path) -> None:
    # A library that lies about itself is the nearest thing to a bug of ours that can be had from outside.
    (tmp_path / "tomllib.py").write_text("def loads(text):\n    raise ZeroDivisionError('\\x1b[2J of \\nours')\n")
    (tmp_path / "c.toml").write_text("gpu = 0")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = run("services", "--config", str(tmp_path / "c.toml"), env=env)
    assert done.returncode == 70
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    assert "has made a mistake" in done.stderr
    debugged = run("services", "--config", str(tmp_path / "c.toml"), env={**env, "GPU_TUI_DEBUG": "1"})
    assert debugged.returncode == 70
    assert "Traceback" in debugged.stderr


def test_a_locale_that_cannot_show_signs_gets_words() -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = run("check", "--demo", "--util", "0.4", env=env)
    assert done.returncode == 1
    assert "FAIL model and KV cache" in done.stdout
    assert done.stdout.isascii()


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_the_commands(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS)


def test_files_are_completed_as_shtab_means_it() -> None:
    assert {shell: shtab.FILE[shell] for shell in ("bash", "zsh", "tcsh")} == COMPLETE_FILE
