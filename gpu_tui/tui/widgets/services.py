"""The services table: who holds the GPU's memory, and which vLLM instance restarts with the plan."""

from __future__ import annotations

from collections.abc import Sequence

from textual.binding import Binding
from textual.message import Message

from gpu_tui.core.against import Level
from gpu_tui.core.books import Books, Service
from gpu_tui.core.snapshot import Fault
from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.view.rows import driver_line, free_line, service_header, service_line
from gpu_tui.view.spans import Line, wrap
from gpu_tui.view.tenants import judged_words

OFFER: Line = [("→ ", ""), ("d", "key"), (" shows the built-in demo machine (simulated).", "")]
"""Where nothing can be read."""


class ServiceTable(Panel, can_focus=True):
    """Rows of services; the cursor shows while it has the focus."""

    HELP = (
        "Who holds this GPU's memory. ● running, ○ not running. persistent keeps its memory; restarts is stopped "
        "before the new start; ORPHAN is an engine whose server is gone; enter tells what ! means. driver is reserved "
        "plus unattributed memory. ↑/↓ choose a row; enter tells who it is, what it held and its processes, and on "
        "driver what is known of the rest; on a vLLM instance space makes it the one that restarts. i supposes another "
        "role, in turn: row and title say what if. ↑ beside a role is what the row is judged at (key a)."
    )

    BINDINGS = [
        Binding("up", "move(-1)", "Row up", show=False, id="services.up", tooltip="Row up"),
        Binding("down", "move(1)", "Row down", show=False, id="services.down", tooltip="Row down"),
        Binding("enter", "details", "Processes", show=False, id="services.details", tooltip="List its processes"),
        Binding("i", "suppose", "What if", show=False, id="services.what-if", tooltip="What if it had another role"),
        Binding("space", "restarts", "Restarts", show=False, id="services.restarts", tooltip="This one restarts"),
    ]

    class DetailsRequested(Message):
        """The processes of a service are wanted."""

        def __init__(self, service: Service | None) -> None:
            super().__init__()
            self.service = service
            """None: the driver's row."""

    class Supposed(Message):
        """Another role of a service is to be supposed."""

        def __init__(self, service: Service) -> None:
            super().__init__()
            self.service = service

    class RestartsChosen(Message):
        """This row's instance is to restart with the plan."""

        def __init__(self, service: Service) -> None:
            super().__init__()
            self.service = service

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._books: Books | None = None
        self._fault: Fault | None = None
        self._levels: dict[str, Level] = {}
        self.cursor = 0

    def show(self, books: Books | None, fault: Fault | None, levels: Sequence[Level] = ()) -> None:
        """Show these books, or what keeps them from being kept; `levels` is what the plan is judged against."""
        self._books, self._fault = books, fault
        self._levels = {level.name: level for level in levels}
        self.cursor = min(self.cursor, self._last)
        self.redraw()

    @property
    def _last(self) -> int:
        """The driver's row stands behind the services."""
        return len(self._books.services) if self._books else 0

    @property
    def selected(self) -> Service | None:
        """The service under the cursor; None on the driver's row."""
        services = self._books.services if self._books else ()
        return services[self.cursor] if self.cursor < len(services) else None

    def action_move(self, step: int) -> None:
        """Move the cursor."""
        self.cursor = min(max(self.cursor + step, 0), self._last)
        self.redraw()

    def action_details(self) -> None:
        """Ask who the row is."""
        if self._books is not None:
            self.post_message(self.DetailsRequested(self.selected))

    def action_suppose(self) -> None:
        """Ask for another role of the row."""
        if self.selected is not None:
            self.post_message(self.Supposed(self.selected))

    def action_restarts(self) -> None:
        """Make the row's instance the one that restarts."""
        if self.selected is not None:
            self.post_message(self.RestartsChosen(self.selected))

    def draw(self, width: int, height: int) -> list[Line]:
        """Fault first, then as many rows as fit around the cursor, then what no process explains."""
        lines: list[Line] = []
        if self._fault is not None:
            lines += wrap([("! ", "warn"), (self._fault.message, "warn")], width, indent=2)
            if self._fault.remedy:
                lines += wrap([("→ ", ""), (self._fault.remedy, "")], width, indent=2)
        if self._books is None:
            if lines:
                lines.append(OFFER)
            return lines or [[("Reading the machine …", "dim")]]
        return lines + self._rows(self._books, width, height - len(lines))

    def _rows(self, books: Books, width: int, height: int) -> list[Line]:
        tail = [driver_line(books, width)] if height >= 4 else []
        if tail and self.has_focus and self.cursor == self._last:
            tail = [[("▸", "key"), *tail[0][1:]]]
        if height >= len(books.services) + 3:
            tail.append(free_line(books, width))
        bare = height == len(books.services) + len(tail)  # all rows, if only their heads give way
        room = max(0, height - (0 if bare else 1) - len(tail))
        first = max(0, min(self.cursor - room + 1, len(books.services) - room))
        rows: list[Line] = []
        for i, service in enumerate(books.services[first : first + room], start=first):
            line = service_line(service, books, width, judged_words(self._levels.get(service.name)))
            if self.has_focus and i == self.cursor:
                line = [("▸", "key"), *line[1:]]
            rows.append(line)
        hidden = len(books.services) - len(rows)
        header = service_header(width)
        if hidden > 0:
            header = [(f"{header[0][0].rstrip()} (↑↓ {hidden} more)"[:width], "dim")]
        return [*([] if bare else [header]), *rows, *tail]
