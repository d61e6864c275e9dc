"""The three checks, and the model's figures, editable in place."""

from __future__ import annotations

import math

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, Label

from gpu_tui.core.checks import CheckReport, ModelNeed
from gpu_tui.core.origins import weakest
from gpu_tui.core.snapshot import Fault
from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.tui.widgets.services import OFFER
from gpu_tui.units import MIB, format_mib, mib_to_bytes
from gpu_tui.view.rows import check_lines
from gpu_tui.view.spans import Line, wrap

LARGEST_MIB = 10_000_000
"""No GPU has 10 TB; a figure above is a slip of the finger."""


class CheckLines(Panel):
    """The breakdown itself."""

    def __init__(self) -> None:
        super().__init__(id="check-lines")
        self._report: CheckReport | None = None
        self._problem: Fault | None = None

    def show(self, report: CheckReport | None, problem: Fault | None) -> None:
        """Show this verdict's checks; without them, where there is no room for the services, how to come by them."""
        self._report, self._problem = report, problem
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """Need, have, margin, and the sums behind them."""
        if self._report is None:
            lines: list[Line] = [[("nothing read yet", "dim")]]
            if self._problem is not None and self.screen.has_class("-tiny"):
                lines += wrap([("→ ", ""), (self._problem.remedy, "")], width, indent=2) if self._problem.remedy else []
                lines += wrap(OFFER, width, indent=2)
            return lines
        return check_lines(self._report, width, height)


class MibInput(Input):
    """A figure in MiB. Enter takes it, escape gives it up."""

    BINDINGS = [Binding("escape", "give_up", "Give up", show=False)]

    class GivenUp(Message):
        """Escape was pressed."""

        def __init__(self, field: MibInput) -> None:
            super().__init__()
            self.field = field

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id, compact=True, restrict=r"[0-9.]*", max_length=9)

    def action_give_up(self) -> None:
        """Leave the field as it was."""
        self.post_message(self.GivenUp(self))

    @property
    def size_bytes(self) -> int | None:
        """The figure; None when it is none."""
        try:
            mib = float(self.value)
        except ValueError:
            return None
        return mib_to_bytes(mib) if math.isfinite(mib) and 0 < mib <= LARGEST_MIB else None


class CheckBreakdown(Vertical):
    """Checks above, the model's figures below."""

    HELP = (
        "1: does the allocation (total × u) hold the model and the least KV cache? 2: is there room for that beside "
        "the tenants at all (free + what comes free)? 3: does the whole allocation fit there? m and k edit the model's "
        "memory and the minimum KV cache, in MiB; they are marked assumed until they are derived or measured. The "
        "lower edge names the model; M chooses another, and vLLM's flags, e shows every term of it, L applies what "
        "past starts of it taught, where the edge offers that."
    )

    class NeedChanged(Message):
        """The user typed another model size or minimum KV cache; sizes in bytes, None: unchanged."""

        def __init__(self, model_bytes: int | None, min_kv_cache_bytes: int | None) -> None:
            super().__init__()
            self.model_bytes = model_bytes
            self.min_kv_cache_bytes = min_kv_cache_bytes

    class Refused(Message):
        """What was typed is no size."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._need = ModelNeed()

    def compose(self) -> ComposeResult:
        """Breakdown and fields."""
        yield CheckLines()
        with Horizontal(id="need"):
            yield Label("model ", classes="word")
            yield MibInput(id="model-mib")
            yield Label(" + min KV ", classes="word")
            yield MibInput(id="kv-mib")
            yield Label(" MiB", id="need-origin")

    def show(self, report: CheckReport | None, need: ModelNeed, problem: Fault | None = None) -> None:
        """Show this verdict and what it asks for, or what keeps it from being told; a field being edited stays."""
        self._need = need
        self.query_one(CheckLines).show(report, problem)
        self._fill(self.query_one("#model-mib", MibInput), need.model_bytes)
        self._fill(self.query_one("#kv-mib", MibInput), need.min_kv_cache_bytes)
        kind = weakest(need.model_origin, need.min_kv_cache_origin, source="").kind
        words = f" MiB {kind.value}"
        label = self.query_one("#need-origin", Label)
        if str(label.content) != words:
            label.update(words)

    def _fill(self, field: MibInput, size: int) -> None:
        text = format_mib(size, 0 if size % MIB == 0 else 1)
        if not field.has_focus and field.value != text:
            field.value = text

    @on(Input.Submitted)
    def take(self, event: Input.Submitted) -> None:
        """Plan with the typed figure."""
        event.stop()
        field = event.input
        if isinstance(field, MibInput):
            size = field.size_bytes
            if size is None:
                self.post_message(self.Refused(field.value))
            elif field.id == "model-mib":
                self.post_message(self.NeedChanged(size, None))
            else:
                self.post_message(self.NeedChanged(None, size))

    def restore(self) -> None:
        """Put the figures in effect back into the fields."""
        for field, size in (("#model-mib", self._need.model_bytes), ("#kv-mib", self._need.min_kv_cache_bytes)):
            self.query_one(field, MibInput).value = format_mib(size, 0 if size % MIB == 0 else 1)
