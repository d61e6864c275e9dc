"""What widgets drew that are gone is let go of, whatever Textual remembers of them."""

from __future__ import annotations

import gc
import weakref

from textual._styles_cache import StylesCache
from textual.color import Color

from tests.tui.harness import make_app


def drawn(count: int) -> list[weakref.ref[StylesCache]]:
    """Caches of so many widgets that drew and are gone."""
    caches = [StylesCache() for _ in range(count)]
    for one in caches:
        one.get_inner_outer(Color(0, 0, 0), Color(1, 1, 1))
    return [weakref.ref(one) for one in caches]


def alive(gone: list[weakref.ref[StylesCache]]) -> int:
    gc.collect()
    return sum(one() is not None for one in gone)


async def test_what_widgets_drew_that_are_gone_is_let_go_of() -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        gone = drawn(200)
        assert alive(gone) == 200, "Textual lets go of them by itself: letting_go.py is no longer needed"
        for _ in range(100):
            await pilot.pause(0.1)
            if not alive(gone):
                break
        assert alive(gone) == 0
