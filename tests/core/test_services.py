"""Service rules: the defaults, and a user's own."""

from __future__ import annotations

from typing import get_args

import pytest

from gpu_tui.core.services import DEFAULT_RULES, Classifier, Field, ServiceRule
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


_VOICE = info(
    9,
    "python",
    "python main.py",
    ppid=8,
    user="ada",
    unit="voice.service",
    container="4f" * 32,
    container_name="voice-1",
    image="ghcr.io/kloros/voice:3",
    pod="voice-0",
    namespace="prod",
    ports=(40001,),
)
_PARENT = info(8, "uvicorn", "uvicorn voice:app --port 9000", ppid=7, ports=(9000,))
_TMUX = info(7, "tmux", "tmux new -s voice", ppid=1, ports=(7777,))


@pytest.mark.parametrize(
    ("field", "match", "hits"),
    [
        ("user", "^ada$", True),
        ("user", "^bob$", False),
        ("unit", r"^voice\.service$", True),
        ("container", "^voice-", True),
        ("container", "^4f4f", True),
        ("container", "kloros", False),
        ("image", "kloros/voice", True),
        ("pod", "^voice-0$", True),
        ("namespace", "^prod$", True),
        ("namespace", "^dev$", False),
        ("port", "9000", True),
        ("port", "900", False),
        ("port", "40001|5", True),
        ("port", "7777", False),
        ("parent", "^uvicorn", True),
        ("parent", "-s voice", True),
        ("parent", "main.py", False),
    ],
)
def test_a_rule_on_where_a_process_lives(field: Field, match: str, hits: bool) -> None:
    rules = (ServiceRule(name="voice", match=match, field=field),)
    assert _service(_VOICE, _PARENT, _TMUX, rules=rules) == ("voice" if hits else "other")


@pytest.mark.parametrize("field", [field for field in get_args(Field) if field not in ("name", "cmdline", "vllm")])
def test_what_is_not_known_matches_nothing(field: Field) -> None:
    assert _service(info(9, "x", "x"), rules=(ServiceRule(name="all", match=".*", field=field),)) == "other"


def test_a_changed_parent_or_port_is_seen() -> None:
    classifier = Classifier((ServiceRule(name="late", match="9000", field="port"),))
    child, before, after = info(9, "w", ppid=8), info(8, "s", ports=()), info(8, "s", ports=(9000,))
    assert classifier.rule_for(9, table(child, before)) is None
    assert classifier.rule_for(9, table(child, after)) is not None
