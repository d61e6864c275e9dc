from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from gpu_tui.bench.client import open_session
from gpu_tui.clock import SystemClock


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(4, SystemClock()) as session:
        yield session
