"""``gpu-tui exporter`` as a process: over the stand-in driver and simulated machines, scraped over HTTP."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.standin import DRIVER_NOT_LOADED, HANG, Device, Sleepers, StandIn, State, known_machine

PATIENCE_S = 30.0
"""Longest a shared machine may take for what takes a second."""


class Running:
    """An exporter that serves."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        assert process.stderr is not None
        for line in process.stderr:
            self.said.append(line.rstrip())
            if "Serving " in line:
                self.url = line.rpartition("Serving ")[2].strip()
                return
        raise AssertionError(f"it ended with {process.wait()}: {self.said}")

    def get(self, path: str = "") -> str:
        with urllib.request.urlopen(self.url.removesuffix("/metrics") + (path or "/metrics"), timeout=10) as answer:
            return str(answer.read().decode())

    def until(self, holds: Callable[[str], object]) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while not holds(page := self.get()):
            assert time.monotonic() < deadline, page
            time.sleep(0.05)
        return page

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextlib.contextmanager
def exporter(*words: str, env: dict[str, str] | None = None) -> Iterator[Running]:
    command = [sys.executable, "-m", "gpu_tui", "exporter", "--listen", "127.0.0.1:0", "--interval", "0.1", *words]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Running(process)
    finally:
        process.kill()
        process.communicate()


def sample(page: str, name: str, label: str = "") -> float | None:
    found = re.findall(rf"^{name}(?:\{{[^\n]*{re.escape(label)}[^\n]*\}})? (\S+)$", page, re.MULTILINE)
    return float(found[0]) if found else None


def test_a_machine_is_served_until_sigterm(standin: StandIn, sleepers: Sleepers) -> None:
    known_machine(standin, sleepers)
    with exporter(env=standin.env()) as running:
        page = running.until(lambda page: sample(page, "gpu_tui_up"))
        assert sample(page, "gpu_tui_service_memory_bytes", 'service="judge"') == 6134 * 1024**2
        assert sample(page, "gpu_tui_plan_valid") == 1
        assert sample(page, "gpu_tui_service_memory_peak_bytes", 'service="judge"') == 6134 * 1024**2
        assert "simulated" not in page
        assert "/metrics" in running.get("/")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            running.get("/etc/passwd")
        assert running.said == [f"gpu-tui: Serving {running.url}"]
        assert running.end() == 0


def test_a_driver_that_hangs_is_down_and_scrapes_go_on(standin: StandIn, sleepers: Sleepers) -> None:
    known_machine(standin, sleepers)
    with exporter(env=standin.env()) as running:
        running.until(lambda page: sample(page, "gpu_tui_up") == 1)
        standin.state.devices[0].calls = {"nvmlDeviceGetMemoryInfo*": HANG}
        standin.write()
        page = running.until(lambda page: sample(page, "gpu_tui_up") == 0)
        assert sample(page, "gpu_tui_reading_age_seconds") > 2.0  # type: ignore[operator]
        assert sample(page, "gpu_tui_gpu_memory_free_bytes") is None
        started = time.monotonic()
        running.get()
        assert time.monotonic() - started < 2.0, "a scrape waits for no driver"
        standin.state.devices[0].calls = {}
        standin.write()
        running.until(lambda page: sample(page, "gpu_tui_up") == 1)
        standin.state.devices[0].calls = {"nvmlDeviceGetMemoryInfo*": HANG}
        standin.write()
        running.until(lambda page: sample(page, "gpu_tui_up") == 0)
        assert running.end() == 0


def test_a_driver_that_is_missing_is_told_and_may_come(standin: StandIn) -> None:
    standin.write(State(init_error=DRIVER_NOT_LOADED))
    with exporter(env=standin.env()) as running:
        page = running.until(lambda page: sample(page, "gpu_tui_reading_errors_total"))
        assert 'kind="driver_not_loaded"' in page
        standin.write(State(devices=[Device()]))
        running.until(lambda page: sample(page, "gpu_tui_up"))
        assert running.end() == 0
        assert running.process.stderr is not None
        # Whether the first failure is told before or after the address is the machine's affair.
        told = [*running.said, *running.process.stderr.read().splitlines()]
    for words in ("The NVIDIA driver is installed but not running", "The machine is read again."):
        assert sum(words in line for line in told) == 1, "told once, not at every reading"


def test_many_clients_that_say_nothing_keep_nobody_from_scraping() -> None:
    with exporter("--demo") as running, contextlib.ExitStack() as held:
        host, port = "127.0.0.1", int(running.url.split(":")[2].split("/")[0])
        for _ in range(40):
            held.enter_context(socket.create_connection((host, port), timeout=5)).sendall(b"GET /metrics HTTP/1.1\r\n")
        assert sample(running.get(), "gpu_tui_gpu_up") is not None or running.until(
            lambda page: "gpu_tui_gpu_up" in page
        )
        assert running.said[0].startswith("gpu-tui: SIMULATED: these metrics")


def test_a_crowd_of_clients_makes_no_crowd_of_threads() -> None:
    with exporter("--demo") as running, contextlib.ExitStack() as held:
        port = int(running.url.split(":")[2].split("/")[0])
        for _ in range(200):
            held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        threads = len(list(Path(f"/proc/{running.process.pid}/task").iterdir()))
        assert threads < 64 + 16
        held.close()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError):
                assert "gpu_tui_up" in running.get()
                break
            assert time.monotonic() < deadline


def test_a_port_in_use_is_one_sentence_and_3() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "gpu_tui", "exporter", "--demo", "--listen", f"127.0.0.1:{port}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        f"gpu-tui: The exporter cannot listen on 127.0.0.1 port {port}: Address already in use.",
        "gpu-tui: End what listens there, or choose another address with --listen HOST:PORT.",
    ]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1:9835", ":9835", "localhost:http", "localhost:70000", ""])
def test_an_address_that_means_nothing_is_2(address: str) -> None:
    command = [sys.executable, "-m", "gpu_tui", "exporter", "--demo", f"--listen={address}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "9835" in done.stderr


def test_another_address_than_loopback_warns() -> None:
    with exporter("--demo", "--listen", "0.0.0.0:0") as running:
        assert any("Warning: whoever can reach 0.0.0.0 can read these metrics" in line for line in running.said)


def test_without_the_extra_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['prometheus_client'] = None; from gpu_tui.cli.main import entry; entry()"
    done = subprocess.run(
        [sys.executable, "-c", code, "exporter", "--demo"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3
    assert "needs the package prometheus-client" in done.stderr
    assert f"pip --python {shlex.quote(sys.executable)} install prometheus-client" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="Prometheus is not installed: Debian's package prometheus"
)
def test_a_real_prometheus_scrapes_it(tmp_path: Path) -> None:
    with exporter("--demo") as running, socket.create_server(("127.0.0.1", 0)) as free:
        target, own = running.url.split("/")[2], f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        config = tmp_path / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\n"
            f"scrape_configs: [{{job_name: gpu-tui, static_configs: [{{targets: ['{target}']}}]}}]\n"
        )
        server = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={tmp_path}/db",
                f"--web.listen-address={own}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            query = f"http://{own}/api/v1/query?query=gpu_tui_plan_feasible_min_ratio"
            deadline = time.monotonic() + 60
            answer = ""
            while '"0.494"' not in answer:
                assert time.monotonic() < deadline, answer
                time.sleep(0.2)
                with contextlib.suppress(OSError), urllib.request.urlopen(query, timeout=5) as reply:
                    answer = reply.read().decode()
            assert '"simulated":"true"' in answer
        finally:
            server.terminate()
            server.wait(20)
