"""What each command loads, in a fresh interpreter: the UI, the HTTP client and the slow libraries only where needed."""

import json
import subprocess
import sys

import pytest

WATCHED = {
    "textual",
    "rich",
    "aiohttp",
    "plotext",
    "pynvml",
    "platformdirs",
    "msgspec",
    "shtab",
    "asyncio",
    "sqlite3",
} | {"prometheus_client"}

RUN = """
import contextlib, io, json, sys
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    try:
        {statement}
    except SystemExit:
        pass
print(json.dumps(sorted(sys.modules)))
"""


def loaded(statement: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(statement=statement)], capture_output=True, text=True, timeout=60, check=True
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)} & WATCHED


def command(*words: str) -> str:
    return f"from gpu_tui.cli.main import main; main({list(words)!r})"


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import gpu_tui", set()),
        ("import gpu_tui; gpu_tui.Evaluator", set()),
        ("import gpu_tui.core.reasons, gpu_tui.core.fitness, gpu_tui.wire, gpu_tui.config, gpu_tui.view.text", set()),
        (command("--version"), set()),
        (command("--help"), set()),
        (command("check", "--help"), set()),
        (command("config"), set()),
        (command("check", "--util", "0.5"), {"pynvml"}),
        (command("services", "--json"), {"pynvml"}),
        (command("check", "--demo", "--util", "0.5"), {"msgspec"}),
        (command("evaluate", "--demo", '{"vllm_memory_util": 0.4}'), {"msgspec"}),
        (command("doctor", "--demo"), {"msgspec"}),
        (command("measure", "--help"), set()),
        (command("history", "--help"), set()),
        (command("exporter", "--help"), set()),
        (command("watch", "--help"), set()),
        (command("watch", "--demo", "--for", "0.1"), {"msgspec"}),
        (command("history"), {"sqlite3"}),
        (command("history", "--json"), {"sqlite3"}),
        (command("completion", "bash"), {"shtab"}),
        ("import gpu_tui.tui.app", {"textual", "rich", "platformdirs", "asyncio"}),
        ("import gpu_tui.bench.plan, gpu_tui.bench.child, gpu_tui.bench.demo", {"msgspec", "asyncio"}),
    ],
)
def test_a_command_loads_what_it_needs(statement: str, allowed: set[str]) -> None:
    assert loaded(statement) <= allowed


def test_a_plain_check_loads_nothing_of_what_it_may_have_to_learn_or_type() -> None:
    told = "import gpu_tui.cli.commands.check, json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, timeout=60, check=True)
    modules = set(json.loads(done.stdout))
    assert "gpu_tui.cli.learning" in modules
    assert (
        not {f"gpu_tui.{name}" for name in ("core.what_to_type", "core.start_evidence", "wiring.deployments")} & modules
    )


def test_the_watch_sees() -> None:
    assert loaded("import textual, aiohttp, platformdirs, sqlite3, prometheus_client") >= {
        "textual",
        "rich",
        "aiohttp",
        "platformdirs",
        "sqlite3",
        "prometheus_client",
    }
