"""Work that may hang (files on a network, a journal): on a thread of its own, which leaving the app never waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], T]) -> T:
    """Do `work` on a daemon thread and return what it returns, or raise what it raises."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(settle: Callable[[Any], None], value: Any) -> None:
        def on_loop() -> None:
            if not done.done():
                settle(value)

        if not loop.is_closed():
            loop.call_soon_threadsafe(on_loop)

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            tell(done.set_exception, error)
        else:
            tell(done.set_result, result)

    threading.Thread(target=run, name="gpu-tui-aside", daemon=True).start()
    return await done
