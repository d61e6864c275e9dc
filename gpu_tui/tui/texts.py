"""The longer texts of the dialogs, from values and from the bindings themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from textual.binding import Binding

from gpu_tui.core import vllm
from gpu_tui.core.books import Books, Instance, Service
from gpu_tui.core.snapshot import Gpu, ProcessInfo, Snapshot
from gpu_tui.tui.planner import PickKind, Planner
from gpu_tui.view.explain import Explained, age_words
from gpu_tui.view.explorer import Explorer
from gpu_tui.view.model import facts_words, planned_line
from gpu_tui.view.rows import mib
from gpu_tui.view.spans import Line
from gpu_tui.view.text import clean, mask_cmdline
from gpu_tui.wiring.evidence import Evidence

if TYPE_CHECKING:
    from gpu_tui.bench.events import Preview

_KEYS = {
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "question_mark": "?",
    "escape": "esc",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "left_parenthesis": "(",
    "right_parenthesis": ")",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
}


def key_words(keys: str) -> str:
    """``shift+left`` as ``⇧←``."""
    shown = []
    for key in keys.split(","):
        *modifiers, last = key.split("+")
        marks = "".join({"shift": "⇧", "ctrl": "^"}.get(m, f"{m}+") for m in modifiers)
        shown.append(marks + _KEYS.get(last, last))
    return " ".join(shown)


def help_lines(focused: str, panels: Sequence[tuple[str, str]], bindings: Iterable[Binding]) -> list[Line]:
    """Help: the focused panel first, then all keys, then the other panels."""
    first = [(name, text) for name, text in panels if name == focused]
    rest = [(name, text) for name, text in panels if name != focused]
    lines: list[Line] = []
    for name, text in first:
        lines += [[(name, "strong")], [(text, "")], []]
    lines.append([("Keys", "strong")])
    for binding in bindings:
        lines.append([(f"  {key_words(binding.key):<10} ", "key"), (binding.tooltip or binding.description, "")])
    lines.append([])
    for name, text in rest:
        lines += [[(name, "strong")], [(text, "")], []]
    return lines


def model_line(planner: Planner, explorer: Explorer) -> Line:
    """The model planned with."""
    reading = planner.reading and planner.pick.kind is PickKind.RUNNING
    return [*planner.lessons.label, *planned_line(explorer.start(), explorer.plan_need, reading=reading)]


def running_line(evidence: Evidence, snapshot: Snapshot | None, *, reading: bool) -> Line:
    """The running server's model, as the picker offers it."""
    head: Line = [("running server's   ", "")]
    scenario = snapshot.start.facts if snapshot is not None and snapshot.start is not None else None
    facts = evidence.inputs.facts if evidence.inputs is not None else scenario
    if reading:
        return [*head, ("reading…", "warn")]
    if facts is not None:
        return [*head, (facts_words(facts), "dim")]
    if evidence.missing:
        return [*head, (f"! {clean(evidence.missing[0], 200)}", "warn")]
    return [*head, ("nothing is known of its model: the hand-set figures stand", "dim")]


def learned_lines(planner: Planner) -> list[Line]:
    """What past starts teach, offered or applied; empty where nothing is known."""
    lessons = planner.lessons
    if lessons.problem:
        return [[(f"! {clean(lessons.problem, 400)}", "warn")], []]
    return [[(lessons.words, "strong" if lessons.applied else "")], []] if lessons.words else []


def evidence_lines(planner: Planner) -> list[Line]:
    """What was read of the running server, what could not be, and where its start was kept."""
    evidence, notice = planner.evidence, planner.notice
    lines: list[Line] = [[(f"read: {clean(words, 200)}", "dim")] for words in evidence.sources]
    lines += [[(f"! {clean(words, 300)}", "warn")] for words in evidence.missing]
    if notice is not None:
        kept = notice.kept is not None
        told = clean(f"{notice.message} {notice.remedy}".rstrip(), 400)
        lines.append([(told if kept else f"! {told}", "dim" if kept else "warn")])
    return [*lines, []] if lines else []


def explain_lines(figures: Sequence[Explained]) -> list[Line]:
    """Each figure with its formula, origin, source and age."""
    lines: list[Line] = [[("The three checks, MiB", "strong")]]
    for one in figures:
        age = age_words(one.origin)
        lines.append([(f"{one.name:<24}", "strong"), (f"{one.value:>11}", ""), (f"  {one.formula}", "")])
        source = f"{one.origin.kind.value}: {clean(one.origin.source, 120)}" + (f", {age}" if age else "")
        if one.value == "unknown":
            source = "not known"  # nobody measured it, neither now nor before
        lines.append([(f"{'':<37}{source}", "dim")])
    return lines


