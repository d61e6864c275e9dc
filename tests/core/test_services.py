"""Service rules: the defaults, and a user's own."""

from __future__ import annotations

import pytest

from gpu_tui.core.services import DEFAULT_RULES, Classifier, ServiceRule
from gpu_tui.core.snapshot import ProcessInfo
from tests.factories import SERVE, info, table


def _service(process: ProcessInfo, *others: ProcessInfo, rules: tuple[ServiceRule, ...] = DEFAULT_RULES) -> str:
    rule = Classifier(rules).rule_for(process.pid, table(process, *others))
    return rule.name if rule else "other"


@pytest.mark.parametrize(
    ("process", "service"),
    [
        (info(9, "python", "python -m kloros_voice"), "kloros"),
        (info(9, "python3.11", "/opt/kloros/bin/python3.11 -u /opt/kloros_voice/main.py --stt"), "kloros"),
        (info(9, "bash", ["bash", "-c", "python -m kloros_voice"]), "other"),
        (info(9, "python", "python -m other_voice"), "other"),
        (info(9, "tail", "tail -f kloros_voice.log"), "other"),
        (info(9, "VLLM::EngineCor", ["VLLM::EngineCore"]), "judge"),
        (info(9, "VLLM::Worker_TP", ["VLLM::Worker_TP3"]), "judge"),
        (info(9, "python", ["VLLM::EngineCore"]), "judge"),
        (info(9, "EngineCore_0", ()), "judge"),
        (info(9, "vLLM", None, problem="permission denied"), "judge"),
        (info(9, "python", SERVE), "judge"),
        (info(9, "ollama", "/usr/local/bin/ollama runner"), "ollama"),
        (info(9, "ollama_llama_se", None), "ollama"),
        (info(9, "python", "python talk_to_ollama.py"), "other"),
        (info(9, None, None, problem="gone"), "other"),
        (info(9, "Xorg", "/usr/lib/xorg/Xorg"), "other"),
    ],
)
def test_the_default_rules(process: ProcessInfo, service: str) -> None:
    assert _service(process) == service


def test_an_untitled_engine_is_the_judges_by_its_server() -> None:
    engine = info(
        11, "python", "python -c from multiprocessing.spawn import spawn_main --multiprocessing-fork", ppid=10
    )
    assert _service(engine, info(10, "python", SERVE, ppid=1)) == "judge"
    assert _service(engine, info(10, "bash", ["bash", "-c", SERVE], ppid=1)) == "other"


def test_a_pid_nobody_knows_is_other() -> None:
    assert Classifier().rule_for(4, {}) is None


def test_the_first_matching_rule_wins() -> None:
    process = info(9, "worker", "worker --for whisper")
    first = ServiceRule(name="a", match="work")
    second = ServiceRule(name="b", match="whisper", field="cmdline")
    assert _service(process, rules=(first, second)) == "a"
    assert _service(process, rules=(second, first)) == "b"
    assert _service(process, rules=()) == "other"


def test_a_rule_on_the_command_line_also_matches_an_engine_by_its_servers() -> None:
    rule = ServiceRule(name="draft", match="--port 8001", field="cmdline")
    engine = info(11, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=10)
    assert _service(engine, info(10, "vllm", SERVE, ppid=1), rules=(rule, *DEFAULT_RULES)) == "draft"


def test_answers_follow_the_process_and_not_the_pid() -> None:
    classifier = Classifier()
    before, after = info(9, "ollama", "ollama runner"), info(9, "Xorg", "Xorg")
    for process, name in ((before, "ollama"), (after, None), (before, "ollama")):
        rule = classifier.rule_for(9, table(process))
        assert (rule.name if rule else None) == name


def test_remembered_answers_do_not_grow_for_ever() -> None:
    classifier = Classifier()
    for pid in range(2, 20_500):
        classifier.rule_for(pid, table(info(pid, "x")))
    assert len(classifier._answers) <= 20_001
