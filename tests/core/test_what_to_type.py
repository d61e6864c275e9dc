"""What to type: shell, systemd and compose read back exactly the command that is meant; no text holds a secret."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_tui.core.checks import ModelNeed
from gpu_tui.core.plan import Plan
from gpu_tui.core.serve_options import options_of
from gpu_tui.core.start_inputs import StartInputs, merged
from gpu_tui.core.start_terms import cuda_graphs
from gpu_tui.core.what_to_type import Flag, Recipe, RecipeKind, RunningServer, WhatToType, what_to_type
from gpu_tui.core.what_to_type_words import compose_item, shell, systemd, variables, with_flags, words_of
from gpu_tui.view.text import MASK, mask_cmdline
from tests.core.test_remedies import qwen

ARGV = ("/opt/vllm/bin/python", "/opt/vllm/bin/vllm", "serve", "Qwen/Qwen3-8B")
anything = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
hidden_bytes = st.binary(max_size=6).map(lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape"))
arguments = st.lists(st.one_of(anything, hidden_bytes), min_size=1, max_size=6)


def server(*args: str, **fields: Any) -> RunningServer:
    argv = (*ARGV, *args)
    return RunningServer(argv=argv, masked=mask_cmdline(argv), **fields)


def typed(plan: Plan, running: RunningServer | None = None) -> WhatToType:
    return what_to_type(plan, plan.judge(), running)


def recipe(told: WhatToType, kind: RecipeKind) -> Recipe:
    return next(one for one in told.recipes if one.kind is kind)


def names(told: WhatToType) -> list[str]:
    return [flag.text for flag in told.flags]


def test_only_what_differs_is_typed() -> None:
    plan = qwen(0.85, enforce_eager=True)
    told = typed(plan, server("--gpu-memory-utilization", "0.85", "--max-model-len", "8k", "--enforce-eager"))
    assert names(told) == ["--max-model-len 8192"]
    assert told.flags[0].now == "8000"
    same = typed(plan, server("--gpu-memory-utilization", "0.85", "--max-model-len", "8K", "--enforce-eager"))
    assert same.flags == ()
    assert same.flags_text == ""


CHOSEN = StartInputs(block_size=1056, max_num_seqs=256, kv_cache_dtype="fp8", gpu_memory_utilization=0.75)


def test_what_the_server_chose_by_itself_is_not_typed() -> None:
    plan = qwen(0.75, enforce_eager=True)
    assert plan.inputs is not None
    # As a running server's command line, log and metrics tell it together.
    inputs = merged(plan.inputs, CHOSEN).measured_here()
    running = server("--max-num-seqs", "64")
    assert names(typed(replace(plan, inputs=inputs), running)) == ["--max-num-seqs 256"]
    other = replace(inputs, block_size=32, max_model_len=4096, enforce_eager=False, kv_cache_dtype="auto")
    changed = typed(replace(plan, inputs=other, gpu_memory_utilization=0.9), running)
    assert changed.flags_text == (
        "--gpu-memory-utilization 0.9 --max-model-len 4096 --max-num-seqs 256 --kv-cache-dtype auto --block-size 32 "
        "--no-enforce-eager"
    )
    # Of a server that is not known all of it must be said.
    assert "--block-size 1056" in names(typed(replace(plan, inputs=inputs)))


def test_vllm_s_own_default_is_not_typed() -> None:
    running = server("--max-model-len", "8192")
    assert typed(qwen(0.9), running).flags == ()  # 0.19.1's default
    assert names(typed(qwen(0.92), running)) == ["--gpu-memory-utilization 0.92"]
    assert typed(qwen(0.92, version="0.20.2"), running).flags == ()


def test_without_a_server_all_that_the_plan_sets_is_typed() -> None:
    told = typed(qwen(0.85, kv_cache_dtype="fp8", max_num_seqs=64, enforce_eager=True, tensor_parallel_size=1))
    assert told.flags_text == (
        "--gpu-memory-utilization 0.85 --max-model-len 8192 --max-num-seqs 64 --kv-cache-dtype fp8 --enforce-eager"
    )
    assert [one.kind for one in told.recipes] == [RecipeKind.COMMAND]
    assert recipe(told, RecipeKind.COMMAND).text.startswith("vllm serve qwen3-8b --gpu-memory-utilization 0.85 ")


def test_a_switch_is_turned_off_again() -> None:
    told = typed(qwen(0.9, enforce_eager=False), server("--enforce-eager", "--max-model-len", "8192"))
    assert names(told) == ["--no-enforce-eager"]
    assert options_of(shlex.split(recipe(told, RecipeKind.COMMAND).text)).enforce_eager is False


def test_the_longest_that_fits() -> None:
    told = typed(qwen(0.9, max_model_len=None, fit_max_model_len=True), server())
    assert names(told) == ["--max-model-len auto"]


def test_hand_set_figures_set_the_utilization_alone() -> None:
    plan = replace(qwen(0.5), inputs=None, base=ModelNeed())
    told = typed(plan, server("--gpu-memory-utilization=0.9"))
    assert names(told) == ["--gpu-memory-utilization 0.5"]
    assert told.pinned is None
    assert typed(plan).recipes == ()


@pytest.mark.parametrize(
    "before",
    [
        ["--gpu-memory-utilization", "0.9"],
        ["--gpu-memory-utilization=0.9"],
        ["--gpu_memory_utilization=0.9"],
        ["--gpu-memory-util", "0.9"],
        ["--gpu-memory-utilization", "0.7", "--port", "1", "--gpu_memory_utilization", "0.9"],
        [],
    ],
)
def test_a_flag_is_changed_where_it_stands_however_it_is_written(before: list[str]) -> None:
    told = typed(qwen(0.85), server(*before, "--max-model-len", "8192", "--served-model-name", "a", "b"))
    argv = shlex.split(recipe(told, RecipeKind.COMMAND).text)
    assert sum("util" in arg for arg in argv) == 1
    assert options_of(argv).gpu_memory_utilization == 0.85
    assert argv[: len(ARGV)] == list(ARGV)
    assert "--served-model-name a b" in " ".join(argv)


def test_the_drop_in_and_its_undo() -> None:
    told = typed(qwen(0.85), server("--max-model-len", "8192", unit="vllm.service"))
    drop_in = recipe(told, RecipeKind.SYSTEMD)
    assert drop_in.path == "/etc/systemd/system/vllm.service.d/gpu-tui.conf"
    assert drop_in.text == (
        "[Service]\nExecStart=\nExecStart=/opt/vllm/bin/python /opt/vllm/bin/vllm serve Qwen/Qwen3-8B "
        "--max-model-len 8192 --gpu-memory-utilization 0.85\n"
    )
    assert drop_in.apply == "systemctl daemon-reload && systemctl restart vllm.service"
    assert drop_in.undo == (
        "rm /etc/systemd/system/vllm.service.d/gpu-tui.conf && systemctl daemon-reload && "
        "systemctl restart vllm.service"
    )
    assert [one.kind for one in told.recipes] == [RecipeKind.SYSTEMD, RecipeKind.COMMAND]


def test_a_user_s_unit_has_its_own_folder_and_manager() -> None:
    drop_in = recipe(typed(qwen(0.85), server(unit="vllm.service", user_unit=True)), RecipeKind.SYSTEMD)
    assert drop_in.path == "~/.config/systemd/user/vllm.service.d/gpu-tui.conf"
    assert "systemctl --user restart vllm.service" in drop_in.apply


@pytest.mark.parametrize("unit", ["session-3.scope", "a/b.service", "x; reboot.service", "$(id).service", "..", ""])
def test_what_is_no_plain_unit_gets_no_drop_in(unit: str) -> None:
    assert [one.kind for one in typed(qwen(0.85), server(unit=unit)).recipes] == [RecipeKind.COMMAND]


def test_a_program_without_a_path_is_told() -> None:
    argv = ("vllm", "serve", "Qwen/Qwen3-8B")
    running = RunningServer(argv=argv, masked=argv, unit="vllm.service")
    notes = recipe(typed(qwen(0.85), running), RecipeKind.SYSTEMD).notes
    assert any("absolute path" in note for note in notes)


def test_the_compose_diff_and_its_undo() -> None:
    running = server("--gpu-memory-utilization", "0.9", "--max-model-len", "8192", compose_service="llm")
    told = recipe(typed(qwen(0.85), running), RecipeKind.COMPOSE)
    lines = told.text.splitlines()
    assert lines[3:] == [
        " services:",
        "   llm:",
        "     command:",
        "       - Qwen/Qwen3-8B",
        "       - --gpu-memory-utilization",
        '-      - "0.9"',
        '+      - "0.85"',
        "       - --max-model-len",
        '       - "8192"',
    ]
    assert told.apply == "docker compose up -d llm"
    assert told.undo.endswith("docker compose up -d llm")
    evil = server(compose_service="a\n    privileged: true")
    assert [one.kind for one in typed(qwen(0.85), evil).recipes] == [RecipeKind.COMMAND]


SECRETS = ["--api-key", "sk-Geheim1", "Geheim2x", "--hf-token=hf_Geheim3", "--ssl-keyfile-password", "Geheim 4"]


def test_no_text_holds_a_secret_or_a_mask() -> None:
    running = server(*SECRETS, "--max-model-len", "8192", unit="vllm.service", compose_service="llm")
    told = typed(qwen(0.85), running)
    assert len(told.recipes) == 3
    for one in told.recipes:
        texts = [one.text, one.undo, one.apply, *one.notes]
        assert not any("Geheim" in text or MASK in text for text in texts)
        assert "VLLM_API_KEY" in one.text
        assert any("secret" in note and "VLLM_API_KEY" in note and "HF_TOKEN" in note for note in one.notes)
    command = recipe(told, RecipeKind.COMMAND).text
    assert '--api-key "${VLLM_API_KEY:?}" "${VLLM_API_KEY_2:?}" --hf-token="${HF_TOKEN:?}"' in command
    drop_in = recipe(told, RecipeKind.SYSTEMD).text
    # Without the file with the secrets the unit fails, instead of serving without a key.
    assert "EnvironmentFile=/etc/systemd/system/vllm.service.d/gpu-tui.env\n" in drop_in
    assert "--api-key ${VLLM_API_KEY} ${VLLM_API_KEY_2} --hf-token=${HF_TOKEN}" in drop_in
    assert '- "${VLLM_API_KEY:?}"' in recipe(told, RecipeKind.COMPOSE).text


def test_a_secret_that_is_not_set_ends_the_command(tmp_path: Any) -> None:
    words = words_of(("echo", "--api-key", "sk-Geheim1"), ("echo", "--api-key", MASK))
    line = shell(words)
    env = {"PATH": "/usr/bin:/bin"}
    bare = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=env, check=False)
    assert bare.returncode != 0
    assert bare.stdout == ""
    told = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, env={**env, "VLLM_API_KEY": "a b"}, check=True
    )
    assert told.stdout == "--api-key a b\n"


def test_masks_of_another_command_line_do_not_uncover_anything() -> None:
    words = words_of(("vllm", "serve", "--api-key", "sk-Geheim1"), ("vllm", "--api-key", MASK))
    assert "Geheim" not in shell(words)
    assert variables(words) == ("VLLM_API_KEY",)


@given(arguments)
@settings(max_examples=60)
def test_a_shell_reads_the_same_arguments(argv: list[str]) -> None:
    line = shell([(arg,) for arg in argv])
    assert line.isprintable()
    script = f"printf '%s\\0' {line}"
    out = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    assert out.decode("utf-8", "surrogateescape").split("\0")[:-1] == argv


def _unescaped(match: re.Match[str]) -> str:
    return match[2] or chr(0xDC00 + int(match[1], 16))


def _expanded(text: str, sign: str) -> str:
    """Doubled signs read once; a single one would be a specifier or a variable of systemd's."""
    assert sign not in text.replace(sign * 2, "")
    return text.replace(sign * 2, sign)


