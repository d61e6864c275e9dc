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
    _bind("a", "against", "Judge against", "plan.against", "Judge against now, the tenants' peaks, the worst case"),
    _bind("M", "model", "Choose model", "plan.choose-model", "Choose the model and vLLM's flags to plan with"),
    _bind("t", "type", "What to type", "plan.type", "What to type for this plan: flags, systemd, compose, undo"),
    _bind("L", "learned", "Learned", "plan.learned", "Apply what past starts of this model taught, or take it back"),
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
    _bind("A", "alerts", "Alerts", "alerts", "The alerts: those that stand, acknowledge them, the rules"),
    _bind("D", "deployments", "Deployments", "deployments", "Servers that start, serve or die: phases, memory, races"),
    _bind("w", "record", "Record", "record", "Record what is seen into a file; end it"),
    _bind("d", "demo", "Demo machine", "demo", "Show the built-in demo machine (simulated)"),
    _bind("question_mark", "help", "Help", "help", "Help for the focused panel, and all keys"),
    _bind("q", "app.quit", "Quit", "quit"),
    _bind("enter", "commit", "Take typed number", "plan.commit", "Take the typed utilization"),
    _bind("backspace", "erase", "Erase", "plan.erase", "Take back a typed digit"),
]

REPLAY_KEYS: list[BindingType] = [
    _bind("space", "replay_toggle", "Play or pause", "replay.toggle", "Replay: play, or stand still"),
    _bind("less_than_sign", "replay_step(-1)", "Step back", "replay.back", "Replay: one observation back"),
    _bind("greater_than_sign", "replay_step(1)", "Step on", "replay.on", "Replay: one observation on"),
    _bind("left_parenthesis", "replay_seek(-10)", "10 s back", "replay.back-10s", "Replay: 10 s back"),
    _bind("right_parenthesis", "replay_seek(10)", "10 s on", "replay.on-10s", "Replay: 10 s on"),
    _bind("left_curly_bracket", "replay_seek(-60)", "1 min back", "replay.back-1m", "Replay: one minute back"),
    _bind("right_curly_bracket", "replay_seek(60)", "1 min on", "replay.on-1m", "Replay: one minute on"),
    _bind("n", "replay_event(1)", "Next event", "replay.next", "Replay: jump to the next event"),
    _bind("N", "replay_event(-1)", "Previous event", "replay.previous", "Replay: jump to the event before"),
    _bind("E", "replay_events", "Events", "replay.events", "Replay: list the events, and go to one"),
    _bind("s", "replay_speed(1)", "Faster", "replay.faster", "Replay: faster, up to 64 times"),
    _bind("S", "replay_speed(-1)", "Slower", "replay.slower", "Replay: slower, down to a quarter"),
    _bind("T", "replay_time", "Go to time", "replay.time", "Replay: go to a time"),
]
"""Only while a recording is on the screen."""
