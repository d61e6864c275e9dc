"""Reads a vLLM server's start-up log: what was asked, what it took, how far it came, why it failed.

For every version from 0.2 to 0.33, both engines, any number of processes, and whatever wraps the lines: colours,
journald, docker, Kubernetes, Ray. Lines are untrusted; nothing in them makes reading fail, only find nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from gpu_tui.core.log_options import options
from gpu_tui.core.log_text import LogText, unwrapped
from gpu_tui.core.start_draft import Draft, Figure, Process, excerpt, figures
from gpu_tui.core.start_failures import EXCEPTION, FAILURES, FRAMES, FailureRule
from gpu_tui.core.start_patterns import NOISE, PHASES, RULES, Rule
from gpu_tui.core.start_values import FailureKind, Phase, Said, Size, StartFailure, StartLog

GAP = "gpu-tui: a part of this log was not read"
"""A reader that leaves out the middle of a huge log puts this line in its place."""

FAILURE_TEXT = 600
"""Most characters kept of an error."""

_HEADS = {
    "API server version": re.compile(r"API server version (?P<version__s>\S{1,60})"),
    "  version ": re.compile(r"█.{0,12}  version (?P<version__s>\S{1,60})"),
    "  model   ": re.compile(r"█.{0,12}  model   (?P<model__s>\S.{0,300})"),
    "LLM engine ": re.compile(
        r"Initializing an? (?:(?P<engine__s>V[01]) )?LLM engine (?:\(v(?P<version__s>[^()\s]{1,60})\) )?with config: "
    ),
    "non-default args: ": re.compile(r"non-default args: \{"),
    "args: Namespace(": re.compile(r"args: Namespace\("),
}
_ENGINE = "LLM engine "


class _Head:
    def __init__(self, key: str) -> None:
        self.key = key


_Entry = Rule | FailureRule | Phase | FailureKind | _Head | str


def _table() -> tuple[tuple[str, tuple[_Entry, ...]], ...]:
    entries: dict[str, list[_Entry]] = {key: [_Head(key)] for key in _HEADS}
    for key, phase in PHASES:
        entries.setdefault(key, []).append(phase)
    for one in (*RULES, *FAILURES):
        entries.setdefault(one.key, []).append(one)
    for key, kind in FRAMES:
        entries.setdefault(key, []).append(kind)
    entries["Error: "] = ["exception"]
    entries[GAP] = ["gap"]
    return tuple((key, tuple(found)) for key, found in entries.items())


_TABLE = _table()


def parse_start_log(lines: Iterable[str]) -> StartLog:
    """The last start in a log; a `StartLog` in which all is unknown when there is none."""
    found = split_starts(lines)
    return found[-1] if found else StartLog()


def split_starts(lines: Iterable[str]) -> tuple[StartLog, ...]:
    """Every start in a log, oldest first. A version line, a banner or an engine's first line begins a new one."""
    reader = _Reader()
    for line_no, raw in enumerate(lines, 1):
        reader.read(line_no, raw)
    return tuple(draft.done() for draft in reader.drafts if draft.says_anything)