def unquoted(line: str) -> list[str]:
    """A line of ``ExecStart=`` as systemd splits and expands it, for words in double quotes or none."""
    words = []
    for quoted, plain in re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line):
        told = re.sub(r"\\(?:x([0-9a-f]{2})|(.))", _unescaped, quoted) if quoted else plain
        text = _expanded(told, "%")
        raw = b"".join(
            bytes([ord(c) - 0xDC00]) if 0xDC00 <= ord(c) < 0xDD00 else c.encode("utf-8", "surrogateescape")
            for c in text
        )
        words.append(raw.decode("utf-8", "surrogateescape"))
    return [words[0], *(_expanded(word, "$") for word in words[1:])]


odd = st.sampled_from(["a b", '{"a": "$x %n"}', "it's", "\\x41", ";", "é"])


@given(st.lists(st.one_of(anything.filter(bool), odd)))
def test_systemd_reads_the_same_arguments(args: list[str]) -> None:
    line = systemd([(arg,) for arg in ("/usr/bin/vllm", *args)])
    assert line.isprintable()
    assert unquoted(line) == ["/usr/bin/vllm", *args]


@given(anything)
def test_compose_reads_the_same_argument(arg: str) -> None:
    item = compose_item((arg,))
    assert item.startswith("- ")
    assert "\n" not in item
    value = json.loads(item[2:]) if item.startswith('- "') else item[2:]
    assert _expanded(value, "$") == arg
    if not item.startswith('- "'):
        # Nothing YAML would take for a number, a truth, a list or a comment.
        assert re.fullmatch(r"-{0,2}[A-Za-z/][\w@+=,./-]*", arg, re.ASCII)
        assert arg.lower() not in ("true", "false", "yes", "no", "on", "off", "null", "y", "n")


