"""``check`` and ``services`` on machines described in files."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gpu_tui.cli.main import main


def check(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    code = main(["check", *words])
    out, err = capsys.readouterr()
    return code, json.loads(out) if "--json" in words else out, err


def scenario(tmp_path: Path, value: dict[str, Any]) -> str:
    file = tmp_path / "machine.json"
    file.write_text(json.dumps(value))
    return str(file)


def test_invalid_at_040(capsys: pytest.CaptureFixture[str]) -> None:
    code, told, err = check(capsys, "--demo", "--util", "0.40", "--json")
    assert (code, told["valid"], told["source"], told["simulated"]) == (1, False, "demo", True)
    assert told["deficit_mib"] == 1154.8
    assert told["feasible"] == {"min": 0.494, "max": 0.8159}
    assert "SIMULATED" in err


def test_valid_at_050(capsys: pytest.CaptureFixture[str]) -> None:
    code, told, _ = check(capsys, "--scenario", "kloros", "--util", "0.50", "--json")
    assert (code, told["valid"], told["source"], told["kv_cache_mib"]) == (0, True, "scenario", 444.0)


def test_the_text_begins_with_the_reason_to_the_letter(capsys: pytest.CaptureFixture[str]) -> None:
    code, told, _ = check(capsys, "--demo", "--util", "0.4")
    lines = told.splitlines()
    assert code == 1
    assert lines[0] == "VLLM allocation (4915MB) too small for model+cache (need 6070MB, deficit: 1155MB)"
    assert re.search(r"✗ model and KV cache +need +6070 +have +4915 +deficit +1155 MiB", told)
    assert re.search(r"✓ persistent services +need +6070 +have +10026 +margin +3956 MiB", told)
    assert "Feasible: 0.4940–0.8159" in told
    assert re.search(r"judge +6134 MiB +restarts +pid 2839331", told)
    assert "SIMULATED: scenario kloros" in told


def test_what_is_assumed_is_told_with_its_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GPU_TUI_MODEL_MIN_KV_CACHE_MIB", "100")
    file = tmp_path / "c.toml"
    file.write_text("[model]\nstartup_overhead_mib = 300\n")
    words = ("--demo", "--util", "0.5", "--model-mib", "6000", "--config", str(file))
    _, told, _ = check(capsys, *words)
    assert re.search(r"model +6000 MiB  flag --model-mib", told)
    assert re.search(r"minimum KV cache +100 MiB  environment GPU_TUI_MODEL_MIN_KV_CACHE_MIB", told)
    assert re.search(rf"startup overhead +300 MiB  {re.escape(str(file))}: model.startup_overhead_mib", told)
    code, as_json, _ = check(capsys, *words, "--json")
    assert (code, as_json["model_mib"], as_json["min_kv_cache_mib"]) == (0, 6000.0, 100.0)
    assert as_json["checks"][2]["need_mib"] == 6444.0


def test_a_scenario_s_model_outranks_the_default_and_not_the_user(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = scenario(tmp_path, {"gpu": {"total_mib": 12288}, "model": {"model_mib": 4000, "min_kv_cache_mib": 10}})
    _, told, _ = check(capsys, "--scenario", file, "--util", "0.5", "--json")
    assert (told["model_mib"], told["min_kv_cache_mib"]) == (4000.0, 10.0)
    _, told, _ = check(capsys, "--scenario", file, "--util", "0.5", "--json", "--model-mib", "5000")
    assert (told["model_mib"], told["min_kv_cache_mib"]) == (5000.0, 10.0)


def test_a_tight_plan_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Tight: only 196 MiB are left" in check(capsys, "--demo", "--util", "0.8")[1]
    assert "Tight" not in check(capsys, "--demo", "--util", "0.5")[1]


def test_no_room_at_all_says_how_much_to_free(capsys: pytest.CaptureFixture[str]) -> None:
    code, told, _ = check(capsys, "--scenario", "oom", "--util", "0.5", "--json")
    assert (code, told["feasible"]) == (1, None)
    assert "; no utilization fits: free at least " in told["reason"]


def test_unknown_is_3(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    server = {"pid": 10, "name": "vllm", "cmdline": "vllm serve x --port 8000"}
    file = scenario(tmp_path, {"gpu": {"total_mib": 12288, "free_mib": 4000}, "processes": [server]})
    code, told, _ = check(capsys, "--scenario", file, "--util", "0.5", "--json")
    assert (code, told["valid"], told["status"]) == (3, None, "unknown")
    code, words, _ = check(capsys, "--scenario", file, "--util", "0.5")
    assert code == 3
    assert words.startswith("Unknown: the driver does not report the memory of judge")
    assert "? persistent services" in words


def test_mig_is_3_with_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = scenario(tmp_path, {"gpu": {"total_mib": 81559, "mig_enabled": True}})
    code = main(["check", "--scenario", file, "--util", "0.5"])
    out, err = capsys.readouterr()
    assert (code, out) == (3, "")
    assert "MIG" in err


TWO = {
    "gpus": [{"total_mib": 12288}, {"total_mib": 12288}],
    "processes": [{"pid": 10, "name": "python", "cmdline": "python train.py", "used_mib": 9000, "gpu": 1}],
}


@pytest.mark.parametrize(
    ("util", "code", "valid"), [("0.5", 1, False), ("0.2", 1, False)], ids=["one-invalid", "both-invalid"]
)
def test_all_gpus(capsys: pytest.CaptureFixture[str], tmp_path: Path, util: str, code: int, valid: bool) -> None:
    got, told, _ = check(capsys, "--scenario", scenario(tmp_path, TWO), "--gpu", "all", "--util", util, "--json")
    assert (got, told["valid"], list(told)) == (code, valid, ["schema", "valid", "gpus"])
    assert [one["gpu"]["index"] for one in told["gpus"]] == [0, 1]


def test_all_gpus_with_one_that_cannot_be_judged(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = scenario(tmp_path, {"gpus": [{"total_mib": 12288}, {"total_mib": 81559, "mig_enabled": True}]})
    code, told, _ = check(capsys, "--scenario", file, "--gpu", "all", "--util", "0.5", "--json")
    assert (code, told["valid"], [one["valid"] for one in told["gpus"]]) == (3, None, [True, None])
    code, words, _ = check(capsys, "--scenario", file, "--gpu", "all", "--util", "0.5")
    assert code == 3
    assert words.startswith("Valid: ")
    assert "\nUnknown: GPU 1 is partitioned" in words


def test_of_several_gpus_the_one_that_holds_the_restarting_service_is_meant(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    server = {"pid": 11, "name": "vllm", "cmdline": "vllm serve x --port 8000", "used_mib": 6000, "gpu": 0}
    file = scenario(tmp_path, {**TWO, "processes": [*TWO["processes"], server]})
    code, told, _ = check(capsys, "--scenario", file, "--util", "0.5", "--json")
    assert (code, told["gpu"]["index"]) == (0, 0)
    _, told, _ = check(capsys, "--scenario", file, "--util", "0.5", "--json", "--gpu", "1")
    assert told["gpu"]["index"] == 1


SEVERAL = {
    "gpu": {"total_mib": 24576},
    "processes": [
        {"pid": 10, "name": "vllm", "cmdline": "vllm serve a --port 8001", "used_mib": 9000},
        {"pid": 20, "name": "vllm", "cmdline": "vllm serve b --port 8002", "used_mib": 8000},
    ],
}


def test_several_instances_must_be_chosen(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = scenario(tmp_path, SEVERAL)
    assert main(["check", "--scenario", file, "--util", "0.5"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "pid 10, port 8001, 9000 MiB; pid 20, port 8002, 8000 MiB" in err
    for key, stays in (("8001", "vllm:8002"), ("10", "vllm:8002"), ("8002", "vllm:8001"), ("20", "vllm:8001")):
        _, told, _ = check(capsys, "--scenario", file, "--util", "0.5", "--json", "--restarts", key)
        assert told["services"][stays]["persistent"] is True
        assert told["services"]["judge"]["persistent"] is False


def test_a_port_at_which_nothing_runs_yet_frees_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    # ExecStartPre= of the unit on port 8003 asks before that unit is up.
    words = ("--scenario", scenario(tmp_path, SEVERAL), "--util", "0.3", "--json", "--restarts", "8003")
    code, told, err = check(capsys, *words)
    assert (code, told["available_mib"]) == (0, 24576.0 - 17000)
    assert "No vLLM instance has the pid or port 8003: nothing comes free" in err


def test_services_tells_every_gpu(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = scenario(tmp_path, TWO)
    assert main(["services", "--scenario", file, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["gpu"]["index"] for one in told["gpus"]] == [0, 1]
    (row,) = told["gpus"][1]["processes"]
    assert list(row.items())[:4] == [("pid", 10), ("service", "other"), ("name", "python"), ("used_mib", 9000.0)]
    assert main(["services", "--scenario", file, "--gpu", "1"]) == 0
    words = capsys.readouterr().out
    assert words.startswith("GPU 1 ")
    assert "GPU 0" not in words


def test_services_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["services", "--demo"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"kloros +952 MiB +persistent +pid 2816503", told)
    assert re.search(r"unattributed +0 MiB", told)


def test_a_name_that_commands_the_terminal_does_not_reach_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    nasty = "\x1b]0;owned\x07\u202e"
    file = scenario(
        tmp_path,
        {
            "gpu": {"name": nasty, "total_mib": 12288},
            "processes": [{"pid": 10, "name": nasty, "cmdline": nasty, "used_mib": 5}],
        },
    )
    for words in (
        ["services"],
        ["services", "--json"],
        ["check", "--util", "0.5"],
        ["check", "--util", "0.5", "--json"],
    ):
        main([*words, "--scenario", file])
        out, err = capsys.readouterr()
        assert "\x1b" not in out + err
        assert "\u202e" not in out + err
