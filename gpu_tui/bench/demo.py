"""The demo's endpoints as the parent sees them: a process to start, two addresses, a process to stop.

Never loads the HTTP client or server; `gpu_tui.bench.demo_server` does, in that process.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from types import TracebackType

import msgspec

from gpu_tui.bench.untrusted import shown
from gpu_tui.clock import Clock, SystemClock
from gpu_tui.errors import EndpointError

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 2.0
_REMEDY = "Run the demo again, or name real endpoints with --llm and --stt."


class DemoAddresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where the simulated services answer: the one line the process prints."""

    llm: str
    stt: str
    simulated: bool


class DemoServers:
    """Simulated LLM and STT endpoints on 127.0.0.1, in a process of their own. Use as a context manager.

    The process ends when `stop` is called, or when this process ends in whatever way: its stdin closes then.

    Args:
        seed: the same seed gives the same delays.
        utilization: what the simulated vLLM's ``/metrics`` says its gpu_memory_utilization is.
        ttft_ms, itl_ms, stt_ms: medians of the simulated delays; None keeps the server's own.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        utilization: float = 0.5,
        ttft_ms: float | None = None,
        itl_ms: float | None = None,
        stt_ms: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._arguments = ["--seed", str(seed), "--utilization", str(utilization)]
        for flag, value in (("--ttft-ms", ttft_ms), ("--itl-ms", itl_ms), ("--stt-ms", stt_ms)):
            if value is not None:
                self._arguments += [flag, str(value)]
        self._clock = clock or SystemClock()
        self._process: subprocess.Popen[bytes] | None = None
        self._addresses: DemoAddresses | None = None

    @property
    def pid(self) -> int | None:
        """The server's, while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> DemoAddresses:
        """Start the process and wait for its addresses (about half a second); once started, just the addresses.

        Raises:
            EndpointError: it did not start, or said nothing in time.
        """
        if self._addresses is not None:
            return self._addresses
        command = (sys.executable, "-m", "gpu_tui.bench.demo_server", *self._arguments)
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            raise EndpointError(f"The demo's endpoints did not start: {error.strerror}.", _REMEDY) from None
        try:
            self._addresses = self._read_addresses(self._process)
        finally:
            if self._addresses is None:
                self.stop()
        return self._addresses

    def stop(self) -> None:
        """End the process; a second call does nothing."""
        process, self._process, self._addresses = self._process, None, None
        if process is None:
            return
        with process:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
            with contextlib.suppress(BrokenPipeError):
                if process.stdin is not None:
                    process.stdin.close()

    def __enter__(self) -> DemoServers:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _read_addresses(self, process: subprocess.Popen[bytes]) -> DemoAddresses:
        assert process.stdout is not None  # noqa: S101 - asked for by the caller
        fileno, line = process.stdout.fileno(), b""
        deadline = self._clock.monotonic() + START_TIMEOUT_S
        while not line.endswith(b"\n"):
            left = deadline - self._clock.monotonic()
            if left <= 0 or not select.select([fileno], [], [], left)[0]:
                raise EndpointError("The demo's endpoints did not start in time.", _REMEDY)
            data = os.read(fileno, 4096)
            if not data:
                raise EndpointError("The demo's endpoints ended at once.", _REMEDY)
            line += data
        try:
            return msgspec.json.decode(line, type=DemoAddresses)
        except msgspec.DecodeError:
            said = shown(line.decode("utf-8", "replace"), 80)
            raise EndpointError(f"The demo's endpoints said {said!r}.", _REMEDY) from None
