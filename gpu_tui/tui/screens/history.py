"""The journal's runs: listed, filtered, shown, compared, plotted, exported, deleted.

Reads and writes on a thread of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from gpu_tui.errors import GpuTuiError
from gpu_tui.tui.screens.dialogs import ConfirmDialog, TextDialog
from gpu_tui.tui.screens.export import ExportDialog
from gpu_tui.tui.screens.plot import PlotScreen
from gpu_tui.tui.styling import content
from gpu_tui.view.runs_plots import runs_plots
from gpu_tui.view.spans import Line
from gpu_tui.view.text import clean

if TYPE_CHECKING:
    from gpu_tui.journal import Entry, Journal

MOST = 500
"""Runs that are listed; `gpu-tui history --limit` has no such bound."""

WIDE = 118
"""Columns of a terminal from which a line of the list has room for year, verdict and note."""

Work = Callable[["Journal"], Any]


class HistoryScreen(ModalScreen[None]):
    """The runs, newest first.

    Args:
        with_journal: opens the journal, does one thing with it, closes it; blocks, and is called on a thread.
        targets: of latency by kind, in ms; drawn into the plots.
    """

    BINDINGS = [
        Binding("escape,q,H", "leave", "Close", id="history.close", tooltip="Close"),
        Binding("space", "mark", "Mark", id="history.mark", tooltip="Mark a run to compare"),
        Binding("c", "compare", "Compare", id="history.compare", tooltip="Compare the marked run with this one"),
        Binding("p", "plot", "Plot", id="history.plot", tooltip="Latency against utilization and KV cache"),
        Binding("e", "export", "Export", id="history.export", tooltip="Write the listed runs to a file, with plots"),
        Binding("x,delete", "delete", "Delete", id="history.delete", tooltip="Delete this run, after asking"),
        Binding("slash", "filter", "Filter", id="history.filter", tooltip="Show only runs whose line has these words"),
    ]

    def __init__(self, with_journal: Callable[[Work, bool], Any], targets: Mapping[str, float]) -> None:
        super().__init__()
        self._targets = targets
        self._with_journal = with_journal
        self._entries: list[Entry] = []
        self._marked: int | None = None

    def compose(self) -> ComposeResult:
        """Filter, head, list."""
        with Vertical(classes="dialog") as box:
            box.border_title = "History of runs"
            box.border_subtitle = "enter show, space mark, c compare, p plot, e export, x del, / find"
            yield Input(placeholder="words to look for, as in: tui valid 2026-11", compact=True, id="history-filter")
            yield Static("", id="history-head")
            yield OptionList(id="history-list")

    async def on_mount(self) -> None:
        """Read the journal."""
        self.query_one(Input).display = False
        await self._reload()
        self.query_one(OptionList).focus()

    def on_resize(self) -> None:
        """Another size may have room for other lines."""
        self._show()

    async def _work(self, work: Work, writable: bool = False) -> Any:
        """Do it on a thread; a mistake of the journal is told, and None comes back."""
        try:
            return await asyncio.to_thread(self._with_journal, work, writable)
        except GpuTuiError as error:
            self.app.notify(str(error), severity="warning", timeout=10)
            return None

    async def _reload(self) -> None:
        self._entries = await self._work(lambda journal: journal.entries(limit=MOST)) or []
        self._show()

    def _show(self) -> None:
        from gpu_tui.journal.text import listed, listed_narrow

        words = self.query_one(Input).value.lower().split()
        rows = self.query_one(OptionList)
        _, *lines = listed(self._entries)
        head, *shown = (listed if self.size.width >= WIDE else listed_narrow)(self._entries)
        at = rows.highlighted or 0
        rows.clear_options()
        for entry, line, short in zip(self._entries, lines, shown, strict=True):
            if all(word in line.lower() for word in words):
                mark = "▸ " if entry.id == self._marked else "  "
                rows.add_option(Option(content([[(mark, "key"), (short, "")]]), id=str(entry.id)))
        count = rows.option_count
        told = "   " + head if count else "No runs yet: r measures." if not self._entries else "No run has these words."
        self.query_one("#history-head", Static).update(Content(told))
        rows.highlighted = min(at, count - 1) if count else None

    def _at(self) -> int | None:
        rows = self.query_one(OptionList)
        if rows.highlighted is None:
            return None
        return int(rows.get_option_at_index(rows.highlighted).id or 0)

    def action_leave(self) -> None:
        """Leave the filter first, then the screen."""
        field = self.query_one(Input)
        if field.has_focus or field.value:
            field.value, field.display = "", False
            self.query_one(OptionList).focus()
            self._show()
        else:
            self.dismiss()

    def action_filter(self) -> None:
        """Type words to look for."""
        field = self.query_one(Input)
        field.display = True
        field.focus()

    def on_input_changed(self) -> None:
        """Filter while typing."""
        self._show()

    def on_input_submitted(self) -> None:
        """Back to the list."""
        self.query_one(OptionList).focus()

    def action_mark(self) -> None:
        """Mark a run, or take the mark away."""
        at = self._at()
        self._marked = None if at == self._marked else at
        self._show()

    async def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Everything that is kept of the run."""
        from gpu_tui.journal.text import detailed

        number = int(event.option.id or 0)
        stored = await self._work(lambda journal: journal.get(number))
        if stored is not None:
            self._read(f"Run {number}", detailed(stored))

    async def action_compare(self) -> None:
        """The marked run beside this one."""
        from gpu_tui.journal.compare import compare
        from gpu_tui.journal.text import compared

        a, b = self._marked, self._at()
        if a is None or b is None or a == b:
            self.app.notify("Mark one run with space, go to another, then press c.", severity="warning")
            return
        lines = await self._work(lambda journal: compared(compare(journal.get(a), journal.get(b))))
        if lines is not None:
            self._read(f"Run {a} and run {b}", lines)

    def _listed(self) -> list[Entry]:
        """The runs that the filter leaves."""
        listed = {int(option.id or 0) for option in self.query_one(OptionList).options}
        return [entry for entry in self._entries if entry.id in listed]

    def action_export(self) -> None:
        """Write the listed runs to a file."""
        entries = self._listed()
        if not entries:
            self.app.notify("No run is listed.", severity="warning")
            return

        async def named(name: str | None) -> None:
            if name is None:
                return
            file, there = await asyncio.to_thread(_found, name)
            if not there:
                await self._write(entries, file)
                return

            async def answered(yes: bool | None) -> None:
                if yes:
                    await self._write(entries, file)

            line: Line = [(f"{clean(str(file), 200)} is there already, and is overwritten.", "")]
            self.app.push_screen(ConfirmDialog("Overwrite it?", [line], yes="Overwrite (y)"), answered)

        self.app.push_screen(ExportDialog(len(entries)), named)

    async def _write(self, entries: Sequence[Entry], file: Path) -> None:
        from gpu_tui.journal import report

        try:
            written = await self._work(
                lambda journal: report.write(journal, entries, report.format_of(file), file, self._targets)
            )
        except OSError as error:
            told = f"{clean(str(file), 200)} could not be written: {error.strerror}."
            self.app.notify(told, severity="warning", timeout=10)
            return
        if written is not None:
            beside = f", and {len(written) - 1} plots beside it" if len(written) > 1 else ""
            self.app.notify(f"Written: {clean(str(file), 200)}{beside}.", timeout=10)

    def action_plot(self) -> None:
        """Percentiles of the listed runs against utilization and KV cache, real runs apart from simulated ones."""
        entries = self._listed()
        plots = [
            plot
            for simulated in (False, True)
            for plot in runs_plots(entries, self._targets, simulated=simulated)
            if not plot.empty
        ]
        if plots:
            self.app.push_screen(PlotScreen(plots))
        else:
            self.app.notify("No run listed tells both its latency and where it stands.", severity="warning")

    async def action_delete(self) -> None:
        """Delete the run, after asking."""
        at = self._at()
        if at is None:
            return
        line: Line = [(f"Run {at} is taken out of the journal for good.", "")]

        async def answered(yes: bool | None) -> None:
            if yes:
                await self._work(lambda journal: journal.delete(at), writable=True)
                await self._reload()

        self.app.push_screen(ConfirmDialog(f"Delete run {at}?", [line], yes="Delete (y)"), answered)

    def _read(self, title: str, lines: Sequence[str]) -> None:
        self.app.push_screen(TextDialog(title, [[(line, "")] for line in lines]))


def _found(name: str) -> tuple[Path, bool]:
    """The whole path of a file, and whether it is there."""
    file = Path(name).expanduser().absolute()
    return file, file.exists()
