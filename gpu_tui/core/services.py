"""Which process belongs to which service: ordered rules, the first match wins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from gpu_tui.core import vllm
from gpu_tui.core.snapshot import ProcessInfo

Field = Literal["name", "cmdline", "vllm"]

OTHER = "other"
ORPHAN = "orphan"


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
    """One rule. A regular expression, searched for in the process's name or command line.

    With ``field="vllm"`` the process itself, or an ancestor of it, must be a vLLM server, or its name must match.
    """

    name: str
    match: str
    field: Field = "name"
    restarts: bool = False


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
        self._answers: dict[tuple[ProcessInfo, ProcessInfo | None], ServiceRule | None] = {}

    def rule_for(self, pid: int, processes: Mapping[int, ProcessInfo]) -> ServiceRule | None:
        """The first rule that matches this pid; None means `other`."""
        info = processes.get(pid)
        if info is None:
            return None
        server = vllm.server_of(pid, processes)
        key = (info, server)
        if key not in self._answers:
            if len(self._answers) > 20_000:
                self._answers.clear()
            self._answers[key] = self._search(info, server)
        return self._answers[key]

    def _search(self, info: ProcessInfo, server: ProcessInfo | None) -> ServiceRule | None:
        name = info.name or ""
        own = " ".join(info.cmdline or ())
        title = (info.cmdline or ("",))[0] if vllm.is_titled(info) else ""
        servers = " ".join(server.cmdline or ()) if server else ""
        for rule, pattern in self._compiled:
            if rule.field == "cmdline":
                found = pattern.search(own) or pattern.search(servers)
            else:
                found = pattern.search(name) or pattern.search(title)
            if found or (rule.field == "vllm" and server is not None):
                return rule
        return None
