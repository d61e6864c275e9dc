"""``config``: what it prints is itself a configuration, and tells where each value comes from."""

import tomllib
from pathlib import Path

import pytest

from gpu_tui import config
from gpu_tui.cli.main import main
from gpu_tui.config import Settings

TEXT = """
gpu = 1
[model]
model_mib = 4321.5
[evaluator.weights]
stt = 0.5
[endpoints]
llm = "http://127.0.0.1:8000"
[[services]]
name = "whisper"
match = '^(\\S+/)?whisper "x" \\d'
field = "cmdline"
"""


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["config", *words]) == 0
    return capsys.readouterr().out


def test_each_value_is_told_with_its_origin(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "c.toml"
    file.write_text(TEXT)
    monkeypatch.setenv("GPU_TUI_MODEL_MIN_KV_CACHE_MIB", "300")
    told = {
        line.split("#")[0].strip(): line for line in printed(capsys, "--config", str(file), "--gpu", "0").splitlines()
    }
    assert told['gpu = "0"'].endswith("# flag --gpu")
    assert told["model_mib = 4321.5"].endswith(f"# file {file}")
    assert told["min_kv_cache_mib = 300.0"].endswith("# environment GPU_TUI_MODEL_MIN_KV_CACHE_MIB")
    assert told["interval_s = 1.0"].endswith("# default")


def test_the_output_read_back_is_the_same_settings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file, again = tmp_path / "c.toml", tmp_path / "again.toml"
    file.write_text(TEXT)
    again.write_text(printed(capsys, "--config", str(file)))
    first, second = config.load(file, {}), config.load(again, {})
    for key in config.KEYS:
        assert first.at(key) == second.at(key)


def test_every_key_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    told = printed(capsys)
    tomllib.loads(told)
    assert all(key.rpartition(".")[2] in told for key in config.KEYS)
    assert [rule["name"] for rule in tomllib.loads(told)["services"]] == [rule.name for rule in Settings().services]


def test_the_path_is_told_even_of_a_mistaken_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("gpu = [")
    assert printed(capsys, "--config", str(file), "--path") == f"{file}\n"
    assert printed(capsys, "--path") == f"{config.default_path()}\n"


def test_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("gpu = 1")
    assert printed(capsys, "--check", "--config", str(file)).startswith("The settings are in order")
    file.write_text("gpv = 1")
    assert main(["config", "--check", "--config", str(file)]) == 2
    assert "Did you mean gpu?" in capsys.readouterr().err


def test_a_password_in_an_address_is_not_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[endpoints]\nllm = 'http://user:geheim@host:8000'\n")
    assert "geheim" not in printed(capsys, "--config", str(file))
