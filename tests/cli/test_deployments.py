"""A running server's start is read, kept and learned from: the commands on a machine with a stand-in driver."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpu_tui.cli.main import main
from gpu_tui.journal.deployments import Deployments
from gpu_tui.units import GIB
from tests.journal.starts import START, start
from tests.standin import Device, Process, Sleepers, StandIn, State

CONFIG = Path(__file__).parents[1] / "core" / "data" / "configs" / "qwen3-0.6b.json"

LOG = """\
INFO 11-23 10:00:00 [api_server.py:1395] vLLM API server version 0.10.2
INFO 11-23 10:00:01 [core.py:76] Initializing a V1 LLM engine (v0.10.2) with config: model='{model}', \
speculative_config=None, dtype=torch.bfloat16, max_seq_len=4096, tensor_parallel_size=1, quantization=None, \
enforce_eager=False, kv_cache_dtype=auto
INFO 11-23 10:00:09 [gpu_model_runner.py:2392] Model loading took 1.12 GiB and 1.247948 seconds
INFO 11-23 10:00:20 [gpu_worker.py:298] Available KV cache memory: 2.56 GiB
INFO 11-23 10:00:20 [kv_cache_utils.py:864] GPU KV cache size: 23,968 tokens
INFO 11-23 10:00:29 [gpu_worker.py:391] Free memory on device (11.50/11.76 GiB) on startup. Desired GPU memory \
utilization is (0.5, 5.88 GiB). Actual usage is 1.12 GiB for weight, 2.10 GiB for peak activation, 0.10 GiB for \
non-torch memory, and 0.30 GiB for CUDAGraph memory. Current kv cache memory in use is 2748779069 bytes.
INFO:     Application startup complete.
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "qwen"
    folder.mkdir()
    shutil.copy(CONFIG, folder / "config.json")
    return folder


