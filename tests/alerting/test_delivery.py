"""Log, command and webhook over real files, processes and servers, as they fail in real life."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpu_tui.alerting.carriers import Command, LogFile, Webhook
from gpu_tui.alerting.outbox import CarrierError, Outbox

MESSAGE = json.dumps({"type": "alert_raised", "message": "ollama is gone"}).encode()


def failing(carry: Callable[[bytes], None]) -> str:
    with pytest.raises(CarrierError) as caught:
        carry(MESSAGE)
    return str(caught.value)


def until(holds: Callable[[], object], patience_s: float = 20.0) -> None:
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- log


def test_the_log_gets_a_line_each_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "alerts.log"
    log = LogFile(file)
    log.carry(MESSAGE)
    file.rename(tmp_path / "alerts.log.1")
    log.carry(MESSAGE)
    assert file.read_bytes() == (tmp_path / "alerts.log.1").read_bytes() == MESSAGE + b"\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told() -> None:
    assert failing(LogFile(Path("/dev/full")).carry) == "No space left on device"


def test_a_log_that_cannot_be_is_told(tmp_path: Path) -> None:
    assert failing(LogFile(tmp_path / "none" / "a.log").carry) == "No such file or directory"
    assert failing(LogFile(tmp_path).carry) == "Is a directory"


def test_a_fifo_that_nobody_reads_hangs_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert failing(LogFile(tmp_path / "fifo").carry) == "No such device or address"


# --- command


def script(tmp_path: Path, body: str) -> tuple[str, ...]:
    file = tmp_path / "hook.sh"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o700)
    return (str(file), "$(touch injected)", "; touch injected")


def test_a_command_gets_the_alert_on_its_standard_input_and_no_shell_reads_its_arguments(tmp_path: Path) -> None:
    out = tmp_path / "out"
    Command(script(tmp_path, f'cat > {out}; printf "%s" "$1$2" >> {out}'), 20).carry(MESSAGE)
    assert out.read_bytes() == MESSAGE + b"\n$(touch injected); touch injected"
    assert not (tmp_path / "injected").exists()


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    started = time.monotonic()
    told = failing(Command(script(tmp_path, f"sleep 600 & echo $! > {pid}; wait"), 0.5).carry)
    assert told == "it had not ended after 0.5 s"
    assert time.monotonic() - started < 15
    until(lambda: _gone(int(pid.read_text())))


def test_what_a_command_leaves_behind_is_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    Command(script(tmp_path, f"sleep 600 & echo $! > {pid}"), 20).carry(MESSAGE)
    until(lambda: _gone(int(pid.read_text())))


def _gone(pid: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True


def test_a_command_that_fails_or_is_not_there_is_told_without_its_arguments(tmp_path: Path) -> None:
    assert failing(Command(script(tmp_path, "exit 7"), 20).carry) == "it ended with 7"
    missing = Command(("/none/notify", "--token", "s3cret"), 20)
    assert failing(missing.carry) == "No such file or directory"
    assert missing.name == "command /none/notify"


def test_a_command_that_reads_nothing_is_no_failure(tmp_path: Path) -> None:
    Command(script(tmp_path, "exit 0"), 20).carry(b"x" * 1_000_000)


# --- webhook


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Content-Type"], body))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextlib.contextmanager
def hook(status: int = 204) -> Iterator[http.server.HTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.got, server.status = [], status  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_webhook_gets_json() -> None:
    with hook() as server:
        carrier = Webhook(f"http://127.0.0.1:{server.server_port}/services/s3cret?x=1", 20)
        carrier.carry(MESSAGE)
        assert server.got == [("/services/s3cret?x=1", "application/json", MESSAGE)]  # type: ignore[attr-defined]
        assert carrier.name == f"webhook http://127.0.0.1:{server.server_port}/***"


@pytest.mark.parametrize("status", [301, 404, 500])
def test_an_answer_that_is_no_success_is_told_and_no_redirection_followed(status: int) -> None:
    with hook(status) as server:
        assert failing(Webhook(f"http://127.0.0.1:{server.server_port}/", 20).carry) == f"it answered {status}"
        assert len(server.got) == 1  # type: ignore[attr-defined]


@contextlib.contextmanager
def raw(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that takes one connection and does `answer` with it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError), listening.accept()[0] as connection:
                answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
    thread.join(20)


def test_a_webhook_that_hangs_or_drips_is_given_up_in_time() -> None:
    def hang(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    def drip(connection: socket.socket) -> None:
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    for behave in (hang, drip):
        started = time.monotonic()
        with raw(behave) as port:
            assert failing(Webhook(f"http://127.0.0.1:{port}/", 0.5).carry) == "no answer within 0.5 s"
        assert time.monotonic() - started < 15


def test_a_webhook_that_nobody_serves_or_that_speaks_nonsense_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert failing(Webhook(f"http://127.0.0.1:{port}/", 20).carry) == "Connection refused"

    def nonsense(connection: socket.socket) -> None:
        got = b""
        while MESSAGE not in got:
            got += connection.recv(65536)
        connection.sendall(b"220 smtp ready\r\n")

    with raw(nonsense) as port:
        assert failing(Webhook(f"http://127.0.0.1:{port}/", 20).carry) == "BadStatusLine"
    with raw(lambda connection: connection.sendall(b"no TLS here, and more of it\r\n")) as port:
        assert "s3cret" not in failing(Webhook(f"https://127.0.0.1:{port}/s3cret", 20).carry)


# --- the outbox


class Told:
    """A carrier that does as it is told."""

    def __init__(self, name: str = "carrier") -> None:
        self.name = name
        self.got: list[bytes] = []
        self.gate = threading.Event()
        self.gate.set()
        self.failure: Exception | None = None

    def carry(self, message: bytes) -> None:
        self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.got.append(message)


def test_a_carrier_that_hangs_makes_nobody_wait_and_what_is_too_much_is_counted() -> None:
    stuck, swift, said = Told("stuck"), Told("swift"), []
    stuck.gate.clear()
    outbox = Outbox([stuck, swift], said.append, most=8)
    started = time.monotonic()
    for n in range(100):
        outbox.put(b"%d" % n)
        until(lambda n=n: len(swift.got) == n + 1)  # type: ignore[misc]
    assert time.monotonic() - started < 10
    assert outbox.tallies["stuck"].dropped >= 100 - 8 - 1
    assert said == ["stuck is too slow: alerts are dropped."]
    stuck.gate.set()
    until(lambda: len(stuck.got) == 100 - outbox.tallies["stuck"].dropped)
    assert stuck.got[0] == b"0"
    outbox.close(5.0)


def test_trouble_is_told_when_it_begins_and_when_it_changes_and_ends_no_thread() -> None:
    carrier, said = Told(), []
    outbox = Outbox([carrier], said.append)
    for number, failure in enumerate(
        [CarrierError("full"), CarrierError("full"), None, CarrierError("full"), ValueError("s3cret")]
    ):
        carrier.failure = failure
        outbox.put(b"x")
        until(lambda number=number: (t := outbox.tallies["carrier"]).sent + t.failed == number + 1)  # type: ignore[misc]
    assert said == ["carrier has not taken an alert: full."] * 2 + ["carrier has not taken an alert: ValueError."]
    outbox.close(5.0)


def test_what_waits_goes_out_before_the_end() -> None:
    carrier = Told()
    outbox = Outbox([carrier], lambda _: None)
    for n in range(20):
        outbox.put(b"%d" % n)
    outbox.close(10.0)
    assert len(carrier.got) == 20
