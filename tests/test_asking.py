"""What a headless question says of the model and its flags."""

from __future__ import annotations

import pytest

from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.errors import UsageError
from gpu_tui.wiring.asking import Question, asked_inputs


def find(name: str) -> ModelFacts:
    return ModelFacts(name=name)


def test_nothing_said_is_nothing_asked() -> None:
    assert asked_inputs(Question(), find) is None


def test_a_model_by_name() -> None:
    told = asked_inputs(Question(model="Qwen/Qwen3-8B", version="0.19.1"), find)
    assert told == StartInputs(facts=ModelFacts(name="Qwen/Qwen3-8B"), version="0.19.1")


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
