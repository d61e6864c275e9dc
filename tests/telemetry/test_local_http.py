"""A GET to this machine: whatever answers there, it comes back with text or with None, in bounded time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_tui.telemetry.local_http import MOST_BYTES, get

Handler = Callable[[socket.socket], None]


@contextmanager
def server(handle: Handler, host: str = "127.0.0.1") -> Iterator[int]:
    """A port that answers every connection with `handle`, after the request's first bytes."""
    with socket.create_server((host, 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    one, _ = listener.accept()
                except OSError:
                    return
                with one:
                    try:
                        one.recv(65536)
                        handle(one)
                    except OSError:
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def says(data: bytes) -> Handler:
    return lambda one: one.sendall(data)


def answer(body: bytes, status: str = "200 OK", *more: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *more])
    return head.encode() + b"\r\n\r\n" + body


def test_a_page() -> None:
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            one, _ = listener.accept()
            with one:
                requests.append(one.recv(65536))
                one.sendall(answer(b'{"version": "0.19.1"}'))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert get(listener.getsockname()[1], "/version") == '{"version": "0.19.1"}'
        thread.join(5)
    assert requests[0].startswith(b"GET /version HTTP/1.1\r\n")


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param(answer(b"x\xffy"), "x\ufffdy", id="no-utf8"),
        pytest.param(CHUNKED + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", "abc", id="chunked"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nuntil it ends", "until it ends", id="without-a-length"),
        pytest.param(answer(b"no", "401 Unauthorized"), None, id="401"),
        pytest.param(answer(b"no", "302 Found", "Location: http://192.0.2.1/"), None, id="redirect"),
        pytest.param(answer(b"no", "503 Service Unavailable"), None, id="loading"),
        pytest.param(answer(b"whole page")[:-4], None, id="body-cut-short"),
        pytest.param(CHUNKED + b"a\r\nabc", None, id="chunk-cut-short"),
        pytest.param(CHUNKED + b"zz\r\nabc", None, id="no-chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-", "", id="headers-cut-short"),
        pytest.param(b"", None, id="nothing"),
        pytest.param(b"\x00\x01\xff" * 1000, None, id="garbage"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n", None, id="too-many-headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, None, id="endless-header"),
    ],
)
def test_what_a_server_may_say(data: bytes, told: str | None) -> None:
    with server(says(data)) as port:
        assert get(port, "/metrics") == told


def test_a_huge_page_is_cut() -> None:
    def endless(one: socket.socket) -> None:
        one.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            one.sendall(b"x" * 65536)

    with server(endless) as port:
        told = get(port, "/metrics")
    assert told is not None
    assert len(told) == MOST_BYTES


def test_a_server_that_hangs_is_given_up() -> None:
    gone = threading.Event()
    with server(lambda one: gone.wait(20) and None) as port:
        before = time.monotonic()
        assert get(port, "/metrics", timeout_s=0.2) is None
        assert time.monotonic() - before < 5
        gone.set()


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_a_server_that_drips_is_given_up(head: bytes) -> None:
    def drip(one: socket.socket) -> None:
        one.sendall(head)
        while True:  # never silent for as long as a read may take
            one.sendall(b"x")
            time.sleep(0.05)

    with server(drip) as port:
        before = time.monotonic()
        assert get(port, "/metrics", timeout_s=2, whole_s=0.4) is None
        assert time.monotonic() - before < 8


def test_only_this_machine_is_asked() -> None:
    with server(says(answer(b"here"))) as port:
        assert get(port, "/metrics") == "here"
        assert get(port, "/metrics", host="192.0.2.1") is None
        assert get(port, "/metrics", host="example.com") is None
    assert get(port, "/metrics", timeout_s=0.5) is None
    for wrong in (0, -1, 65536):
        assert get(wrong, "/metrics") is None


@settings(max_examples=60)
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(lambda tail: b"HTTP/1.1 200 OK\r\n" + tail)))
def test_no_answer_raises(data: bytes) -> None:
    with server(says(data)) as port:
        told = get(port, "/", timeout_s=2)
    assert told is None or isinstance(told, str)
