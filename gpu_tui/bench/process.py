"""A whole run in this process, for callers without an event loop: signals, tether, API key."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gpu_tui.bench.events import Preview, Summary
from gpu_tui.bench.plan import MeasurePlan
from gpu_tui.bench.progress import Emit
from gpu_tui.bench.runner import Runner

T = TypeVar("T")
_STDIN = 0


def run_blocking(plan: MeasurePlan, emit: Emit) -> Summary:
    """Run the plan; see `gpu_tui.bench.plan.run_plan`."""

    async def measure(runner: Runner) -> Summary:
        return await runner.run()

    summary = _blocking(plan, emit, measure)
    emit(summary)
    return summary


def preview_blocking(plan: MeasurePlan, emit: Emit) -> Preview:
    """Find what the plan would measure; see `gpu_tui.bench.plan.preview_plan`."""

    async def look(runner: Runner) -> Preview:
        return await runner.preview()

    preview = _blocking(plan, emit, look)
    emit(preview)
    return preview


def _blocking(plan: MeasurePlan, emit: Emit, work: Callable[[Runner], Awaitable[T]]) -> T:
    key = os.environ.get(plan.api_key_env) if plan.api_key_env else None

    async def interruptible() -> T:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        assert task is not None  # noqa: S101 - a coroutine run by asyncio.run is a task
        if threading.current_thread() is threading.main_thread():
            loop.add_signal_handler(signal.SIGTERM, task.cancel)
        if plan.tethered:
            loop.add_reader(_STDIN, _watch_tether, loop, task)
        return await work(Runner(plan, emit, key=key))

    try:
        return asyncio.run(interruptible())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _watch_tether(loop: asyncio.AbstractEventLoop, task: asyncio.Task[T]) -> None:
    if not os.read(_STDIN, 4096):
        loop.remove_reader(_STDIN)
        task.cancel()
