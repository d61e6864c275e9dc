"""Where processes live: control groups of both versions, runtimes' files and sockets, ports, pids inside."""

from __future__ import annotations

import http.server
import json
import os
import socket
import socketserver
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gpu_tui.clock import ManualClock
from gpu_tui.telemetry.cgroups import Keeper, keeper
from gpu_tui.telemetry.containers import AGAIN_S, Containers
from gpu_tui.telemetry.places import Places, inner_pid
from gpu_tui.telemetry.processes import PORTS_EVERY_S, ProcessTable
from gpu_tui.telemetry.sockets import ListeningPorts, listeners
from tests.standin import Sleepers

ID = "4f" * 32
OTHER_ID = "ab" * 32
POD = "0e9d1c2a-1111-4222-8333-444455556666"


@pytest.mark.parametrize(
    ("path", "runtime", "pod"),
    [
        (f"0::/system.slice/docker-{ID}.scope", "docker", None),
        (f"12:memory:/docker/{ID}", "docker", None),
        (f"0::/machine.slice/libpod-{ID}.scope/container", "podman", None),
        (f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope", "podman", None),
        (
            f"0::/kubepods.slice/kubepods-pod{POD.replace('-', '_')}.slice/cri-containerd-{ID}.scope",
            "containerd",
            POD,
        ),
        (f"3:cpu:/kubepods/besteffort/pod{POD}/{ID}", None, POD),
        (f"0::/kubepods.slice/kubepods-pod{POD.replace('-', '_')}.slice/crio-{ID}.scope", "cri-o", POD),
    ],
)
def test_containers_of_both_versions(path: str, runtime: str | None, pod: str | None) -> None:
    assert keeper(path + "\n") == Keeper(container=ID, runtime=runtime, pod=pod)


def write(root: Path, path: str, content: object) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))


def process(root: Path, pid: int, cgroup: str, status: str = "") -> None:
    write(root, f"proc/{pid}/cgroup", cgroup)
    write(root, f"proc/{pid}/status", status)


def test_a_unit_of_the_system_and_of_a_user(tmp_path: Path) -> None:
    process(tmp_path, 7, "0::/system.slice/ollama.service\n")
    process(tmp_path, 8, "0::/user.slice/user-1000.slice/user@1000.service/app.slice/voice.service\n", "NSpid:\t8\t1\n")
    places = Places(ManualClock(), tmp_path)
    assert places.of(7) == {"unit": "ollama.service", "unit_uid": None, "pod": None, "inner_pid": None}
    assert places.of(8) == {"unit": "voice.service", "unit_uid": 1000, "pod": None, "inner_pid": 1}
    assert places.of(9) == {}


def test_a_docker_container_by_its_file(tmp_path: Path) -> None:
    process(tmp_path, 4242, f"0::/system.slice/docker-{ID}.scope\n", "Name:\tpython\nNSpid:\t4242\t7\n")
    config = {"Name": "/whisper", "Config": {"Image": "fedirz/faster-whisper-server:latest", "Labels": {}}}
    write(tmp_path, f"var/lib/docker/containers/{ID}/config.v2.json", config)
    assert Places(ManualClock(), tmp_path).of(4242) == {
        "container": ID,
        "container_name": "whisper",
        "runtime": "docker",
        "image": "fedirz/faster-whisper-server:latest",
        "pod": None,
        "namespace": None,
        "inner_pid": 7,
    }


def named(root: Path) -> tuple[str | None, str | None, str | None, str | None]:
    found = Containers(ManualClock(), root).named(Keeper(container=ID))
    return found.name, found.image, found.pod, found.namespace


def test_a_pod_by_containerds_bundle(tmp_path: Path) -> None:
    annotations = {
        "io.kubernetes.cri.container-name": "vllm",
        "io.kubernetes.cri.image-name": "vllm/vllm-openai:v0.11.0",
        "io.kubernetes.cri.sandbox-name": "judge-0",
        "io.kubernetes.cri.sandbox-namespace": "prod",
    }
    write(
        tmp_path,
        f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json",
        {"annotations": annotations},
    )
    assert named(tmp_path) == ("vllm", "vllm/vllm-openai:v0.11.0", "judge-0", "prod")


def test_a_pod_by_the_kubelets_links(tmp_path: Path) -> None:
    write(tmp_path, f"var/log/containers/judge-0_prod_vllm-{ID}.log", "")
    write(tmp_path, f"var/log/containers/else_dev_x-{OTHER_ID}.log", "")
    assert named(tmp_path) == ("vllm", None, "judge-0", "prod")


def test_podmans_store(tmp_path: Path) -> None:
    rows = [{"id": OTHER_ID, "names": ["x"]}, {"id": ID, "names": ["tts"], "metadata": '{"image-name": "piper:1"}'}]
    write(tmp_path, "var/lib/containers/storage/overlay-containers/containers.json", rows)
    assert named(tmp_path) == ("tts", "piper:1", None, None)


@pytest.mark.parametrize("content", ["", "[", "[1, null]", '{"Config": 3, "Name": []}', '"' + "x" * 100, "{}"])
def test_files_that_mean_nothing(tmp_path: Path, content: str) -> None:
    write(tmp_path, f"var/lib/docker/containers/{ID}/config.v2.json", content)
    write(tmp_path, "var/lib/containers/storage/overlay-containers/containers.json", content)
    write(tmp_path, f"run/containerd/io.containerd.runtime.v2.task/moby/{ID}/config.json", content)
    assert named(tmp_path)[2:] == (None, None)
    assert named(tmp_path)[1] is None