class Machine:
    """A server on the known card, whose standard error is a log file."""

    def __init__(self, standin: StandIn, sleepers: Sleepers, model: Path, log: str = LOG) -> None:
        self.standin, self.model, self.journal = standin, model, model.parent / "j.db"
        path = model.parent / "vllm.log"
        path.write_text(log.format(model=model))
        with path.open("ab") as file:
            self.vllm = sleepers.vllm(str(model), 1, 0.5, 1, "--max-model-len", "4096", log=file.fileno())
        self.standin.write(State(devices=[Device(processes=[Process(self.vllm.engine, 6134)])]))

    def stop(self, sleepers: Sleepers) -> None:
        sleepers.kill(self.vllm.server)
        self.standin.write(State(devices=[Device()]))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gpu_tui", *words, "--journal", str(self.journal)]
        env = self.standin.env()
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    def told(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json").stdout)


@pytest.fixture
def machine(standin: StandIn, sleepers: Sleepers, model: Path) -> Machine:
    return Machine(standin, sleepers, model)


def test_a_start_is_kept_once_and_taught_from_then_on(machine: Machine, sleepers: Sleepers) -> None:
    first = machine.run("check", "--util", "0.5", "--max-model-len", "4096")
    assert first.returncode == 0, first.stderr
    assert "Kept as deployment 1, predicted against measured" in first.stderr
    again = machine.run("check", "--util", "0.4", "--max-model-len", "4096")
    assert "Kept" not in again.stderr
    assert "Learned" not in again.stdout  # every term is measured
    assert re.search(
        r"activation +2150 .* measured: log file \S+/vllm.log: 2.10 GiB for peak activation, ", again.stdout
    )
    assert re.search(r"peak activation, (just now|\d+ s ago)$", again.stdout, re.MULTILINE)
    fewer = machine.run("check", "--util", "0.4", "--serve", "vllm serve --max-num-seqs 16")
    assert "2.10 GiB measured, where max_num_seqs 256, planned 16" in fewer.stdout
    assert "Learned from 1 start of qwen: activation " in fewer.stdout
    (kept,) = machine.told("history", "--deployments")["deployments"]
    assert (kept["model"], kept["outcome"], kept["utilization"]) == (str(machine.model), "started", 0.5)
    assert (kept["vllm_version"], kept["server_pid"]) == ("0.10.2", machine.vllm.server)
    assert kept["measured"]["kv_cache_bytes"] == round(2.56 * GIB)
    assert kept["measured"]["terms"]["activation"]["size_bytes"] == round(2.1 * GIB)
    predicted = kept["predicted"]["terms"]["activation"]
    assert predicted["origin"] == "assumed"  # from the files alone, not from the log beside it
    machine.stop(sleepers)
    words = ("check", "--util", "0.5", "--model", str(machine.model), "--vllm-version", "0.10.2")
    plain = machine.told(*words, "--max-model-len", "4096")
    assert (plain["learned"]["n"], plain["learned"]["applied"]) == (1, False)
    missed = (round(2.1 * GIB) - predicted["size_bytes"]) / 1024**2
    terms = {one["name"]: one for one in plain["learned"]["terms"]}
    assert terms["activation"]["mib"] == pytest.approx(missed, abs=0.06)
    assert (terms["activation"]["n"], terms["activation"]["spread_mib"]) == (1, 0)
    asked = machine.told(*words, "--max-model-len", "4096", "--learned")
    assert asked["learned"]["applied"] is True
    assert asked["kv_cache_mib"] == pytest.approx(2.56 * 1024, abs=130)  # CUDA's total is not NVML's
    before = next(one for one in plain["terms"] if one["name"] == "activation")
    after = next(one for one in asked["terms"] if one["name"] == "activation")
    assert after["mib"] == pytest.approx(before["mib"] + missed, abs=0.2)
    assert (before["origin"]["kind"], after["origin"]["kind"]) == ("assumed", "measured")
    assert after["origin"]["source"].startswith("learned from 1 start: ")
    assert after["high_mib"] - after["mib"] == pytest.approx(before["high_mib"] - before["mib"], abs=0.2)
    offered = machine.run(*words).stdout
    assert "Learned from 1 start of qwen: weights " in offered
    assert "; apply with --learned." in offered
    assert "Applied: learned from 1 start of qwen: weights " in machine.run(*words, "--learned").stdout


def test_hand_set_figures_are_offered_what_was_seen(machine: Machine, sleepers: Sleepers) -> None:
    machine.run("check", "--util", "0.5", "--max-model-len", "4096")
    assert "fits model (3400MB)" in machine.run("check", "--util", "0.5").stdout  # as its own log measured it
    machine.stop(sleepers)  # as ExecStartPre= asks: nobody names a model, and nothing runs
    plain = machine.run("check", "--util", "0.5")
    assert "Learned from 1 start of qwen: model 3400 MiB, least KV cache 448 MiB; apply with --learned." in plain.stdout
    assert "fits model (5700MB)" in plain.stdout
    told = machine.told("check", "--util", "0.5", "--learned")
    assert told["learned"] == {
        "model": str(machine.model),
        "n": 1,
        "applied": True,
        "terms": told["learned"]["terms"],
        "model_mib": {"mib": 3399.7, "n": 1},
        "min_kv_cache_mib": {"mib": 448.0, "n": 1},
    }
    assert (told["model_mib"], told["min_kv_cache_mib"]) == (3399.7, 448.0)
    assert told["origins"]["model_mib"]["kind"] == "measured"
    assert told["origins"]["model_mib"]["source"].startswith("learned from 1 start of ")


def test_with_all_measured_there_is_nothing_to_correct(machine: Machine) -> None:
    machine.run("check", "--util", "0.5", "--max-model-len", "4096")
    done = machine.run("check", "--util", "0.5", "--max-model-len", "4096", "--learned")
    assert "there is nothing to correct" in done.stderr
    assert "earned from" not in done.stdout


def test_a_start_under_way_is_not_kept(standin: StandIn, sleepers: Sleepers, model: Path) -> None:
    machine = Machine(standin, sleepers, model, LOG.partition("INFO 11-23 10:00:29")[0])
    done = machine.run("check", "--util", "0.5", "--max-model-len", "4096")
    assert "Kept" not in done.stderr
    assert not machine.journal.exists()


def test_no_journal_keeps_and_teaches_nothing(machine: Machine) -> None:
    machine.run("check", "--util", "0.5", "--max-model-len", "4096")
    env, words = machine.standin.env(), ("check", "--util", "0.5", "--max-model-len", "4096", "--no-journal")
    done = subprocess.run(
        [sys.executable, "-m", "gpu_tui", *words, "--json"], env=env, capture_output=True, text=True, check=False
    )
    assert "Kept" not in done.stderr
    assert json.loads(done.stdout)["learned"] is None


def test_a_journal_that_is_none_costs_no_verdict(machine: Machine) -> None:
    machine.journal.write_bytes(b"not a database")
    done = machine.run("check", "--util", "0.5", "--max-model-len", "4096", "--json")
    assert (done.returncode, json.loads(done.stdout)["valid"]) == (0, True)
    assert "This start of " in done.stderr
    assert "was not kept" in done.stderr
    assert "Nothing could be learned from past starts." in done.stderr
    assert machine.journal.read_bytes() == b"not a database"
    asked = machine.run("check", "--util", "0.5", "--learned")
    assert (asked.returncode, asked.stdout) == (2, "")
    assert "is no journal" in asked.stderr


def test_nothing_learned_is_told_to_who_asks(machine: Machine) -> None:
    done = machine.run("check", "--util", "0.5", "--model", str(machine.model), "--learned")
    assert done.returncode in (0, 1)
    assert f"Nothing is learned of {machine.model} yet" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--demo", "--learned"], "--learned is about past starts on this machine."),
        (["--util", "0.5", "--model-mib", "5000", "--learned"], "--model-mib sets the model's size by hand."),
    ],
)
def test_who_may_ask(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert main(["check", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_simulated_machine_has_learned_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--demo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["learned"] is None


# --- history --deployments ------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "j.db"
    with Deployments(path, writable=True) as journal:
        for number in range(3):
            journal.record(start(number))
    return path


def history(capsys: pytest.CaptureFixture[str], file: Path, *words: str) -> tuple[int, str, str]:
    code = main(["history", *words, "--journal", str(file)])
    return (code, *capsys.readouterr())


def ids(capsys: pytest.CaptureFixture[str], file: Path, *words: str) -> list[int]:
    code, out, _ = history(capsys, file, *words, "--json")
    assert code == 0
    return [one["id"] for one in json.loads(out)["deployments"]]


def test_listed(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    assert ids(capsys, file, "--deployments") == [3, 2, 1]
    assert ids(capsys, file, "list", "--deployments", "--limit", "1") == [3]
    assert ids(capsys, file, "--deployments", "list", "--since", "2026-11-23T11:00") == [3, 2]
    code, out, err = history(capsys, file, "--deployments")
    assert (code, len(out.splitlines()), err) == (0, 4, "")


def test_an_empty_journal_says_how_one_gets_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    Deployments(path, writable=True).close()
    code, out, err = history(capsys, path, "--deployments")
    assert (code, out) == (0, "")
    assert "No deployments in " in err
    assert "start-up log" in err


def test_shown(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    assert history(capsys, file, "show", "2", "--deployments")[1].startswith("Deployment 2  started 2026-11-23 11:00")
    told = json.loads(history(capsys, file, "show", "1", "--deployments", "--json")[1])
    assert (told["schema"], told["id"], told["model"]) == (1, 1, START.model)


def test_exported(capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path) -> None:
    told = json.loads(history(capsys, file, "export", "--deployments", "--format", "json")[1])
    assert [one["id"] for one in told["deployments"]] == [3, 2, 1]
    out = tmp_path / "starts.csv"
    assert history(capsys, file, "--deployments", "export", "--format", "csv", "--output", str(out))[0] == 0
    assert len(out.read_text().splitlines()) == 4
    before = file.read_bytes()
    words = ("export", "--deployments", "--format", "csv", "--output")
    assert history(capsys, file, *words, str(file))[0] == 2
    assert file.read_bytes() == before
    code, _, err = history(capsys, file, *words, str(tmp_path / "no" / "x"))
    assert (code, "could not be written: No such file" in err) == (74, True)


def test_deleted(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    code, _, err = history(capsys, file, "delete", "2", "--deployments")
    assert (code, "Say --yes" in err) == (2, True)
    assert history(capsys, file, "delete", "2", "--deployments", "--yes")[0] == 0
    assert ids(capsys, file, "--deployments") == [3, 1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "9", "--deployments"], "The journal has no deployment 9."),
        (["--deployments", "compare", "1", "2"], "compare is about runs."),
        (["--deployments", "plot"], "plot is about runs."),
        (["--deployments", "--kind", "tui"], "--kind is about runs."),
        (["export", "--deployments", "--format", "markdown"], "not exported as markdown"),
    ],
)
def test_what_cannot_be_done(capsys: pytest.CaptureFixture[str], file: Path, words: list[str], said: str) -> None:
    code, out, err = history(capsys, file, *words)
    assert (code, out) == (2, "")
    assert said in err
