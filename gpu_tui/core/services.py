"""Which process belongs to which service: ordered rules, the first match wins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from gpu_tui.core import vllm
from gpu_tui.core.family import family_ports, parents
from gpu_tui.core.snapshot import ProcessInfo

Field = Literal["name", "cmdline", "vllm", "user", "unit", "container", "image", "pod", "namespace", "port", "parent"]
"""On what a rule looks. ``container`` is its name or id, ``pod`` its name or uid, ``port`` a TCP port that the process
or a parent of its family listens on (the whole number), ``parent`` the name or command line of any ancestor."""

OTHER = "other"
ORPHAN = "orphan"


MOST_ANSWERS = 4096
"""Answers remembered; of more, the oldest is forgotten. Above the processes of the largest machines, 8 GPUs × 200 with
their parents; ours to choose."""


class Role(StrEnum):
    """What becomes of a service's memory when vLLM is started with the plan."""

    PERSISTENT = "persistent"
    """Keeps its memory."""
    RESTARTS = "restarts"
    """Is stopped first: its memory comes free."""
    ORPHAN = "orphan"
    """An engine whose server is gone: keeps its memory until someone ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRule:
    """One rule. A regular expression, searched for in what `field` names; a port must match as a whole.

    With ``field="vllm"`` the process itself, or an ancestor of it, must be a vLLM server, or its name must match.
    """

    name: str
    match: str
    field: Field = "name"
    restarts: bool = False
    if_loaded_mib: float | None = None
    """What the service takes with its model loaded, MiB, where the user knows it."""


DEFAULT_RULES: tuple[ServiceRule, ...] = (
    ServiceRule(name="kloros", match=r"^(\S*/)?python[0-9.]*\s.*kloros_voice", field="cmdline"),
    ServiceRule(name="judge", match=r"(?i)vllm|EngineCore", field="vllm", restarts=True),
    ServiceRule(name="ollama", match=r"ollama", field="name"),
)
"""Where an operator has configured none. Whatever no rule matches is `other`."""


class Classifier:
    """Applies rules to processes, remembering its answers: a steady machine costs one dict look-up per process."""

    def __init__(self, rules: tuple[ServiceRule, ...] = DEFAULT_RULES) -> None:
        self.rules = rules
        self._compiled = [(rule, re.compile(rule.match)) for rule in rules]
        self._by_family = any(rule.field in ("port", "parent") for rule in rules)
        self._answers: dict[tuple[ProcessInfo, ProcessInfo | None, tuple[ProcessInfo, ...]], ServiceRule | None] = {}

    def rule_for(self, pid: int, processes: Mapping[int, ProcessInfo]) -> ServiceRule | None:
        """The first rule that matches this pid; None means `other`."""
        info = processes.get(pid)
        if info is None:
            return None
        server = vllm.server_of(pid, processes)
        # Ancestors are asked about by few rules, and cost a walk at every look-up.
        key = (info, server, parents(pid, processes) if self._by_family else ())
        if key not in self._answers:
            if len(self._answers) >= MOST_ANSWERS:
                del self._answers[next(iter(self._answers))]
            self._answers[key] = self._search(info, server, processes)
        return self._answers[key]

    def _search(
        self, info: ProcessInfo, server: ProcessInfo | None, processes: Mapping[int, ProcessInfo]
    ) -> ServiceRule | None:
        name = info.name or ""
        own = " ".join(info.cmdline or ())
        title = (info.cmdline or ("",))[0] if vllm.is_titled(info) else ""
        servers = " ".join(server.cmdline or ()) if server else ""
        for rule, pattern in self._compiled:
            if rule.field == "cmdline":
                found = bool(pattern.search(own) or pattern.search(servers))
            elif rule.field in ("name", "vllm"):
                found = bool(pattern.search(name) or pattern.search(title))
            elif rule.field == "port":
                found = any(pattern.fullmatch(str(port)) for port in family_ports(info.pid, processes) or ())
            else:
                found = any(pattern.search(text) for text in _texts(rule.field, info, processes))
            if found or (rule.field == "vllm" and server is not None):
                return rule
        return None


def _texts(where: Field, info: ProcessInfo, processes: Mapping[int, ProcessInfo]) -> list[str]:
    """What a rule of this field searches; empty where it is not known."""
    told: list[str | None] = []
    match where:
        case "user":
            told = [info.user]
        case "unit":
            told = [info.unit]
        case "container":
            told = [info.container_name, info.container]
        case "image":
            told = [info.image]
        case "pod":
            told = [info.pod]
        case "namespace":
            told = [info.namespace]
        case "parent":
            for one in parents(info.pid, processes):
                told += [one.name, " ".join(one.cmdline or ())]
    return [text for text in told if text]
