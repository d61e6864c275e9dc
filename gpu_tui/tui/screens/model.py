"""Choose the model to plan with, and vLLM's flags for it. Files are read beside the screen, which never waits."""

from __future__ import annotations

from dataclasses import replace

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.errors import GpuTuiError
from gpu_tui.tui.background import aside
from gpu_tui.tui.planner import Models, Pick, PickKind
from gpu_tui.tui.styling import content
from gpu_tui.view.flags import FLAGS, flag_texts, parse_flags
from gpu_tui.view.model import facts_words
from gpu_tui.view.spans import Line
from gpu_tui.view.text import clean
from gpu_tui.wiring.models import OfferedModel

_ROWS = (("max_model_len", "kv_cache_dtype", "max_num_seqs"), ("tensor_parallel_size", "version", "enforce_eager"))


class ModelDialog(ModalScreen[Pick | None]):
    """A list of models above, a name or path to type, flags below. Enter anywhere plans with what is chosen.

    Args:
        models: where models are found.
        pick: what is planned with now.
        running: the running server's model, in words.
        hand_set: the hand-set figures, in words.
        effective: the flags in effect, shown where nothing is typed.
    """

    BINDINGS = [
        Binding("escape", "dismiss", "Close", id="model.close", tooltip="Change nothing"),
        Binding("ctrl+u", "clear", "Clear the field", id="model.clear", priority=True),
    ]

    def __init__(
        self, models: Models, pick: Pick, *, running: Line, hand_set: Line, effective: StartInputs | None
    ) -> None:
        super().__init__()
        self._models, self._pick = models, pick
        self._own: list[tuple[str, Line]] = [(PickKind.RUNNING.value, running), (PickKind.HAND_SET.value, hand_set)]
        self._effective = flag_texts(effective)
        self._offered: tuple[OfferedModel, ...] = ()
        self._generation = 0

    def compose(self) -> ComposeResult:
        """List, name, flags, state."""
        typed = flag_texts(self._pick.flags)
        with Vertical(classes="dialog", id="model-dialog") as box:
            box.border_title = "Model and flags to plan with"
            box.border_subtitle = "enter plans with it, tab next field, esc changes nothing"
            yield OptionList(*(Option(content([line]), id=key) for key, line in self._own), id="models")
            with Horizontal(classes="field-row"):
                yield Label("folder, GGUF file or name ", classes="word")
                yield Input(self._pick.name, id="model-name", compact=True, placeholder="Qwen/Qwen3-8B-AWQ")
            for row in _ROWS:
                with Horizontal(classes="field-row"):
                    for name in row:
                        yield Label(f"{FLAGS[name]} ", classes="word")
                        shown = self._effective[name] or "default"
                        yield Input(typed[name], id=_id(name), classes="flag", compact=True, placeholder=shown)
            yield Static("", id="model-state")

    def on_mount(self) -> None:
        """Start at the model planned with; look what else there is."""
        keys = [key for key, _ in self._own]
        models = self.query_one(OptionList)
        models.highlighted = keys.index(self._pick.kind.value) if self._pick.kind.value in keys else 0
        (self.query_one("#model-name") if self._pick.kind is PickKind.FOUND else models).focus()
        self._say("Looking into the local Hugging Face cache…", "dim")
        self.run_worker(self._offer(), exclusive=True, group="offer")

    async def _offer(self) -> None:
        try:
            self._offered = await aside(self._models.offered)
        except GpuTuiError as error:
            self._say(str(error), "warn")
            return
        models = self.query_one(OptionList)
        for number, one in enumerate(self._offered):
            line: Line = [(f"{clean(one.name, 56):<40}", ""), (f" {clean(one.where, 60)}", "dim")]
            models.add_option(Option(content([line]), id=f"offer-{number}"))
        many = len(self._offered)
        found = "No model" if not many else "1 model" if many == 1 else f"{many} models"
        self._say(f"{found} in the local Hugging Face cache. Nothing is downloaded.", "dim")

    def _say(self, words: str, tone: str) -> None:
        self.query_one("#model-state", Static).update(content([[(words, tone)]]))

    def _flags(self) -> StartInputs | None:
        """What was typed; None, told, where it means nothing."""
        texts = {name: self.query_one(f"#{_id(name)}", Input).value for name in FLAGS}
        try:
            typed = parse_flags(texts)
        except GpuTuiError as error:
            self._say(f"✗ {error}", "bad")
            return None
        return replace(typed, min_kv_cache_bytes=self._pick.flags.min_kv_cache_bytes)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self._take(event.option.id or PickKind.RUNNING.value)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input.id == "model-name":
            self._find(event.value.strip())
            return
        highlighted = self.query_one(OptionList).highlighted_option
        if self._pick.kind is PickKind.FOUND and self.query_one("#model-name", Input).value == self._pick.name:
            self._close(self._pick)
        else:
            self._take(highlighted.id if highlighted is not None and highlighted.id else PickKind.RUNNING.value)

    def _take(self, key: str) -> None:
        if key.startswith("offer-"):
            self._find(self._offered[int(key.removeprefix("offer-"))].name)
        else:
            self._close(Pick(kind=PickKind(key)))

    def _close(self, pick: Pick) -> None:
        flags = self._flags()
        if flags is not None:
            self.dismiss(replace(pick, flags=flags))

    def _find(self, name: str) -> None:
        if not name:
            self._say("✗ Type a folder, a GGUF file, or a name in the local Hugging Face cache.", "bad")
        elif self._flags() is not None:
            self._generation += 1
            self._say(f"Reading {clean(name, 120)}…", "warn")
            self.run_worker(self._read(name, self._generation), exclusive=True, group="find")

    async def _read(self, name: str, generation: int) -> None:
        try:
            facts = await aside(lambda: self._models.find(name))
        except GpuTuiError as error:
            if generation == self._generation:
                self._say(f"✗ {clean(str(error), 600)}", "bad")
            return
        if generation != self._generation:
            return
        if facts.weights_bytes is None:
            self._say(f"✗ {facts_words(facts)}: the files do not tell what the weights weigh.", "bad")
        else:
            self._close(Pick(kind=PickKind.FOUND, name=name, facts=facts))

    def action_clear(self) -> None:
        """Empty the field."""
        if isinstance(self.focused, Input):
            self.focused.value = ""


def _id(flag: str) -> str:
    return f"flag-{flag.replace('_', '-')}"
