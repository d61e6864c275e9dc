"""Who starts a process again, from /proc and Docker's own files in a folder that stands in for the root."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpu_tui.clock import ManualClock
from gpu_tui.telemetry.managers import Manager, manager_of
from tests.telemetry.test_places import ID, Runtime, serving

CONTAINER = "0123456789abcdef" * 4


def _root(tmp_path: Path, cgroup: str, config: Any = None) -> Path:
    (tmp_path / "proc/42").mkdir(parents=True)
    (tmp_path / "proc/42/cgroup").write_text(cgroup)
    if config is not None:
        folder = tmp_path / "var/lib/docker/containers" / CONTAINER
        folder.mkdir(parents=True)
        (folder / "config.v2.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return tmp_path


def test_a_unit_of_the_system(tmp_path: Path) -> None:
    root = _root(tmp_path, "0::/system.slice/vllm.service\n")
    assert manager_of(42, root) == Manager(unit="vllm.service")


def test_a_unit_of_a_user(tmp_path: Path) -> None:
    root = _root(tmp_path, "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vllm.service\n")
    assert manager_of(42, root) == Manager(unit="vllm.service", user_unit=True)


def test_a_compose_service_by_its_container_s_label(tmp_path: Path) -> None:
    labels = {"com.docker.compose.service": "llm", "com.docker.compose.project": "box"}
    root = _root(tmp_path, f"0::/system.slice/docker-{CONTAINER}.scope\n", {"Config": {"Labels": labels}})
    assert manager_of(42, root) == Manager(compose_service="llm")


def test_a_compose_service_by_its_runtime_s_socket() -> None:
    labels = {"com.docker.compose.service": "llm"}
    with serving(
        Runtime({"Name": "/box-llm-1", "Config": {"Image": "vllm", "Labels": labels}}), "run/docker.sock"
    ) as root:
        _root(root, f"0::/system.slice/docker-{ID}.scope\n")
        assert manager_of(42, root, ManualClock()) == Manager(compose_service="llm")


def test_podman_s_own_label_beside_a_store_that_tells_none(tmp_path: Path) -> None:
    root = _root(tmp_path, f"0::/machine.slice/libpod-{CONTAINER}.scope/container\n")
    store = root / "var/lib/containers/storage/overlay-containers"
    store.mkdir(parents=True)
    named = {"id": CONTAINER, "names": ["llm_1"], "metadata": json.dumps({"image-name": "vllm"})}
    (store / "containers.json").write_text(json.dumps([named]))
    assert manager_of(42, root) == Manager()
    bundle = root / "run/containerd/io.containerd.runtime.v2.task/default" / CONTAINER
    bundle.mkdir(parents=True)
    (bundle / "config.json").write_text(json.dumps({"annotations": {"io.podman.compose.service": "llm"}}))
    assert manager_of(42, root) == Manager(compose_service="llm")


@pytest.mark.parametrize(
    "config", [None, "{", "[]", {"Config": None}, {"Config": {"Labels": None}}, {"Config": {}}, "[" * 9999]
)
def test_a_container_that_tells_nothing(tmp_path: Path, config: Any) -> None:
    root = _root(tmp_path, f"0::/system.slice/docker-{CONTAINER}.scope\n", config)
    assert manager_of(42, root) == Manager()


def test_a_process_that_is_gone_or_of_a_session(tmp_path: Path) -> None:
    root = _root(tmp_path, "0::/user.slice/user-1000.slice/session-3.scope\n")
    assert manager_of(42, root) == manager_of(43, root) == Manager()