values = st.fixed_dictionaries(
    {},
    optional={
        "gpu-memory-utilization": st.sampled_from(["0.5", "0.91"]),
        "max-model-len": st.sampled_from(["4096", "auto"]),
        "max-num-seqs": st.sampled_from(["8", "64"]),
        "port": st.just("8001"),
    },
)


@given(values, values, st.booleans())
def test_the_changed_command_says_what_the_flags_say(
    before: dict[str, str], after: dict[str, str], joined: bool
) -> None:
    argv = list(ARGV)
    for name, value in before.items():
        argv += [f"--{name}={value}"] if joined else [f"--{name}", value]
    flags = [Flag(name=f"--{name}", value=value) for name, value in after.items()]
    words = with_flags([(arg,) for arg in argv], flags)
    changed = shlex.split(shell(words))
    told, expected = options_of(changed), {**before, **after}
    check = options_of([*ARGV, *(word for name, value in expected.items() for word in (f"--{name}", value))])
    assert told == check
    assert changed[: len(ARGV)] == list(ARGV)


def test_the_pinned_cache_holds_what_was_asked_for() -> None:
    """Up to 0.19 the graphs come on top of the budget; since 0.20 they are inside it, and are not taken off twice."""
    old = qwen(0.9, version="0.19.1")
    judged = old.judge()
    pinned = what_to_type(old, judged).pinned
    assert pinned is not None
    assert pinned.value is not None
    assert judged.start is not None
    assert judged.report.allocation_bytes is not None
    graphs = cuda_graphs(judged.start.options).size
    resident = judged.start.need.model_bytes + graphs + int(pinned.value)
    assert resident == judged.report.allocation_bytes
    assert "on top" in pinned.note

    new = qwen(0.9, version="0.20.2")
    told = what_to_type(new, new.judge()).pinned
    assert told is not None
    assert told.value == str(new.judge().prediction.kv_cache_bytes)
    eager = qwen(0.9, version="0.19.1", enforce_eager=True)
    assert what_to_type(eager, eager.judge()).pinned.value == str(eager.judge().prediction.kv_cache_bytes)  # type: ignore[union-attr]


def test_typing_the_pinned_cache_gives_the_same_plan() -> None:
    plan = qwen(0.9, version="0.20.2")
    pinned = what_to_type(plan, plan.judge()).pinned
    assert pinned is not None
    again = plan.with_flags(kv_cache_memory_bytes=int(pinned.value or 0)).judge()
    assert again.prediction.kv_cache_bytes == plan.judge().prediction.kv_cache_bytes
    assert again.prediction.outcome is plan.judge().prediction.outcome


@pytest.mark.parametrize(
    "plan",
    [
        qwen(0.9, version="0.9.2"),  # has no such flag yet
        qwen(0.9, version="0.7.3"),
        qwen(0.9, kv_cache_memory_bytes=2**31),  # is pinned already
        qwen(0.5),  # holds nothing
    ],
    ids=["early", "v0", "pinned", "too small"],
)
def test_no_pinned_cache_where_it_makes_no_sense(plan: Plan) -> None:
    assert what_to_type(plan, plan.judge()).pinned is None
