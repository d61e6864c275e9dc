"""Follows vLLM servers while the explorer is open: toasts, a line over the panels, the screen of starts."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from textual.message import Message

from gpu_tui.telemetry.poller import Reading
from gpu_tui.tui.widgets.header import Liveness
from gpu_tui.view.text import clean

if TYPE_CHECKING:
    from gpu_tui.core.snapshot import Snapshot
    from gpu_tui.tui.app import GpuTuiApp
    from gpu_tui.view.deployment_words import News
    from gpu_tui.wiring.deploying import DeploymentWatch, Shown
    from gpu_tui.wiring.deploying import News as Brought

MOST_TOASTS = 2
"""Toasts at once; more are told as one."""
MOST_WAITING = 50
TOAST_S = 12.0
KEPT = "Journal"


class DeploymentsChanged(Message):
    """A start went on; what is to be told of it waits in `Deploying`."""


class Deploying:
    """One watch for each source that the explorer reads. Nothing of it is loaded before the first reading.

    `see` is called on the telemetry thread, all else on the UI's.
    """

    def __init__(self, app: GpuTuiApp) -> None:
        self._app = app
        self._watch: DeploymentWatch | None = None
        self._generation = -1
        self._last: Snapshot | None = None
        self._lock = threading.Lock()
        self._fresh: deque[News] = deque(maxlen=MOST_WAITING)
        self._told = False
        self._raced: set[tuple[str, str, int, str]] = set()
        self.open = False
        """Whether the screen of starts is open, and wants to hear of every reading."""

    @property
    def shown(self) -> Shown | None:
        """All that is known of starts; None before the first reading."""
        watch = self._watch
        return None if watch is None or not watch.shown.watched.begun else watch.shown

    def see(self, reading: Reading, generation: int) -> None:
        """Take a reading."""
        snapshot = reading.snapshot
        if snapshot is None or generation < self._generation or snapshot is self._last:
            return
        self._last, before = snapshot, self._watch
        if generation > self._generation:
            self._begin(generation)
        loud = self._pass()
        watch = self._watch
        if watch is None:
            return
        news = watch.see(snapshot)
        if loud:
            self._add(news)
        if news or self.open or watch.shown.in_motion or watch is not before:
            self._wake()

    def _begin(self, generation: int) -> None:
        self.close()
        self._generation = generation
        self._anew()

    def _anew(self) -> None:
        from gpu_tui.wiring.deploying import DeploymentWatch

        self._watch = DeploymentWatch(self._app.settings, self._app.clock, tell=self._kept)
        self._raced.clear()

    def _pass(self) -> bool:
        """Take in what a replay passed on its way here; whether what this reading brings is worth a toast."""
        followed = self._app.replay.source
        jumped, passed = followed.take_passed() if followed is not None else (False, [])
        if jumped:
            self._anew()  # what it was before the jump says nothing of here
        watch = self._watch
        for one in passed:
            news = None if watch is None else watch.see(one)
            if news is not None and not jumped:
                self._add(news)
        return not jumped

    def _add(self, news: Brought) -> None:
        from gpu_tui.core.races import others
        from gpu_tui.view.deployment_words import change_news, race_news

        shown = self.shown
        if shown is None or not news:
            return
        told = [change_news(change, others(change.deployment, shown.tenants), shown.at_s) for change in news.changes]
        # A tenant that comes and goes around the limit is the same race: told once, and on the screen all the while.
        told += [race_news(race) for race in news.races if race.key not in self._raced]
        known = {one.who.pid for one in (*shown.watched.now, *shown.watched.past)}
        self._raced = {key for key in self._raced if key[2] in known} | {race.key for race in news.races}
        with self._lock:
            self._fresh.extend(one for one in told if one is not None)

    def _kept(self, words: str) -> None:
        from gpu_tui.view.deployment_words import News

        with self._lock:
            self._fresh.append(News(title=KEPT, words=clean(words, 300)))
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            told, self._told = self._told, True
        if not told:
            # A terminal that is not read holds the UI up: one message waits, whatever happens meanwhile.
            self._app.post_message(DeploymentsChanged())

    def tell(self) -> None:
        """Tell what is new, then show what is. Toasts would hide the screen that shows all of it."""
        with self._lock:
            fresh, self._told = list(self._fresh), False
            self._fresh.clear()
        fresh = [one for one in fresh if not self.open or one.title == KEPT]
        first = max(0, len(fresh) - MOST_TOASTS)
        for one in fresh[first:]:
            self._app.notify(one.words, title=one.title, severity=one.severity, timeout=TOAST_S)  # type: ignore[arg-type]
        if first:
            self._app.notify(f"{first} more of deployments: D shows them.", timeout=TOAST_S)
        self.show()

    def show(self) -> None:
        """Show it: the line over the panels, the key, the header, the screen of starts."""
        from gpu_tui.tui.widgets.hands_off import HandsOffLine
        from gpu_tui.tui.widgets.keys import Keys

        app, shown = self._app, self.shown
        if app.drawn:
            app.main.query_one("#hands-off", HandsOffLine).show(shown)
            app.main.query_one("#footer", Keys).offer(shown is not None and shown.in_motion)
            app.show_header()
        if app.drawn and self.open:
            from gpu_tui.tui.screens.deployments import DeploymentsScreen

            if isinstance(app.screen, DeploymentsScreen):
                app.screen.show()

    def told(self, state: Liveness) -> Liveness:
        """The header's state; on a small terminal, which has no line to spare, with whether hands must be off."""
        shown = self.shown
        if shown is None or not shown.exposed or not self._app.main.has_class("-compact"):
            return state
        from gpu_tui.view.deployments import badge

        words = badge(shown.exposed, shown.races)
        return replace(state, words=f"{words}  {state.words}", tone="badge-bad" if shown.races else "badge-warn")

    def close(self) -> None:
        """No more."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None
