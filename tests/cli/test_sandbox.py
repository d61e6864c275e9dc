"""README's table of sandboxes, tried: what a unit's settings take away from ``check``, in namespaces like a unit's."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.standin import Sleepers, StandIn, known_machine

_USER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
NOBODY = [*_USER, "--bounding-set=-all", "--inh-caps=-all"]
_PTRACE = "-all,+sys_ptrace"
SEEING = [*_USER, f"--bounding-set={_PTRACE}", f"--inh-caps={_PTRACE}", f"--ambient-caps={_PTRACE}"]
OWN_PIDS = ["unshare", "--pid", "--fork", "--mount-proc"]
OWN_NETWORK = ["unshare", "--net"]


def proc(how: str) -> list[str]:
    """A /proc of its own, mounted so; nobody else sees it."""
    return ["unshare", "--mount", "sh", "-c", f'mount -t proc -o {how} proc /proc && exec "$0" "$@"']


@pytest.fixture(scope="module")
def machine() -> Iterator[StandIn]:
    """The known machine, in a folder that other users may read too."""
    with StandIn.temporary() as standin, Sleepers(standin.built) as sleepers:
        known_machine(standin, sleepers)
        standin.path.parent.chmod(0o755)
        yield standin


def within(machine: StandIn, sandbox: list[str], *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    if not shutil.which("unshare") or not shutil.which("setpriv"):
        pytest.skip("needs unshare and setpriv")
    nowhere = dict.fromkeys(
        ("HOME", *(f"XDG_{each}_HOME" for each in ("CONFIG", "DATA", "STATE", "CACHE"))), "/nonexistent"
    )
    env = {**machine.env(), **nowhere, **more}
    python = [*sandbox, sys.executable]
    if subprocess.run([*python, "-c", "import psutil, gpu_tui"], env=env, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make namespaces, and a Python that anybody may run")
    command = [*python, "-m", "gpu_tui", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def services(machine: StandIn, sandbox: list[str]) -> dict[str, float]:
    """MiB by service, of those that hold any."""
    done = within(machine, sandbox, "services", "--json")
    assert done.returncode == 0, done.stderr
    (gpu,) = json.loads(done.stdout)["gpus"]
    return {name: one["memory_mib"] for name, one in gpu["services"].items() if one["memory_mib"]}


WHOLE = {"kloros": 952, "judge": 6134, "ollama": 1068, "other": 242}
NAMELESS = {"other": sum(WHOLE.values())}


@pytest.mark.parametrize(
    ("sandbox", "seen"),
    [
        pytest.param(proc("subset=pid"), WHOLE, id="ProcSubset=pid"),
        pytest.param(OWN_NETWORK, WHOLE, id="PrivateNetwork=yes"),
        pytest.param(OWN_PIDS, NAMELESS, id="PrivatePIDs=yes"),
        pytest.param([*proc("hidepid=invisible"), *NOBODY], NAMELESS, id="ProtectProc=invisible"),
        pytest.param([*proc("hidepid=noaccess"), *NOBODY], NAMELESS, id="ProtectProc=noaccess"),
        pytest.param([*proc("hidepid=ptraceable"), *NOBODY], NAMELESS, id="ProtectProc=ptraceable"),
        pytest.param([*proc("hidepid=invisible"), *SEEING], WHOLE, id="CAP_SYS_PTRACE"),
        pytest.param(NOBODY, WHOLE, id="User="),
    ],
)
def test_who_is_seen_from_within(machine: StandIn, sandbox: list[str], seen: dict[str, float]) -> None:
    assert services(machine, sandbox) == seen


def test_a_verdict_where_starts_are_hidden(machine: StandIn) -> None:
    done = within(machine, proc("subset=pid"), "check", "--util", "0.5", "--restarts", "8000")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Valid: 6144MB allocation fits")


def test_a_port_on_the_command_line_is_seen_by_anybody(machine: StandIn) -> None:
    done = within(machine, NOBODY, "check", "--util", "0.5", "--restarts", "8000")
    assert done.returncode == 0, done.stderr
    assert "No vLLM instance" not in done.stderr


def test_a_journal_that_is_hidden_costs_no_verdict(machine: StandIn) -> None:
    """``ProtectHome=yes`` again: where it cannot be looked up whether there is one, that is told."""
    hidden = machine.path.parent / "hidden"
    hidden.mkdir(mode=0o700)
    done = within(machine, NOBODY, "check", "--util", "0.5", XDG_DATA_HOME=str(hidden))
    assert done.returncode == 0, done.stderr
    assert "Nothing could be learned from past starts." in done.stderr
    for flag, code, told in (("--learned", 3, "permission denied"), ("--no-journal", 0, "")):
        done = within(machine, NOBODY, "check", "--util", "0.5", flag, XDG_DATA_HOME=str(hidden))
        assert done.returncode == code, done.stderr
        assert told in done.stderr


def test_a_configuration_that_is_hidden_is_a_mistake_and_not_left_out(machine: StandIn, tmp_path: Path) -> None:
    """``ProtectHome=yes`` leaves a folder that nobody may enter: neither verdict nor advice may go on without it."""
    home = tmp_path / "home"
    home.mkdir(mode=0)  # and the folder it is in is its owner's alone
    words = ["check", "--util", "0.5", "--on-unknown", "pass"]
    done = within(machine, NOBODY, *words, XDG_CONFIG_HOME=str(home))
    assert done.returncode == 2
    assert "cannot be read: Permission denied" in done.stderr
