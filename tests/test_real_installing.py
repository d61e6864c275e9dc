"""What keeps the real services from being tested: only a registry that cannot be reached may, and it is told."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.real import installing

INSTALLING = Path(installing.__file__)


class Empty(BaseHTTPRequestHandler):
    """A registry that answers, and has nothing."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def empty_registry() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Empty)
    threading.Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.server_port}/simple"
    server.shutdown()
    server.server_close()


@pytest.fixture
def nobody() -> Iterator[str]:
    """The address of a registry where connections are refused: the port is held, and nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/simple"


def with_registry(url: str, folder: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    pip = {"PIP_INDEX_URL": url, "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "1", "PIP_NO_CACHE_DIR": "1"}
    return own | pip | {installing.VARIABLE: str(folder)}


def installed(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(INSTALLING)]
    env = with_registry(url, folder)
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=100, check=False)


def real_tests(url: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/real/test_discovery.py", *words]
    env, root = with_registry(url, folder), INSTALLING.parents[2]
    return subprocess.run(command, env=env, cwd=root, capture_output=True, text=True, timeout=100, check=False)


def test_a_registry_that_refuses_connections_is_75(nobody: str, tmp_path: Path) -> None:
    done = installed(nobody, tmp_path)
    assert done.returncode == 75, done.stderr
    assert done.stderr.startswith("The package registry cannot be reached: ERROR: ")
    assert not list(tmp_path.glob("*.done")), "the next run tries again"


def test_a_package_that_is_not_there_is_a_failure(empty_registry: str, tmp_path: Path) -> None:
    done = installed(empty_registry, tmp_path)
    assert done.returncode == 1
    assert "could not be installed" in done.stderr
    assert "No matching distribution" in done.stderr


def test_a_folder_that_cannot_be_written_is_a_failure(nobody: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = installed(nobody, tmp_path / "file" / "folder")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "could not be installed" in done.stderr


def log(*lines: str) -> str:
    return "".join(f"2026-01-01T00:00:00,000 {line}\n" for line in lines)


PAGE = "Could not fetch URL https://registry.example/simple/x/:"


@pytest.mark.parametrize(
    ("told", "unreachable"),
    [
        (f"{PAGE} connection error: [Errno 111] Connection refused - skipping", True),
        (f"{PAGE} connection error: HTTPSConnectionPool(…): Max retries exceeded with url: /x (Caused by X) - …", True),
        (f"{PAGE} connection error: Failed to resolve IP address for 'registry.example' - skipping", True),
        (f"{PAGE} proxy connection error: Unable to connect to proxy - skipping", True),
        (f"{PAGE} timed out - skipping", True),
        (f"{PAGE} registry.example didn't respond within 15.0 seconds - skipping", True),
        ("ERROR: Could not install packages due to an OSError: Max retries exceeded with url: /x (Caused by X)", True),
        (f"{PAGE} 404 Client Error: Not Found for url: https://registry.example/simple/x/ - skipping", False),
        (f"{PAGE} problem with the ssl certificate: Max retries exceeded with url: /x (Caused by SSLError(…))", False),
        ("WARNING: Retrying (Retry(total=4, …)) after connection broken by 'NewConnectionError(…)': /simple/x/", False),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", False),
        ("ERROR: Failed building wheel for x", False),
    ],
)  # fmt: skip
def test_what_pip_says_of_a_registry_that_cannot_be_reached(told: str, unreachable: bool) -> None:
    """Of pip 23 and 26; a connection that came at the second try is none of it."""
    assert installing.unreachable(log("Looking in indexes: …", told)) is unreachable


def test_an_unreachable_registry_skips_loudly_and_is_no_success(nobody: str, tmp_path: Path) -> None:
    done = real_tests(nobody, tmp_path, "-m", "real")
    assert done.returncode == 75, done.stdout
    assert "THE REAL SERVICES WERE NOT TESTED" in done.stdout
    assert "skipped" in done.stdout


def test_any_other_reason_fails(empty_registry: str, tmp_path: Path) -> None:
    done = real_tests(empty_registry, tmp_path, "-m", "real")
    assert done.returncode == 1, done.stdout
    assert "the real services could not be installed" in done.stdout
    assert "skipped" not in done.stdout


def test_nothing_is_installed_unless_it_is_asked_for_and_that_is_told(nobody: str, tmp_path: Path) -> None:
    for words in ((), ("-m", "not slow")):
        done = real_tests(nobody, tmp_path / "none", *words)
        assert done.returncode == 5, "pytest's code for a run without tests"
        assert re.search(r"Left out: \d+ tests of real vLLM and Whisper; -m real runs them\.", done.stdout)
    assert not (tmp_path / "none").exists()
