"""The parent's side of a measurement: start the child, read its events, end it. Never loads the HTTP client.

The child is a process of its own, in a session of its own, so that drawing never counts as latency and Ctrl-C in
the terminal reaches the parent alone. Its stdin stays open as a tether: when the parent dies, however it dies,
the pipe closes and the child ends (PR_SET_PDEATHSIG would fire when a *thread* of the parent ends).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from types import TracebackType

from gpu_tui.bench.events import Event, Preview, Summary, UnreadableEvent, decode_event
from gpu_tui.bench.plan import MeasurePlan, dump_plan
from gpu_tui.bench.untrusted import shown
from gpu_tui.errors import GpuTuiError

GRACE_S = 2.0
"""Between SIGTERM and SIGKILL: closing sockets takes milliseconds, a stuck interpreter takes for ever."""
STDERR_TAIL_BYTES = 4096
_STDERR_SHOWN = 400
"""Of the tail, in a message: its end, where the error is."""
MAX_LINE_BYTES = 4 * 1024 * 1024
"""Longest event: the stamps of 100 000 chunks are below it."""


class MeasureFailed(GpuTuiError):
    """The measuring process ended without a result, or said something that is not an event."""


def default_command(dry_run: bool = False) -> tuple[str, ...]:
    """The command of the child: this interpreter, this package."""
    command = (sys.executable, "-m", "gpu_tui", "measure", "--plan", "-", "--jsonl")
    return (*command, "--dry-run") if dry_run else command


class MeasureRun:
    """A run under way, for an event loop.

    Use it so::

        async with MeasureRun(plan) as run:
            async for event in run.events():
                ...

    Leaving the block ends the child, however it is left. `cancel` may be called at any time from the same loop;
    `events` then simply ends, without a summary.
    """

    def __init__(
        self,
        plan: MeasurePlan,
        *,
        dry_run: bool = False,
        command: Sequence[str] | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        self._plan = replace(plan, tethered=True)
        self._command = tuple(command or default_command(dry_run))
        self._grace_s = grace_s
        self._process: asyncio.subprocess.Process | None = None
        self._stderr: asyncio.Task[bytes] | None = None
        self.cancelled = False
        """Whether `cancel` was asked for."""

    @property
    def pid(self) -> int | None:
        """The child's, once started."""
        return None if self._process is None else self._process.pid

    async def __aenter__(self) -> MeasureRun:
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                limit=MAX_LINE_BYTES,
            )
        except OSError as error:
            raise _not_started(error) from None
        self._stderr = asyncio.create_task(_async_tail(self._process.stderr))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def events(self) -> AsyncIterator[Event]:
        """Everything the child says, as it says it; the summary (or the preview of a dry run) is last.

        Raises:
            MeasureFailed: the child ended without a result, or wrote something else.
        """
        process, result = self._started(), False
        await self._hand_over_plan()
        stdout = process.stdout
        assert stdout is not None  # noqa: S101 - asked for above
        while True:
            try:
                line = await stdout.readline()
            except ValueError:
                raise MeasureFailed("The measuring process wrote an endless line.", _REPORT) from None
            if not line:
                break
            event = _decode(line)
            result = result or isinstance(event, (Summary, Preview))
            yield event
        code = await process.wait()
        if not result and not self.cancelled:
            tail = await self._stderr if self._stderr else b""
            raise _no_result(code, tail)

    async def cancel(self) -> None:
        """End the child: SIGTERM, after the grace SIGKILL, each to its whole process group. Twice does nothing."""
        self.cancelled = True
        await self._stop()

    def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("events() is used inside the `async with` block")
        return self._process

    async def _hand_over_plan(self) -> None:
        stdin = self._started().stdin
        assert stdin is not None  # noqa: S101 - asked for above
        # A child that died at once is reported with its stderr, by whoever waits for it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stdin.write(dump_plan(self._plan) + b"\n")
            await stdin.drain()

    async def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        try:
            if process.returncode is None:
                _signal_group(process.pid, signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), self._grace_s)
        finally:
            # Also when this very wait was cancelled: no child is left behind.
            if process.returncode is None:
                _signal_group(process.pid, signal.SIGKILL)
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()
        if self._stderr is not None:
            await self._stderr


def measure_blocking(
    plan: MeasurePlan,
    on_event: Callable[[Event], None] | None = None,
    *,
    dry_run: bool = False,
    command: Sequence[str] | None = None,
    grace_s: float = GRACE_S,
) -> Summary | Preview:
    """Run the plan in a child and wait for its result; a `Preview` when `dry_run`, else a `Summary`.

    Bounded by the plan: no request outlives its timeout. An exception in here, Ctrl-C included, ends the child.

    Raises:
        MeasureFailed: the child ended without a result.
    """
    process = _start_blocking(tuple(command or default_command(dry_run)))
    tail = bytearray()
    reader = threading.Thread(target=_blocking_tail, args=(process.stderr, tail), daemon=True)
    reader.start()
    result: Summary | Preview | None = None
    with process:
        try:
            _send(process, dump_plan(replace(plan, tethered=True)) + b"\n")
            assert process.stdout is not None  # noqa: S101 - asked for above
            while line := process.stdout.readline(MAX_LINE_BYTES):
                event = _decode(line)
                if on_event is not None:
                    on_event(event)
                if isinstance(event, (Summary, Preview)):
                    result = event
            code = process.wait()
        finally:
            _stop_blocking(process, grace_s)
            reader.join(grace_s)
    if result is None:
        raise _no_result(code, bytes(tail))
    return result


def _start_blocking(command: tuple[str, ...]) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
    except OSError as error:
        raise _not_started(error) from None


def _send(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 - asked for by the caller
    # A child that died at once is reported with its stderr, by whoever waits for it.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(line)
        process.stdin.flush()


def _stop_blocking(process: subprocess.Popen[bytes], grace_s: float) -> None:
    if process.poll() is None:
        _signal_group(process.pid, signal.SIGTERM)
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _signal_group(pid: int, number: signal.Signals) -> None:
    # The child leads its own group (start_new_session), so this reaches what it started, and nobody else.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


async def _async_tail(stream: asyncio.StreamReader | None) -> bytes:
    tail = b""
    while stream is not None and (data := await stream.read(STDERR_TAIL_BYTES)):
        tail = (tail + data)[-STDERR_TAIL_BYTES:]
    return tail


def _blocking_tail(stream: object, tail: bytearray) -> None:
    fileno = stream.fileno()  # type: ignore[attr-defined]
    while data := os.read(fileno, STDERR_TAIL_BYTES):
        tail.extend(data)
        del tail[:-STDERR_TAIL_BYTES]


def _decode(line: bytes) -> Event:
    try:
        return decode_event(line)
    except UnreadableEvent:
        text = shown(line.decode("utf-8", "replace"), 80)
        raise MeasureFailed(f"The measuring process wrote something unreadable: {text!r}.", _REPORT) from None


def _not_started(error: OSError) -> MeasureFailed:
    return MeasureFailed(f"The measuring process could not be started: {error.strerror}.", _BY_HAND)


def _no_result(code: int, stderr: bytes) -> MeasureFailed:
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    said = shown(stderr.decode("utf-8", "replace"), STDERR_TAIL_BYTES)[-_STDERR_SHOWN:]
    return MeasureFailed(
        f"The measuring process ended without a result ({how}){': ' + said if said else ''}.", _BY_HAND
    )


_BY_HAND = "Run `gpu-tui measure` in a terminal to see what it says."
_REPORT = "Parent and child seem to be of different versions: install gpu-tui anew."
