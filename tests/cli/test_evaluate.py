"""``evaluate``: JSON lines in, JSON lines out."""

import io
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from gpu_tui.cli.commands.evaluate import answer
from gpu_tui.cli.main import main
from gpu_tui.evaluator import Result, ResultStatus, parse_candidate


class FakeEvaluator:
    """Passes what is at least 0.5."""

    def __init__(self, otherwise: ResultStatus = ResultStatus.INVALID_PRODUCTION) -> None:
        self.otherwise = otherwise

    def evaluate(self, candidate: Mapping[str, Any]) -> Result:
        share = parse_candidate(candidate).vllm_memory_util
        return Result(status=ResultStatus.PASS if share >= 0.5 else self.otherwise, fitness=0.0, vllm_memory_util=share)


def answered(
    capsys: pytest.CaptureFixture[str], lines: Iterable[bytes], evaluator: FakeEvaluator | None = None
) -> tuple[int, list[dict[str, Any]]]:
    code = answer(evaluator or FakeEvaluator(), lines)
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_line_is_answered_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = answered(capsys, [b'{"vllm_memory_util": 0.5}\n', b"\n", b'{"vllm_memory_util": 0.4}'])
    assert code == 0
    assert [one["status"] for one in told] == ["pass", "invalid_production"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"nonsense", "not JSON"),
        (b'{"vllm_memory_util": 0.5', "not JSON"),
        (b"\xff\xfe\xff", "not JSON"),
        (b"[0.5]", "a mapping, not a list"),
        (b"null", "a mapping, not null"),
        (b"{}", "has no vllm_memory_util"),
        (b'{"vllm_memory_util": NaN}', "not a finite number"),
        (b'{"vllm_memory_util": "0.5"}', "vllm_memory_util is text"),
        (b'{"vllm_memory_util": true}', "true or false"),
        (b"[" * 200_000, "nested too deeply"),
        (b"x" * 2_000_000, "longer than 1 MiB"),
    ],
)
def test_a_bad_line_is_answered_and_the_rest_go_on(capsys: pytest.CaptureFixture[str], line: bytes, said: str) -> None:
    good = b'{"vllm_memory_util": 0.5}'
    code, told = answered(capsys, [good, line, good])
    assert code == 2
    assert [one.get("status") for one in told] == ["pass", None, "pass"]
    assert told[1].keys() == {"error"}
    assert told[1]["error"].keys() == {"line", "message"}
    assert told[1]["error"]["line"] == 2
    assert said in told[1]["error"]["message"]


def test_unmeasured_is_3_unless_a_line_was_bad(capsys: pytest.CaptureFixture[str]) -> None:
    unmeasured = FakeEvaluator(ResultStatus.UNMEASURED)
    lines = [b'{"vllm_memory_util": 0.4}', b'{"vllm_memory_util": 0.5}']
    assert answered(capsys, lines, unmeasured)[0] == 3
    assert answered(capsys, [*lines, b"bad"], unmeasured)[0] == 2


def test_on_the_demo_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--demo", '{"vllm_memory_util": 0.40, "whisper_model_size": "tiny"}']) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["status"], told["fitness"], told["whisper_model_size"]) == ("invalid_production", 0.0, "tiny")
    assert told["validation_reason"].startswith("VLLM allocation (4915MB) too small")
    assert told["production_services"]["judge"] == {"running": True, "memory_mb": 6134.0, "pid": 2839331}
    assert "SIMULATED" in err


def test_candidates_come_from_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b'{"vllm_memory_util": 0.9}\n' + b"x" * 3_000_000 + b'\n{"vllm_memory_util": 0.4}\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert main(["evaluate", "--demo"]) == 2
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one.get("status") for one in told] == ["invalid", None, "invalid_production"]
    assert told[1]["error"]["line"] == 2


def test_several_gpus_are_listed_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--scenario", "h100x8", '{"vllm_memory_util": 0.5}']) == 2
    assert "7 (NVIDIA H100" in capsys.readouterr().err


def test_a_measured_candidate_on_the_demo_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPU_TUI_MEASURE_REQUESTS", "2")
    monkeypatch.setenv("GPU_TUI_MEASURE_WARMUP", "0")
    # What a real service listens on is not the demo's to measure.
    monkeypatch.setenv("GPU_TUI_ENDPOINTS_LLM", "http://127.0.0.1:9")
    assert main(["evaluate", "--demo", '{"vllm_memory_util": 0.50}']) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["stt_measured"], told["llm_measured"]) == ("pass", True, True)
    assert (told["measured_at_utilization"], told["latency_is_proxy"]) == (0.5, False)
    assert 0 < told["stt_latency_ms"] < 900
    assert told["fitness"] > 0.4
