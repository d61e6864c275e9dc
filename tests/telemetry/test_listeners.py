from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from gpu_tui.telemetry.listeners import Listener, listening_ports

LISTEN = """
import socket, subprocess, sys
listeners = [socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
             for host in sys.argv[2:]]
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) \
    if sys.argv[1] == "child" else None
print(child.pid if child else 0, *(one.getsockname()[1] for one in listeners), flush=True)
sys.stdin.read()
"""


@contextmanager
def listening(*hosts: str, child: bool = False) -> Iterator[tuple[int, int, list[int]]]:
    """A process with these listeners, and a child that has none: their pids, and the ports."""
    command = (sys.executable, "-c", LISTEN, "child" if child else "alone", *hosts)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child_pid, *ports = map(int, process.stdout.readline().split())
        yield process.pid, child_pid, ports


def test_own_listeners() -> None:
    with listening("127.0.0.1", "0.0.0.0") as (pid, _, (loopback, wildcard)):
        found = listening_ports([pid])[pid]
    assert found is not None
    assert {(one.pid, one.address, one.port) for one in found} == {
        (pid, "127.0.0.1", loopback),
        (pid, "0.0.0.0", wildcard),
    }


def test_an_engine_is_reached_through_its_server_and_a_server_through_its_worker() -> None:
    with listening("127.0.0.1", child=True) as (server, engine, (port,)):
        found = listening_ports([engine, server])
    for pid in (engine, server):
        listeners = found[pid]
        assert listeners is not None
        assert [(one.pid, one.port) for one in listeners] == [(server, port)]


def test_nobody_listens_and_nobody_is_there() -> None:
    with listening() as (pid, _, _ports):
        assert listening_ports([pid]) == {pid: ()}
    assert listening_ports([pid]) == {pid: ()}
    assert listening_ports([]) == {}


def test_connections_that_do_not_listen_are_left_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = (
            "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); "
            "print(flush=True); sys.stdin.read()"
        )
        command = (sys.executable, "-c", code, str(server.getsockname()[1]))
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
            assert client.stdout is not None
            client.stdout.readline()
            assert listening_ports([client.pid]) == {client.pid: ()}


class Closed(psutil.Process):
    """A process of another user: there, and not to be looked into."""

    def net_connections(self, kind: str = "inet") -> list[object]:  # type: ignore[override]
        raise psutil.AccessDenied(self.pid)


def test_a_process_that_may_not_be_looked_into_is_unknown_not_silent() -> None:
    with listening("127.0.0.1") as (pid, _, _ports):
        assert listening_ports([pid], open_process=Closed) == {pid: None}


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("127.0.0.2", "http://127.0.0.2:80"),
        ("192.168.1.7", "http://192.168.1.7:80"),
        ("::ffff:127.0.0.1", "http://127.0.0.1:80"),
        ("fe80::1%eth0", "http://[fe80::1]:80"),
    ],
)
def test_where_a_listener_is_reached(address: str, url: str) -> None:
    assert Listener(pid=1, address=address, port=80).url == url