def process_lines(service: Service, gpu: Gpu, snapshot: Snapshot) -> list[Line]:
    """A service's processes: pid, memory, user, name and command line, secrets masked."""
    sizes = {p.pid: p.used_bytes for p in gpu.processes or ()}
    lines: list[Line] = []
    if service.note:
        lines += [[(service.note, "warn")], []]
    server = vllm.server_of(service.pids[0], snapshot.processes) if service.pids else None
    if server is not None and server.pid not in service.pids:
        lines += [[(f"{server.pid:>9} {'no GPU memory: the server':<26}", "dim")], *_cmdline(server), []]
    for pid in service.pids:
        info = snapshot.processes.get(pid)
        user = clean(info.user, 16) if info and info.user else "?"
        name = clean(info.name, 40) if info and info.name else "?"
        lines.append([(f"{pid:>9} {mib(sizes.get(pid)):>8} MiB  {user:<10} ", ""), (name, "strong")])
        lines += _cmdline(info) if info is not None else []
        problem = "not found" if info is None else info.problem
        if problem:
            lines.append([(f"{'':<11}{clean(problem, 80)}", "warn")])
    return lines or [[("It holds nothing on this GPU.", "dim")]]


def _cmdline(info: ProcessInfo) -> list[Line]:
    if not info.cmdline:
        return []
    return [[(f"{'':<11}{clean(' '.join(mask_cmdline(info.cmdline)), 400)}", "dim")]]


def gpu_line(gpu: Gpu, books: Books | None) -> Line:
    """One GPU of the list."""
    used = mib(gpu.used_bytes)
    line: Line = [(f"{gpu.index:>2}  {clean(gpu.name, 32):<26}", ""), (f"{used:>8} / {mib(gpu.total_bytes)} MiB", "")]
    if gpu.faults:
        line.append((f"  ! {gpu.faults[0].kind.value.replace('_', ' ')}", "warn"))
    elif books is not None and books.instances:
        line.append((f"  {', '.join(i.label for i in books.instances)}", ""))
    return line


def instance_line(instance: Instance) -> Line:
    """One vLLM instance of the list."""
    port = "port unknown" if instance.port is None else f"port {instance.port}"
    model = instance.args.model if instance.args else None
    told = f"{instance.owner_pid:>9}  {port:<13}{mib(instance.used_bytes):>8} MiB"
    return [(told, ""), (f"  {clean(model, 60)}" if model else "", "dim")]


def _amount(preview: Preview, what: str) -> str:
    """How many requests of a kind, and when."""
    warm = f"{preview.warmup} warm-up{'' if preview.warmup == 1 else 's'}"
    beside = ""
    if preview.workload is not None and preview.workload.mode == "interference":
        beside = f", then as many or more beside the {'clips' if what.startswith('streamed') else 'answers'}"
    return f"{preview.requests} {what} after {warm}, {preview.concurrency} at once{beside}"


def _prompts(preview: Preview) -> str:
    """What the LLM is asked."""
    load = preview.workload
    if load is not None and load.prompts == "transcript":
        return "Prompts are the transcripts"
    if load is not None and load.prompt_tokens is not None:
        return f"Prompts of about {load.prompt_tokens} tokens"
    return f"Prompts of about {preview.prompt_words} words"


def load_lines(preview: Preview) -> list[Line]:
    """What a run would do to whom."""
    lines: list[Line] = []
    endpoints = (("LLM", preview.llm, "streamed chat completions"), ("STT", preview.stt, "clips of speech"))
    for kind, endpoint, what in endpoints:
        if endpoint is None:
            lines.append(
                [(f"{kind}  ", "strong"), (clean(preview.reason.get(kind.lower(), "not measured"), 200), "dim")]
            )
            continue
        model = f", model {clean(endpoint.model, 80)}" if endpoint.model else ""
        if endpoint.size is not None:
            model += f", whisper {clean(endpoint.size.name, 40)} ({endpoint.size.origin})"
        lines.append([(f"{kind}  ", "strong"), (clean(endpoint.url, 120), "key")])
        lines.append([(f"     {clean(endpoint.origin, 120)}{model}", "dim")])
        if endpoint.local:
            lines.append([("     Loaded here for the run: on a GPU it takes memory beside the services.", "warn")])
        lines.append([(f"     {_amount(preview, what)}", "")])
    if preview.llm is not None:
        lines += [[], [(f"{_prompts(preview)}, answers of at most {preview.output_tokens} tokens.", "dim")]]
    lines += [[(clean(note, 200), "warn")] for note in preview.notes]
    if preview.requests_running:
        busy = f"! The LLM server is answering {preview.requests_running} requests now: they will be slowed down."
        lines += [[], [(busy, "bad")]]
    lines += [[], [("This puts load on services that may be in production.", "warn")]]
    return lines
