"""The explorer's keys for recording and replay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual.screen import Screen

from gpu_tui.errors import GpuTuiError
from gpu_tui.tui.background import aside
from gpu_tui.tui.screens.dialogs import ChoiceDialog
from gpu_tui.tui.screens.replay import AskDialog
from gpu_tui.view.spans import Line
from gpu_tui.view.text import clean

if TYPE_CHECKING:
    from gpu_tui.tui.app import GpuTuiApp

MOST_EVENTS = 200
"""Of the list: those nearest to where the replay stands."""


class ReplayingScreen(Screen[None]):
    """Part of the explorer's screen."""

    @property
    def _of(self) -> GpuTuiApp:
        return cast("GpuTuiApp", self.app)

    def action_record(self) -> None:
        """Begin a recording, or end it."""
        app = self._of
        if app.replay.active:
            app.notify("This is a recording already.", severity="warning")
        elif app.recorder.progress is not None:
            app.recorder.end(app)
            app.show_header()
        else:
            from gpu_tui.wiring.replaying import default_recording

            words = (
                "A file that is a recording is gone on with. Secrets on command lines are masked.",
                "Replay it with: gpu-tui --replay FILE. w ends the recording, and so does leaving.",
            )
            dialog = AskDialog("Record into", str(default_recording(app.clock)), words, "records")
            app.push_screen(dialog, self._record_into)

    def _record_into(self, file: str | None) -> None:
        if file is None:
            return
        app = self._of
        try:
            notes = app.recorder.start(Path(file), app.telemetry.interval_s)
        except GpuTuiError as error:
            app.notify(str(error), severity="error", timeout=10)
            return
        for words in notes:
            app.notify(words, severity="warning", timeout=10)
        app.notify(f"Recording into {clean(file)}; w ends it.", timeout=8)
        app.telemetry.poke()
        app.show_header()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The replay's keys mean something while a recording is on the screen."""
        return not action.startswith("replay_") or self._of.replay.active

    def action_replay_toggle(self) -> None:
        """Play, or stand still."""
        self._of.replay.toggle()

    def replay_to(self, share: float) -> None:
        """Go to a share of the recording."""
        self._of.replay.wish(lambda source: source.seek_share(share))

    def action_replay_step(self, count: int) -> None:
        """Stand still, some observations on."""
        self._of.replay.wish(lambda source: source.step(count))

    def action_replay_seek(self, seconds: int) -> None:
        """Some recorded seconds on."""
        self._of.replay.wish(lambda source: source.seek_by(seconds))

    def action_replay_speed(self, steps: int) -> None:
        """Faster or slower."""
        self._of.replay.wish(lambda source: source.faster(steps))

    def action_replay_event(self, way: int) -> None:
        """The next event, or the one before."""
        app = self._of
        if app.replay.source is None:
            return
        source = app.replay.source.source
        number = app.replay.source.shown.number
        mark = source.mark_after(number) if way > 0 else source.mark_before(number)
        if mark is None:
            app.notify("There is no later event." if way > 0 else "There is no earlier event.")
        else:
            app.replay.wish(lambda source: source.seek(mark.number))

    def action_replay_time(self) -> None:
        """Ask for a time, and go there."""
        app = self._of
        if app.replay.source is None:
            return
        from gpu_tui.telemetry.recording.when import FORMS

        shown = app.replay.source.shown
        words = (f"The recording goes from {shown.begin} to {shown.end}.", FORMS)
        app.push_screen(AskDialog("Go to", shown.when[11:], words, "goes there"), self._go)

    def _go(self, text: str | None) -> None:
        if text is not None:
            self._of.replay.go(text)

    def action_replay_events(self) -> None:
        """List the events."""
        self._of.run_worker(self._events(), group="events", exclusive=True)

    async def _events(self) -> None:
        app = self._of
        followed = app.replay.source
        if followed is None:
            return
        from gpu_tui.telemetry.recording import when

        marks, here = followed.source.marks, followed.shown.number
        if not marks:
            app.notify("Nothing happened in this recording.")
            return
        nearest = sorted(sorted(marks, key=lambda mark: abs(mark.number - here))[:MOST_EVENTS], key=lambda m: m.number)
        told = await aside(lambda: [(mark, followed.words(mark)) for mark in nearest])
        rows: list[tuple[str, Line]] = [
            (str(mark.number), [(f"{when.told(mark.t)}  ", "strong"), (clean(words, 160), "")]) for mark, words in told
        ]
        current = str(min(nearest, key=lambda mark: abs(mark.number - here)).number)

        def chosen(number: str | None) -> None:
            if number is not None:
                app.replay.wish(lambda source: source.seek(int(number)))

        title = "Events" if len(nearest) == len(marks) else f"Events: the nearest {len(nearest)} of {len(marks)}"
        app.push_screen(ChoiceDialog(title, rows, current), chosen)
