"""Real vLLM and real Whisper, installed when a real test was asked for, started once, put on the stand-in's GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.real import installing
from tests.real.installing import Installed
from tests.real.services import Server, Vllm, start_vllm, start_whisper
from tests.standin import Device, Process, StandIn, State

UTILIZATION = 0.5
JUDGE_MIB, WHISPER_MIB, TOTAL_MIB = 6134, 310, 12288
"""Of design's known machine: what the engine would hold of a 12 GiB card at 0.50. On a CPU there is nothing to read."""
_WHERE = installing.folder()
"""Read now: later the environment is a test's own."""

_installed = pytest.StashKey[Installed]()
_why_not = pytest.StashKey[Exception]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install before the first test, where it is seen and no test's time limit runs."""
    if session.config.option.collectonly or not any(item.get_closest_marker("real") for item in session.items):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            session.config.stash[_installed] = installing.install(_WHERE)
        except (installing.RegistryUnreachable, installing.InstallationFailed) as error:
            session.config.stash[_why_not] = error


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Not to have reached the registry is no success; to have left a test out for any other reason is a failure."""
    if exitstatus != pytest.ExitCode.OK:
        return
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    here = [one for one in reporter.stats.get("skipped", ()) if one.nodeid.startswith("tests/real/")]
    if isinstance(session.config.stash.get(_why_not, None), installing.RegistryUnreachable):
        session.exitstatus = installing.UNREACHABLE
    elif here:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say it where nobody overlooks it."""
    why = config.stash.get(_why_not, None)
    if isinstance(why, installing.RegistryUnreachable):
        terminalreporter.section("THE REAL SERVICES WERE NOT TESTED", sep="!", red=True, bold=True)
        terminalreporter.line(f"The package registry cannot be reached: {why}")


@pytest.fixture(scope="session")
def installed(pytestconfig: pytest.Config) -> Installed:
    """Both services and their models. Only an unreachable registry skips; anything else fails."""
    why = pytestconfig.stash.get(_why_not, None)
    if isinstance(why, installing.RegistryUnreachable):
        pytest.skip(f"the package registry cannot be reached: {why}")
    if why is not None:
        pytest.fail(f"the real services could not be installed: {why}", pytrace=False)
    return pytestconfig.stash[_installed]


@pytest.fixture(scope="session")
def vllm(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    """vLLM with SmolLM2's real weights."""
    folder = tmp_path_factory.mktemp("vllm")
    flags = ("--max-model-len", "2048")
    with start_vllm(installed, installed.smollm2, *flags, folder=folder, utilization=UTILIZATION) as server:
        yield server


@pytest.fixture(scope="session")
def whisper(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """faster-whisper-server with Whisper tiny.en."""
    with start_whisper(installed, folder=tmp_path_factory.mktemp("whisper")) as server:
        yield server


@dataclass(frozen=True)
class Machine:
    """A 12 GiB card whose memory is held by the real engine and the real Whisper."""

    standin: StandIn
    vllm: Vllm
    whisper: Server

    @property
    def env(self) -> dict[str, str]:
        """For gpu-tui: the stand-in as driver, no setting of anybody's."""
        return self.standin.env()

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "gpu_tui", *words]

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """A command of gpu-tui's, to its end."""
        full = self.env | env
        return subprocess.run(self.command(*words), env=full, capture_output=True, text=True, timeout=240, check=False)

    def ask(self, *words: str, **env: str) -> Any:
        """The object that a command with ``--json`` prints; it must succeed."""
        done = self.run(*words, "--json", **env)
        assert done.returncode == 0, f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)


@pytest.fixture
def machine(standin: StandIn, vllm: Vllm, whisper: Server) -> Machine:
    """NVML names the processes that do the work, as it would on a GPU: vLLM's worker, not its server."""
    rows = [Process(vllm.worker, JUDGE_MIB), Process(whisper.pid, WHISPER_MIB)]
    standin.write(State(devices=[Device(total_mib=TOTAL_MIB, processes=rows)]))
    return Machine(standin, vllm, whisper)


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test leaves the LLM server without work, so that the next one meets no traffic."""
    yield
    if "vllm" in request.fixturenames and request.node.get_closest_marker("real"):
        server: Vllm = request.getfixturevalue("vllm")
        assert server.metric("vllm:num_requests_running") == 0, "a request was left behind"
