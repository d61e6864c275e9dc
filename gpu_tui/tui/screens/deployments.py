"""Deployments: every vLLM server that stopped, started, serves or died while this was open, and those kept before."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from gpu_tui.core.deployment import Deployment
from gpu_tui.core.races import RaceKind, exposed
from gpu_tui.errors import GpuTuiError
from gpu_tui.tui.background import aside
from gpu_tui.tui.screens.dialogs import ChoiceDialog, TextDialog
from gpu_tui.tui.styling import content
from gpu_tui.view.alerts import time_of_day
from gpu_tui.view.deployments import detail, hands_lines, nothing, row
from gpu_tui.view.spans import Line, plain
from gpu_tui.view.text import clean

if TYPE_CHECKING:
    from gpu_tui.journal.deployments import StoredDeployment
    from gpu_tui.tui.app import GpuTuiApp
    from gpu_tui.wiring.deploying import Shown

MOST_KEPT = 50


class DeploymentsScreen(ModalScreen[None]):
    """The starts, newest first, and the marked one in full; it follows what happens."""

    BINDINGS = [
        Binding("escape,q,D", "dismiss", "Close", id="deployments.close", tooltip="Close"),
        Binding("pageup", "scroll(-8)", "Up", show=False, priority=True),
        Binding("pagedown,space", "scroll(8)", "Down", show=False, priority=True),
        Binding("h,H", "kept", "Kept", id="deployments.kept", tooltip="The starts that the journal keeps"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: tuple[tuple[str, Line], ...] = ()

    @property
    def gpu_app(self) -> GpuTuiApp:
        """The app, typed."""
        return cast("GpuTuiApp", self.app)

    def compose(self) -> ComposeResult:
        """The list above, the marked start below."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Deployments"
            box.border_subtitle = "↑↓ choose, space scrolls, h kept ones, esc closes"
            yield OptionList(id="deploy-list")
            with VerticalScroll(can_focus=False, id="deploy-box"):
                yield Static(id="deploy-detail", classes="dialog-text")

    def on_mount(self) -> None:
        """Show them, from now on with every reading."""
        self.gpu_app.deploying.open = True
        self.show()

    def on_unmount(self) -> None:
        """Nobody looks any more."""
        self.gpu_app.deploying.open = False

    def on_resize(self) -> None:
        """Another size has room for other lines."""
        self.call_after_refresh(self.show)

    def show(self) -> None:
        """Show anew; the mark stays on its start, and on the newest while it stands there."""
        if not self.query("#deploy-detail"):
            return  # not composed yet, or being taken down
        shown = self.gpu_app.deploying.shown
        box = self.query_one(Vertical)
        box.border_title = Content(f"Deployments{self._of()}")
        every = shown.watched.newest_first() if shown is not None else []
        listed = self.query_one(OptionList)
        # The bar at the side takes its room when it comes, and a blank before it.
        width = max(20, self.query_one("#deploy-box").size.width - 3)
        if shown is not None:
            self._list(listed, tuple((_key(one), row(one, shown.at_s, shown.wall_at, width)) for one in every))
        listed.display = bool(every)
        place = listed.highlighted
        marked = every[place] if every and place is not None else None
        if place is not None and marked is not None:
            # Tones are made for the dark ground, not for the mark's.
            listed.replace_option_prompt_at_index(place, content([[(plain(self._rows[place][1]), "")]]))
            self._rows = (*self._rows[:place], (self._rows[place][0], []), *self._rows[place + 1 :])
        lines = [*self._head(shown, every), *(self._detail(shown, marked, width) if shown and marked else [])]
        self.query_one("#deploy-detail", Static).update(content(lines))

    def _of(self) -> str:
        snapshot = self.gpu_app.explorer.snapshot
        if snapshot is None or snapshot.here:
            return ""
        return (
            f" of {'a SIMULATED machine' if snapshot.simulated else 'a recording'}, {clean(snapshot.source_detail, 60)}"
        )

    def _list(self, listed: OptionList, rows: tuple[tuple[str, Line], ...]) -> None:
        """Rows that are there already are only written anew, so that neither mark nor scroll is lost."""
        old = [key for key, _ in self._rows]
        if old == [key for key, _ in rows]:
            for place, (before, after) in enumerate(zip(self._rows, rows, strict=True)):
                if before != after:
                    listed.replace_option_prompt_at_index(place, content([after[1]]))
        else:
            place = listed.highlighted or 0
            marked = old[place] if 0 < place < len(old) else None
            keys = [key for key, _ in rows]
            listed.clear_options()
            listed.add_options([Option(content([line]), id=key) for key, line in rows])
            listed.highlighted = (keys.index(marked) if marked in keys else 0) if rows else None
            listed.focus()
        self._rows = rows

    def _head(self, shown: Shown | None, every: list[Deployment]) -> list[Line]:
        if shown is None:
            return [[("Nothing has been read yet.", "dim")]]
        if any(one.from_birth for one in every):
            return []
        since = time_of_day(shown.wall_at(shown.began_s if shown.began_s is not None else shown.at_s))
        return [*nothing(since, servers=bool(every)), []]

    def _detail(self, shown: Shown, one: Deployment, width: int) -> list[Line]:
        races = [
            race
            for race in shown.races
            if race.who.same(one.who) or (race.kind is RaceKind.TWO_ENGINES and race.gpu in one.gpus and exposed(one))
        ]
        hands = [line for each, names in shown.exposed if each is one for line in hands_lines(each, names, width)]
        told = detail(one, races, shown.raced.get(one.who, ()), shown.at_s, shown.wall_at, width)
        return [*hands, *([[]] if hands else []), *told, [], *self._notes()]

    def _notes(self) -> list[Line]:
        snapshot = self.gpu_app.explorer.snapshot
        if snapshot is None or snapshot.here:
            return []
        if snapshot.source == "replay" and not snapshot.logs:
            words = "A recording holds no log and no port: its phases follow from processes and memory alone."
            return [[(words, "dim")]]
        whose = "Simulated" if snapshot.simulated else "Recorded"
        return [[(f"{whose}: nothing of it is kept in the journal.", "dim")]]

    def on_option_list_option_highlighted(self) -> None:
        """Another start is marked."""
        self.query_one("#deploy-box", VerticalScroll).scroll_home(animate=False)
        self.show()

    def action_scroll(self, rows: int) -> None:
        """Scroll the marked start."""
        self.query_one("#deploy-box", VerticalScroll).scroll_relative(y=rows, animate=False)

    async def action_kept(self) -> None:
        """The starts that the journal keeps."""
        from gpu_tui.wiring.deployments import open_deployments

        settings = self.gpu_app.settings

        def read() -> list[StoredDeployment]:
            with open_deployments(settings) as journal:
                return journal.starts(limit=MOST_KEPT)

        try:
            starts = await aside(read)
        except GpuTuiError as error:
            self.notify(str(error), severity="warning", timeout=10)
            return
        if not starts:
            self.notify("The journal keeps no start yet; each one that is watched on this machine goes into it.")
            return
        found = {str(stored.id): stored for stored in starts}
        dialog = ChoiceDialog("Kept starts, newest first", [(key, _kept(one)) for key, one in found.items()], None)
        self.app.push_screen(dialog, lambda key: self._read(found[key]) if key is not None else None)

    def _read(self, stored: StoredDeployment) -> None:
        from gpu_tui.journal.deployments_text import detailed

        lines: list[Line] = [[(line, "")] for line in detailed(stored)]
        self.app.push_screen(TextDialog(f"Deployment {stored.id}", lines))


def _key(one: Deployment) -> str:
    return f"pid-{one.who.pid}-{one.begun_s:.0f}"


def _kept(stored: StoredDeployment) -> Line:
    one = stored.deployment
    failed = one.outcome != "started"
    model = one.model.rstrip("/").rsplit("/", 1)[-1]
    return [
        (f"{stored.id:>4}  {one.started_at[5:16].replace('T', ' ')} UTC  ", "dim"),
        (f"{'✗' if failed else '✓'} {clean(one.outcome, 18):<18}  ", "bad" if failed else "ok"),
        (clean(model, 26), ""),
    ]
