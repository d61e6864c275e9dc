"""The units that README shows: read as systemd reads them, and by systemd itself where it is installed."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from gpu_tui.cli.main import build_parser
from gpu_tui.cli.quiet import Waiting
from gpu_tui.wiring import READ_TIMEOUT_S, Options, load_settings

README = (Path(__file__).parents[1] / "README.md").read_text()
UNITS = re.findall(r"^```ini\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
CONDITIONS = [text for text in UNITS if "ExecStartPre=" in text]
PROGRAM = "/opt/gpu-tui/bin/gpu-tui"
BASE = "[Service]\nExecStart=/bin/true\n"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="SYSTEMD-ANALYZE IS NOT INSTALLED (Debian: the package systemd): what it says of README's units is open",
)


def settings(unit: str) -> list[tuple[str, str, str]]:
    """Section, name and value of each line; systemd.syntax(7), without continued lines, of which none is shown."""
    found, section = [], ""
    for line in unit.splitlines():
        if not line or line[0] in "#;":
            continue
        if line.startswith("["):
            section = line.strip("[]")
            continue
        name, equals, value = line.partition("=")
        assert (section != "", equals, line.endswith("\\")) == (True, "=", False), line
        found.append((section, name, value))
    return found


def value_of(unit: str, name: str) -> str:
    (value,) = [value for _, each, value in settings(unit) if each == name]
    return value


def words_of(command: str) -> list[str]:
    """A command line without its prefixes; systemd.service(5)."""
    path, *words = shlex.split(command.lstrip("-+!@:"))
    assert path == PROGRAM
    return words


@pytest.mark.parametrize("unit", CONDITIONS, ids=["hard", "advisory"])
def test_a_condition_for_a_start_is_a_command_of_ours_that_ends_in_time(unit: str) -> None:
    words = words_of(value_of(unit, "ExecStartPre"))
    args = build_parser([words[0]]).parse_args(words)
    assert (args.command, args.restarts) == ("check", 8000)
    waiting = Waiting.of(args, load_settings(Options(demo=True)))
    assert waiting is not None
    assert waiting.quiet_s < waiting.timeout_s
    assert waiting.timeout_s + READ_TIMEOUT_S < waiting.timeout_s + 15 <= float(value_of(unit, "TimeoutStartSec"))


def test_one_condition_is_hard_and_the_other_keeps_nothing_from_starting() -> None:
    hard, advisory = CONDITIONS
    assert value_of(hard, "ExecStartPre").startswith(PROGRAM)
    assert advisory == hard.replace(PROGRAM, f"-{PROGRAM}")


def test_every_unit_shown_starts_a_command_of_ours() -> None:
    for unit in UNITS:
        for _, name, value in settings(unit):
            if name in ("ExecStart", "ExecStartPre"):
                words = words_of(value)
                build_parser([words[0]]).parse_args(words)


def sandbox() -> list[str]:
    """The settings in the table of what a sandbox takes away, and of what is needed instead."""
    section = README.split("\n## Before a start\n", 1)[1].split("\n## ", 1)[0]
    found: list[str] = []
    for row in (line for line in section.splitlines() if line.startswith("| `")):
        for cell in (row.split("|")[1], row.split("|")[3]):
            found += re.findall(r"`([A-Z]\w+=[^`]+)`", cell)
    return found


def test_the_table_of_sandboxes_names_them() -> None:
    names = {line.partition("=")[0] for line in sandbox()}
    assert {"PrivateDevices", "DeviceAllow", "ProtectProc", "PrivatePIDs", "ProtectHome", "ProcSubset"} <= names


def verified(folder: Path, drop_in: str, base: str = BASE) -> list[str]:
    """What systemd has to say of a unit with this drop-in."""
    (folder / "vllm.service").write_text(base)
    (folder / "vllm.service.d").mkdir()
    (folder / "vllm.service.d" / "gpu-tui.conf").write_text(drop_in.replace(PROGRAM, "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", str(folder / "vllm.service")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    told = [line for line in done.stderr.splitlines() if "vllm" in line or "gpu-tui" in line]
    return told if told or done.returncode == 0 else [done.stderr]


@needs_systemd
@pytest.mark.parametrize("unit", CONDITIONS, ids=["hard", "advisory"])
def test_systemd_takes_the_drop_in(tmp_path: Path, unit: str) -> None:
    assert verified(tmp_path, unit) == []


@needs_systemd
@pytest.mark.parametrize(
    "wrong", ["[Service]\nTimeoutStartSecs=90\n", "[Service]\nExecStartPre=gpu tui\n", "TimeoutStartSec=90\n"]
)
def test_systemd_would_say_so_if_it_did_not(tmp_path: Path, wrong: str) -> None:
    assert verified(tmp_path, wrong) != []


@needs_systemd
def test_systemd_knows_the_settings_of_the_table(tmp_path: Path) -> None:
    newer = "PrivatePIDs"  # systemd 257
    told = verified(tmp_path, "[Service]\n" + "".join(f"{line}\n" for line in sandbox()))
    assert [line for line in told if newer not in line] == []
