"""Every key of the explorer: what it does, its name in the palette, its line in the help, the id to remap it by."""

from __future__ import annotations

from textual.binding import Binding, BindingType


def _bind(key: str, action: str, words: str, id: str, tooltip: str = "") -> Binding:  # noqa: A002
    return Binding(key, action, words, show=False, id=id, tooltip=tooltip or words)


KEYS: list[BindingType] = [
    _bind("left", "nudge(-10)", "Less", "plan.less", "Utilization −0.01"),
    _bind("right", "nudge(10)", "More", "plan.more", "Utilization +0.01"),
    _bind("shift+left", "nudge(-50)", "Much less", "plan.much-less", "Utilization −0.05"),
    _bind("shift+right", "nudge(50)", "Much more", "plan.much-more", "Utilization +0.05"),
    _bind("ctrl+left,minus", "nudge(-1)", "A little less", "plan.little-less", "Utilization −0.001"),
    _bind("ctrl+right,plus,equals_sign", "nudge(1)", "A little more", "plan.little-more", "Utilization +0.001"),
    _bind("home", "move(1)", "Lowest", "plan.lowest", "Lowest utilization"),
    _bind("end", "move(1000)", "Whole GPU", "plan.highest", "The whole GPU"),
    _bind("left_square_bracket", "edge(0)", "Lower end", "plan.lower-end", "Lower end of the feasible range"),
    _bind("right_square_bracket", "edge(1)", "Upper end", "plan.upper-end", "Upper end of the feasible range"),
    _bind("f", "feasible", "Nearest feasible", "plan.feasible", "Nearest utilization that fits"),
    _bind("o", "own", "Server's own", "plan.own", "The running server's own utilization"),
    _bind("M", "model", "Choose model", "plan.choose-model", "Choose the model and vLLM's flags to plan with"),
    _bind("t", "type", "What to type", "plan.type", "What to type for this plan: flags, systemd, compose, undo"),
    _bind("m", "edit('model-mib')", "Edit model", "plan.model", "Edit the model's memory (MiB)"),
    _bind("k", "edit('kv-mib')", "Edit minimum KV", "plan.kv", "Edit the minimum KV cache (MiB)"),
    _bind("r", "run", "Run measurements", "run.start", "Measure the live services' STT and LLM latency"),
    _bind("escape", "escape", "Cancel", "run.cancel", "Cancel the measurement; forget a typed number"),
    _bind("R", "run_mode", "Run mode", "run.mode", "Choose what to measure: interference, voice turns, one kind"),
    _bind("H", "history", "History", "history", "The runs in the journal: show, compare, plot, delete"),
    _bind("b", "big_plot", "Big plot", "run.plot", "The measurement's plots, as large as the screen"),
    _bind("B", "next_plot", "Next plot", "run.next-plot", "The next plot: of the run, then of all runs so far"),
    _bind("e", "explain", "Explain", "explain", "Every figure: formula, inputs, source, age"),
    _bind("l", "panels", "Next panel", "panels", "Next panel in the services' place (small terminals)"),
    _bind("v", "restarts", "Which vLLM restarts", "restarts", "Choose which vLLM instance restarts"),
    _bind("g", "gpu", "Choose GPU", "gpu", "Choose another GPU"),
    _bind("p", "pause", "Pause", "pause", "Freeze what is shown; go on"),
    _bind("y", "copy_flag", "Copy flag", "copy.flag", "Copy --gpu-memory-utilization (OSC 52)"),
    _bind("Y", "copy_verdict", "Copy verdict", "copy.verdict", "Copy the whole verdict (OSC 52)"),
    _bind("c", "theme", "Colour-blind theme", "theme", "Switch the colour-blind-safe theme"),
    _bind("d", "demo", "Demo machine", "demo", "Show the built-in demo machine (simulated)"),
    _bind("question_mark", "help", "Help", "help", "Help for the focused panel, and all keys"),
    _bind("q", "app.quit", "Quit", "quit"),
    _bind("enter", "commit", "Take typed number", "plan.commit", "Take the typed utilization"),
    _bind("backspace", "erase", "Erase", "plan.erase", "Take back a typed digit"),
]
