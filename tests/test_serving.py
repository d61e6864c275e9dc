"""The server that restarts, as the texts to type need it: from the process table and real files below a root."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpu_tui.clock import ManualClock
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.core.what_to_type import RunningServer
from gpu_tui.wiring.models import LocalModels
from tests.factories import books_of, gpu, info, snapshot

CONTAINER = "0123456789abcdef" * 4
ARGV = ("vllm", "serve", "org/m", "--api-key", "hush")


def machine(**fields: object) -> Snapshot:
    people = [
        info(1, "systemd", "/sbin/init", ppid=0),
        info(77, "vllm", list(ARGV), ppid=1),
        info(78, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=77),
    ]
    return snapshot(gpu({78: 9000}), people, **({"simulated": False, "source": "nvml"} | fields))


def asked(root: Path, seen: Snapshot) -> RunningServer:
    found = LocalModels(ManualClock(), root).server(seen, books_of(seen))
    assert found is not None
    assert (found.argv, found.masked) == (ARGV, (*ARGV[:-1], "***"))
    return found


def cgroup(root: Path, path: str) -> Path:
    (root / "proc/77").mkdir(parents=True)
    (root / "proc/77/cgroup").write_text(f"0::{path}\n")
    return root


def test_the_unit_of_the_server_and_not_its_engine_s(tmp_path: Path) -> None:
    root = cgroup(tmp_path, "/system.slice/vllm.service")
    (root / "proc/78").mkdir()
    (root / "proc/78/cgroup").write_text("0::/system.slice/other.service\n")
    found = asked(root, machine())
    assert (found.unit, found.user_unit, found.compose_service) == ("vllm.service", False, None)


def test_a_unit_of_a_user_s_manager(tmp_path: Path) -> None:
    found = asked(cgroup(tmp_path, "/user.slice/user-1000.slice/user@1000.service/app.slice/llm.service"), machine())
    assert (found.unit, found.user_unit) == ("llm.service", True)


def test_the_compose_service_of_its_container(tmp_path: Path) -> None:
    root = cgroup(tmp_path, f"/system.slice/docker-{CONTAINER}.scope")
    folder = root / "var/lib/docker/containers" / CONTAINER
    folder.mkdir(parents=True)
    labels = {"com.docker.compose.service": "llm"}
    (folder / "config.v2.json").write_text(json.dumps({"Name": "/box-llm-1", "Config": {"Labels": labels}}))
    found = asked(root, machine())
    assert (found.unit, found.compose_service) == (None, "llm")


@pytest.mark.parametrize("fields", [{"simulated": True}, {"source": "replay"}])
def test_of_another_machine_nobody_here_is_asked(tmp_path: Path, fields: dict[str, object]) -> None:
    found = asked(cgroup(tmp_path, "/system.slice/vllm.service"), machine(**fields))
    assert found.unit is None


def test_no_server_is_told_where_none_runs(tmp_path: Path) -> None:
    seen = snapshot(gpu(), simulated=False)
    assert LocalModels(ManualClock(), tmp_path).server(seen, books_of(seen)) is None
