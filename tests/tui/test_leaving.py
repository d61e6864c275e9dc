"""What comes while the explorer is being taken down is no mistake."""

from __future__ import annotations

from tests.tui.harness import make_app


async def test_news_that_come_after_the_last_screen_are_no_mistake() -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
    assert not app.screen_stack
    app.deploying.tell()
    app.alarms.tell()
    app.show_machine()
    app.show_plan()
    assert app.mistake is None
