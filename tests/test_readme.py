"""README says what is: its commands, settings, scenarios, sentences and files are the product's own."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from gpu_tui.cli.main import COMMANDS, build_parser
from gpu_tui.config.keys import KEYS
from gpu_tui.core.reasons import reason
from gpu_tui.telemetry.scenario import SCENARIOS, expand, snapshot_at
from gpu_tui.telemetry.scenario_file import convert
from tests.factories import judged, kloros

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def _table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, without its two head lines."""
    section = README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[2:]]


def test_the_command_table_is_the_parsers() -> None:
    told = [row[0].strip("`").replace("\\|", "|").split() for row in _table("Commands")]
    assert told[0] == ["gpu-tui", "[--interval", "S]"]
    assert [words[1] for words in told[1:]] == list(COMMANDS)


@pytest.mark.parametrize("row", _table("Commands")[1:], ids=lambda row: row[0])
def test_the_flags_in_the_command_table_exist(row: list[str]) -> None:
    words = row[0].strip("`").split()
    actions = build_parser([words[1]])._subparsers
    assert actions is not None
    parser = actions._group_actions[0].choices[words[1]]  # type: ignore[index]
    for flag in re.findall(r"--[\w-]+", row[0]):
        assert flag in parser._option_string_actions


def test_the_keys_told_are_bound() -> None:
    from gpu_tui.tui.bindings import KEYS as BINDINGS
    from gpu_tui.tui.widgets.services import ServiceTable

    names = {"←": "left", "→": "right", "[": "left_square_bracket", "]": "right_square_bracket", "esc": "escape"}
    bound = {key for binding in (*BINDINGS, *ServiceTable.BINDINGS) for key in binding.key.split(",")}  # type: ignore[union-attr]
    told = [key for row in _table("The explorer") for key in re.findall(r"`(.+?)`", row[0])]
    assert len(told) > 25
    assert {names.get(key, key) for key in told} <= bound


def test_every_link_to_a_section_leads_to_one() -> None:
    headings = re.findall(r"^## (.+)$", README, re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    linked = set(re.findall(r"\]\(#([^)]+)\)", README))
    assert len(linked) > 10
    assert linked <= anchors


def test_every_setting_is_told_and_no_other() -> None:
    told = [name for row in _table("Configuration") for name in re.findall(r"`([\w.*]+)`", row[0])]
    known = {re.sub(r"^(evaluator\.(weights|targets))\..*", r"\1.*", key) for key in KEYS} - {"services", "alerts"}
    assert sorted(told) == sorted(known)


def test_every_scenario_is_told() -> None:
    assert [row[0].strip("`") for row in _table("Simulated machines")] == list(SCENARIOS)


def test_the_sentences_are_the_products() -> None:
    oom = kloros(holds={1893: 242, 2816503: 2904, 2387058: 3342})
    for sentence in (reason(judged(0.40)), reason(judged(0.50, oom)), reason(judged(0.50))):
        assert f"\n{sentence}\n" in README


def test_the_scenario_shown_can_be_read() -> None:
    (shown,) = [text for language, text in BLOCKS if language == "toml" and "[gpu]" in text]
    scenario = expand(convert(tomllib.loads(shown), "README.md"), "README.md")
    assert snapshot_at(scenario, 0).gpus[0].free_bytes == (24564 - 364 - 5120) * 1024 * 1024
    assert snapshot_at(scenario, 30).caption


def test_the_settings_shown_can_be_read(tmp_path: Path) -> None:
    from gpu_tui import config

    (shown,) = [text for language, text in BLOCKS if language == "toml" and "[[services]]" in text]
    file = tmp_path / "config.toml"
    file.write_text(shown)
    assert config.load(file).services[0].name == "whisper"


def test_the_alerts_shown_can_be_read_and_every_kind_is_named(tmp_path: Path) -> None:
    from gpu_tui import config
    from gpu_tui.core.alert_rules import When

    (shown,) = [text for language, text in BLOCKS if language == "toml" and "[[alerts]]" in text]
    file = tmp_path / "config.toml"
    file.write_text(shown)
    assert len(config.load(file).alerts) == shown.count("[[alerts]]")
    assert all(when.value in shown for when in When)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_shown_is_one(tmp_path: Path) -> None:
    (shown,) = [text for language, text in BLOCKS if language == "ini" and "gpu-tui watch" in text]
    unit = tmp_path / "gpu-tui-watch.service"
    unit.write_text(shown.replace("/opt/gpu-tui/bin/gpu-tui", "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    told = [line for line in done.stderr.splitlines() if "gpu-tui-watch" in line]
    assert (done.returncode, told) == (0, [])


def test_every_metric_told_exists() -> None:
    from gpu_tui.wire_metrics import HELP

    section = README.split("\n## Metrics\n", 1)[1].split("\n## ", 1)[0]
    own = {"gpu_tui_up", "gpu_tui_reading_age_seconds", "gpu_tui_reading_errors_total"}
    for name in re.findall(r"`(gpu_tui_[\w{},]+)`", section):
        stem, _, rest = name.partition("{")
        ends = [f"{stem}{end}{rest.partition('}')[2]}" for end in rest.partition("}")[0].split(",")] if rest else [stem]
        assert set(ends) <= own | set(HELP), ends


def test_the_first_two_commands_set_up_all_they_need_in_one_line_each() -> None:
    demo, tests = (text.strip() for language, text in BLOCKS[:2] if language == "sh")
    for command, last in ((demo, ".venv/bin/gpu-tui --demo"), (tests, ".venv/bin/python -m pytest")):
        assert "\n" not in command
        words = shlex.split(command)
        assert words[:4] == ["python3", "-m", "venv", "--without-pip"]
        assert command.endswith(f"&& {last}")


@pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="only the source tree has them beside the tests")
def test_what_it_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_constraints_are_exact_and_name_no_host() -> None:
    file = ROOT / "constraints.txt"
    if not file.exists():
        pytest.skip("only the source tree has it beside the tests")
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) > 30
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+]+", line), line