class Runtime:
    """Docker's API on a socket: one container, and how often it was asked."""

    def __init__(self, told: dict[str, Any], delay_s: float = 0.0) -> None:
        self.asked: list[str] = []
        runtime = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                runtime.asked.append(self.path)
                time.sleep(delay_s)
                body = json.dumps(told if self.path == f"/containers/{ID}/json" else {}).encode()
                self.send_response(200 if ID in self.path else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self) -> str:
                return "socket"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.handler = Handler


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gave up is no news."""


@contextmanager
def serving(runtime: Runtime, path: str) -> Iterator[Path]:
    """The API under a root of its own, whose path is short enough for a socket's."""
    with tempfile.TemporaryDirectory(dir="/tmp") as root:
        at = Path(root) / path
        at.parent.mkdir(parents=True)
        with _Server(str(at), runtime.handler) as server:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            yield Path(root)
            server.shutdown()


@pytest.mark.parametrize("path", ["run/docker.sock", "run/podman/podman.sock"])
def test_the_runtimes_socket_is_asked_once_per_container(path: str) -> None:
    runtime = Runtime({"Name": "/voice", "Config": {"Image": "voice:3"}})
    with serving(runtime, path) as root:
        containers = Containers(ManualClock(), root)
        for _ in range(3):
            found = containers.named(Keeper(container=ID, runtime="docker"))
        assert (found.name, found.image) == ("voice", "voice:3")
        assert found.source == str(root / path)
        assert containers.named(Keeper(container=OTHER_ID)).name is None
    assert runtime.asked == [f"/containers/{ID}/json", f"/containers/{OTHER_ID}/json"]


def test_a_socket_that_hangs_costs_one_wait_and_is_told() -> None:
    runtime = Runtime({}, delay_s=30)
    clock = ManualClock()
    with serving(runtime, "run/docker.sock") as root:
        containers = Containers(clock, root)
        begun = time.monotonic()
        assert containers.named(Keeper(container=ID)).name is None
        assert containers.named(Keeper(container=OTHER_ID)).name is None
        assert time.monotonic() - begun < 5
        assert len(runtime.asked) == 1
        assert containers.refused == {str(root / "run/docker.sock"): "timed out"}
        clock.advance(AGAIN_S)
        containers.named(Keeper(container="cd" * 32))
        assert len(runtime.asked) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    path = f"var/lib/docker/containers/{ID}/config.v2.json"
    write(tmp_path, path, {"Name": "/x"})
    (tmp_path / path).chmod(0)
    containers = Containers(ManualClock(), tmp_path)
    assert containers.named(Keeper(container=ID)).name is None
    assert containers.refused == {str(tmp_path / path): "permission denied"}


@pytest.mark.parametrize(
    ("status", "inside"),
    [("NSpid:\t4242\n", None), ("NSpid:\t4242\t88\t7\n", 7), ("NSpid:\n", None), ("", None), ("NSpid:\tx\n", None)],
)
def test_the_pid_inside(status: str, inside: int | None) -> None:
    assert inner_pid(f"Name:\tx\n{status}", 4242) == inside


def test_listeners_leave_out_the_rest() -> None:
    table = (
        "  sl  local_address rem_address   st\n"
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 5551 1 0 100\n"
        "   1: 0100007F:0050 0100007F:C001 01 00000000:00000000 00:00000000 00000000  1000 0 5552 1 0 100\n"
        "   2: 0100007F:zzzz 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 5553 1 0 100\n"
        "   3: 0100007F:1F91\n"
    )
    assert listeners(table) == {"5551": 8080}


def test_the_ports_of_this_very_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("::1", 0), family=socket.AF_INET6) as six:
        ports = {one.getsockname()[1], six.getsockname()[1]}
        found = ListeningPorts(ManualClock()).of(os.getpid())
    assert found is not None
    assert ports <= set(found)
    assert ListeningPorts(ManualClock()).of(2**22 - 1) is None


def test_a_port_opened_later_is_found_in_its_turn() -> None:
    clock = ManualClock()
    table = ProcessTable(clock)
    pid = os.getpid()
    before = table.read([pid])[pid].ports or ()
    with socket.create_server(("127.0.0.1", 0)) as late:
        port = late.getsockname()[1]
        assert port not in before
        assert table.read([pid])[pid].ports == before  # as it was found
        clock.advance(PORTS_EVERY_S)
        for _ in range(20):
            table.read([pid])
            clock.advance(1)
        assert port in (table.read([pid])[pid].ports or ())
    table.close()


def test_a_process_in_a_container_by_the_table(tmp_path: Path, sleepers: Sleepers) -> None:
    pid = sleepers.kloros()
    process(tmp_path, pid, f"0::/system.slice/docker-{ID}.scope\n", f"NSpid:\t{pid}\t1\n")
    write(tmp_path, f"var/lib/docker/containers/{ID}/config.v2.json", {"Name": "/voice", "Config": {"Image": "v:1"}})
    table = ProcessTable(ManualClock(), root=tmp_path)
    row = table.read([pid])[pid]
    assert (row.container_name, row.image, row.inner_pid, row.unit) == ("voice", "v:1", 1, None)
    # Nothing of it is read twice: its group is gone, and the row stands.
    (tmp_path / f"proc/{pid}/cgroup").unlink()
    assert table.read([pid])[pid].container_name == "voice"
    table.close()