class _Reader:
    def __init__(self) -> None:
        self.drafts = [Draft(1)]

    @property
    def draft(self) -> Draft:
        return self.drafts[-1]

    def read(self, line_no: int, raw: str) -> None:
        self.draft.line_to = line_no
        hits = [found for key, found in _TABLE if key in raw]
        if not hits or any(noise in raw for noise in NOISE):
            return
        line = unwrapped(raw)
        found: dict[str, Figure] = {}
        entries = [one for group in hits for one in group]
        # A line of options holds words of the user's: nothing else is read out of it.
        if any(self._head(one.key, line, line_no) for one in entries if isinstance(one, _Head)):
            return
        for entry in entries:
            if isinstance(entry, Rule):
                self._figures(entry, line, line_no, found)
            elif isinstance(entry, FailureRule):
                self._failure(entry, line, line_no)
            elif isinstance(entry, Phase):
                self.draft.phase(entry, line_no, line.stamp)
            elif isinstance(entry, FailureKind):
                self.draft.frame = entry
            elif entry == "gap":
                self.draft.incomplete = True
            elif entry == "exception":
                self._exception(line)
        if "Desired GPU memory utilization is (" in line.text and {"free", "total", "requested"} <= found.keys():
            self.draft.summary(found, line.process_before(line.text.find("Free memory on device")))

    def _head(self, key: str, line: LogText, line_no: int) -> bool:
        match = _HEADS[key].search(line.text)
        if match is None:
            return False
        process = line.process_before(match.start())
        self._begin(key, process, line_no)
        draft = self.draft
        draft.phase(Phase.STARTING, line_no, line.stamp)
        found = figures(match, line_no, process[0])
        if key == _ENGINE:
            draft.begun = True
            # Until 0.6 the line named no engine: there was one.
            found.setdefault("engine", Said(value="V0", line_no=line_no, excerpt=excerpt(line.text, match.start())))
            draft.whole.setdefault("config", options(line.text[match.end() :], "=", enclosed=False))
            self._model(dict(draft.whole["config"]), line_no, process[0])
        elif "args: " in key:
            draft.whole["args"] = options(line.text[match.end() :], ":" if "{" in match[0] else "=")
            draft.whole["args_complete"] = "Namespace" in key
            self._model(dict(draft.whole["args"]), line_no, process[0])
        draft.put(found, process)
        return True

    def _begin(self, key: str, process: Process, line_no: int) -> None:
        """Begin a new start when this line cannot belong to the one being read.

        The engines of one start each print their own line, and so do several API servers: only a line that a process
        of this name has printed before is a restart's.
        """
        label, _ = process
        again = (key, label) in self.draft.heads and "args: " not in key
        if again or (self.draft.begun and key != _ENGINE and not label.lower().startswith("apiserver_")):
            self.draft.line_to = line_no - 1
            self.drafts.append(Draft(line_no))
        self.draft.heads.add((key, label))

    def _model(self, named: dict[str, str], line_no: int, rank: str) -> None:
        name = named.get("model") or named.get("model_tag")
        if name:
            said = Said(value=excerpt(name, 0), line_no=line_no, excerpt=excerpt(f"model={name}", 0), rank=rank)
            self.draft.whole.setdefault("model", said)

    def _figures(self, rule: Rule, line: LogText, line_no: int, found: dict[str, Figure]) -> None:
        match = rule.pattern.search(line.text)
        if match is None:
            return
        process = line.process_before(match.start())
        new = figures(match, line_no, process[0])
        found.update(new)
        self.draft.put(new, process, loading=" took" in rule.key)
        if "graph memory profiling" in rule.key:
            on = rule.key.endswith("enabled")
            said = Said(value=on, line_no=line_no, excerpt=excerpt(line.text, match.start()), rank=process[0])
            self.draft.whole["graphs_subtracted"] = said

    def _failure(self, rule: FailureRule, line: LogText, line_no: int) -> None:
        draft, match = self.draft, rule.start.search(line.text)
        if match is None or draft.has(Phase.SERVING):
            return
        process = line.process_before(match.start())
        found: dict[str, Figure] = {}
        for pattern in rule.figures:
            if figure := pattern.search(line.text, match.start()):
                found = {**figures(figure, line_no, process[0]), **found}
        kind = rule.kind or self._out_of_memory()
        given: dict[str, Any] = {name: _plain(value) for name, value in found.items()}
        text = excerpt(line.text, match.start(), FAILURE_TEXT)
        if rule.kind is not None:
            draft.put_if_unknown(found, process)
        draft.fail(StartFailure(kind=kind, text=text, line_no=line_no, rank=process[0], **given))

    def _out_of_memory(self) -> FailureKind:
        draft = self.draft
        if draft.frame is not None:
            return draft.frame
        if draft.known("kv_tokens") or draft.known("gpu_blocks") or draft.has(Phase.CAPTURING):
            return FailureKind.OOM_CAPTURE
        loaded = draft.known("weights") or draft.has(Phase.PROFILING) or draft.has(Phase.COMPILING)
        return FailureKind.OOM_PROFILE if loaded else FailureKind.OOM_LOAD

    def _exception(self, line: LogText) -> None:
        match = EXCEPTION.search(line.text)
        if match is not None and "initialization failed" not in line.text:
            self.draft.raised(excerpt(line.text, match.start(), FAILURE_TEXT))


def _plain(value: Figure) -> object:
    """A failure's counts and shares stand in its own text: they need no source of their own."""
    return value if isinstance(value, Size) else value.value
