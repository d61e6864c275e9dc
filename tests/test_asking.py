"""What a headless question says of the model and its flags."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_tui import wiring
from gpu_tui.config import Settings
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.plan import Plan
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.what_to_type import RunningServer
from gpu_tui.errors import UsageError
from gpu_tui.units import MIB
from gpu_tui.wiring.asking import Question, asked_inputs, asked_server
from gpu_tui.wiring.planning import plan_of
from tests.core.layouts import facts_of
from tests.factories import books_of, gpu, snapshot


def find(name: str) -> ModelFacts:
    return ModelFacts(name=name)


def test_nothing_said_is_nothing_asked() -> None:
    assert asked_inputs(Question(), find) is None


def test_a_model_by_name() -> None:
    told = asked_inputs(Question(model="Qwen/Qwen3-8B", version="0.19.1"), find)
    assert told == StartInputs(facts=ModelFacts(name="Qwen/Qwen3-8B"), model="Qwen/Qwen3-8B", version="0.19.1")


def test_a_command_line_and_what_stands_before_it() -> None:
    serve = "vllm serve 'my model' --max-model-len 8k --gpu-memory-utilization 0.6 --tensor-parallel-size 2"
    told = asked_inputs(Question(serve=serve), find)
    assert told is not None
    assert told.facts == ModelFacts(name="my model")
    assert (told.max_model_len, told.gpu_memory_utilization, told.tensor_parallel_size) == (8000, 0.6, 2)
    over = asked_inputs(Question(serve=serve, model="other", max_model_len="auto"), find)
    assert over is not None
    assert over.facts == ModelFacts(name="other")
    assert (over.max_model_len, over.fit_max_model_len) == (None, True)


def test_flags_without_a_model_read_no_files() -> None:
    def never(name: str) -> ModelFacts:
        raise AssertionError(name)

    told = asked_inputs(Question(max_model_len="4096"), never)
    assert told == StartInputs(max_model_len=4096)


@pytest.mark.parametrize(
    "question",
    [
        Question(serve=""),
        Question(serve="vllm bench"),
        Question(serve='vllm serve "x'),
        Question(max_model_len="-5"),
        Question(max_model_len="4096 --enforce-eager"),
        Question(version="latest"),
    ],
)
def test_what_means_nothing_is_told(question: Question) -> None:
    with pytest.raises(UsageError) as caught:
        asked_inputs(question, find)
    assert caught.value.remedy


def test_what_is_to_be_typed_is_about_the_server_that_is_meant() -> None:
    argv = ("vllm", "serve", "a", "--port", "1")
    running = RunningServer(argv=argv, masked=argv, unit="vllm.service")
    assert asked_server(Question(), running) is running
    assert asked_server(Question(max_model_len="1k"), running) is running
    assert asked_server(Question(model="a"), running) is running
    assert asked_server(Question(model="b"), running) is None
    assert asked_server(Question(model="b"), None) is None
    other = asked_server(Question(serve="vllm serve b --api-key sk-Geheim1"), running)
    assert other is not None
    assert (other.argv[2], other.unit) == ("b", None)
    assert "Geheim" not in " ".join(other.masked)


LIVE = snapshot(gpu(total=24576), simulated=False, source="nvml")
QWEN = StartInputs(facts=facts_of("qwen3-8b"), max_model_len=8192)


def settled(tmp_path: Path, text: str = "", **flags: float) -> Settings:
    file = tmp_path / "c.toml"
    file.write_text(text)
    names = {f"model.{key}": (f"--{key}", value) for key, value in flags.items()}
    return wiring.load_settings(wiring.Options(config=file, overrides=names))


def planned(settings: Settings, known: StartInputs | None, *, asked: bool, seen: Snapshot = LIVE) -> Plan:
    return plan_of(0.9, settings, seen, seen.gpus[0], books_of(seen), known, asked=asked)


def test_a_configured_figure_stands_before_files_but_not_before_a_question(tmp_path: Path) -> None:
    settings = settled(tmp_path, "[model]\nmodel_mib = 5000\nmin_kv_cache_mib = 300\n")
    assert planned(settings, QWEN, asked=False).start() is None
    start = planned(settings, QWEN, asked=True).start()
    assert start is not None
    assert start.need.min_kv_cache_bytes == 8192 * 147_456 + 16 * 147_456  # and not the configured floor


def test_a_flag_s_floor_stands_before_all(tmp_path: Path) -> None:
    start = planned(settled(tmp_path, min_kv_cache_mib=300.0), QWEN, asked=True).start()
    assert start is not None
    assert start.need.min_kv_cache_bytes == 300 * MIB


def test_another_model_keeps_a_scenario_s_release_and_gpus_alone(tmp_path: Path) -> None:
    own = StartInputs(
        facts=facts_of("llama-3.1-8b"), version="0.9.2", tensor_parallel_size=2, max_model_len=512, kv_cache_dtype="fp8"
    )
    seen = snapshot(gpu(total=24576), start=own)
    asked = StartInputs(facts=facts_of("qwen3-8b"))
    told = planned(settled(tmp_path), asked, asked=True, seen=seen).inputs
    assert told == StartInputs(facts=asked.facts, version="0.9.2", tensor_parallel_size=2)
    # Flags without a model are about the scenario's own.
    flags = planned(settled(tmp_path), StartInputs(max_model_len=1024), asked=True, seen=seen).inputs
    assert flags is not None
    assert (flags.facts, flags.max_model_len, flags.kv_cache_dtype) == (own.facts, 1024, "fp8")
