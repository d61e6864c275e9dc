"""What is known of the model and the flags of the vLLM that restarts: its files, command line, log and metrics.

Measured beats derived beats assumed, term by term; whatever could not be read is told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_tui.clock import Clock
from gpu_tui.core.books import Books, Instance
from gpu_tui.core.cache_info import CacheInfo, parse_cache_config
from gpu_tui.core.checks import ModelNeed
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.planning import start_for
from gpu_tui.core.serve_options import ServeOptions, options_of
from gpu_tui.core.server_memory import rest_by_blocks, serving_engine
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.core.start_evidence import inputs_of_cache, inputs_of_log, inputs_of_options
from gpu_tui.core.start_inputs import StartInputs, merged
from gpu_tui.core.start_terms import TermName
from gpu_tui.core.start_values import StartLog
from gpu_tui.errors import GpuTuiError

if TYPE_CHECKING:
    from gpu_tui.telemetry.start_logs import FoundLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was found, from where, and what was missing."""

    inputs: StartInputs | None = None
    """None: nothing is known of the model."""
    model: str | None = None
    """As the command line names it."""
    log: StartLog | None = None
    cache: CacheInfo | None = None
    sources: tuple[str, ...] = ()
    """What was read, in words: ``command line of pid 4242``, ``log file /var/log/vllm.log``."""
    missing: tuple[str, ...] = ()
    """What could not be read, a sentence each."""


_OF_A_RECORDING = "Nothing was recorded of the running server's model, and this machine's files now say nothing of it."


class Seeker:
    """Looks for the evidence. Slow (files, a journal, a local port): call it off the UI thread."""

    def __init__(
        self,
        clock: Clock,
        *,
        find_facts: Callable[[str], ModelFacts] | None = None,
        find_log: Callable[[Sequence[int], float | None], FoundLog] | None = None,
        get: Callable[[int, str], str | None] | None = None,
    ) -> None:
        """Args: the clock, for ages; the rest stands in for files, logs and ports in tests."""
        self._clock = clock
        self._facts = find_facts or model_facts
        self._log = find_log or self._found_log
        self._get = get or _get

    def running(self, snapshot: Snapshot, books: Books) -> Evidence:
        """Of the instance that restarts; empty for a simulated machine and where none runs."""
        chosen = books.chosen
        info = snapshot.processes.get(chosen.owner_pid) if chosen is not None else None
        if chosen is None or snapshot.simulated:
            return Evidence()
        if not snapshot.here:
            # What was recorded of it is in the snapshot itself.
            return Evidence() if snapshot.start is not None else Evidence(missing=(_OF_A_RECORDING,))
        sources: list[str] = []
        missing: list[str] = []
        found: list[StartInputs] = []
        log = self._logged(chosen, info.started_at if info is not None else None, sources, missing, found)
        cache = self._served(chosen, sources, found)
        options = options_of(info.cmdline) if info is not None and info.cmdline else ServeOptions()
        name = options.model or (log.model.value if log is not None and log.model is not None else None)
        if info is not None and info.cmdline:
            sources.append(f"command line of pid {chosen.owner_pid}")
            missing += options.notes
        facts = self._read_model(name, missing)
        # The command line is what the next start will be given; the log and the metrics fill what it does not say.
        inputs = merged(replace(inputs_of_options(options), facts=facts), *found)
        inputs = _with_blocks(inputs, cache, snapshot, books, f"metrics of port {chosen.port}").measured_here()
        known = inputs.knows_weights or facts is not None
        return Evidence(
            inputs=inputs if known else None,
            model=name,
            log=log,
            cache=cache,
            sources=tuple(sources),
            missing=tuple(missing),
        )

    def named(self, model: str, options: Sequence[str] = ()) -> Evidence:
        """Of a model that is not running: a folder, a GGUF file, a name in the local cache.

        Args:
            model: as `--model` takes it.
            options: flags as `vllm serve` takes them.

        Raises:
            GpuTuiError: it cannot be found or read.
        """
        flags = options_of(["vllm", "serve", model, *options])
        facts = self._facts(model)
        return Evidence(
            inputs=replace(inputs_of_options(flags), facts=facts),
            model=model,
            sources=(f"files of {model}",),
            missing=flags.notes,
        )

    def _logged(
        self,
        chosen: Instance,
        started_at: float | None,
        sources: list[str],
        missing: list[str],
        found: list[StartInputs],
    ) -> StartLog | None:
        told = self._log([chosen.owner_pid, *chosen.pids], started_at)
        if told.log is None or told.source is None:
            missing += told.missing
            return None
        sources.append(told.source)
        found.append(inputs_of_log(told.log, told.source, told.age_s))
        return told.log

    def _served(self, chosen: Instance, sources: list[str], found: list[StartInputs]) -> CacheInfo | None:
        if chosen.port is None:
            return None
        version = _version(self._get(chosen.port, "/version"))
        if version is not None:
            found.append(StartInputs(version=version))
        page = self._get(chosen.port, "/metrics")
        cache = parse_cache_config(page) if page else None
        engine = cache.smallest if cache is not None else None
        if engine is not None:
            sources.append(f"metrics of port {chosen.port}")
            found.append(inputs_of_cache(engine))
        return cache

    def _read_model(self, name: str | None, missing: list[str]) -> ModelFacts | None:
        if name is None:
            return None
        try:
            return self._facts(name)
        except GpuTuiError as error:
            missing.append(str(error))
            return None

    def _found_log(self, pids: Sequence[int], started_at: float | None) -> FoundLog:
        from gpu_tui.telemetry.start_logs import StartLogs

        return StartLogs(clock=self._clock).find(pids, started_at=started_at)


def _with_blocks(
    inputs: StartInputs, cache: CacheInfo | None, snapshot: Snapshot, books: Books, source: str
) -> StartInputs:
    """With what the server's blocks measure, where its log tells no activation: it may be long gone."""
    engine = serving_engine(cache)
    pids = set(books.chosen.pids) if books.chosen is not None else set()
    gpu = next((gpu for gpu in snapshot.gpus if pids & {row.pid for row in gpu.processes or ()}), None)
    start = start_for(inputs, gpu, books, ModelNeed()) if gpu is not None else None
    if engine is None or start is None or inputs.given.keys() - {TermName.WEIGHTS}:
        return inputs
    return replace(inputs, given={**inputs.given, **rest_by_blocks(engine, start, inputs, books, source)})


def log_inputs(path: Path, clock: Clock) -> StartInputs:
    """The inputs a log file tells.

    Raises:
        GpuTuiError: it cannot be read, or holds no start of vLLM.
    """
    from gpu_tui.telemetry.start_logs import StartLogs

    found = StartLogs(clock=clock).find([], path=path)
    if found.log is None or found.source is None:
        raise GpuTuiError(" ".join(found.missing) or f"{path} holds no start of vLLM.", found.remedy)
    return inputs_of_log(found.log, found.source, found.age_s).measured_here()


def model_facts(name: str) -> ModelFacts:
    """A model's facts from its files, without a network.

    Raises:
        GpuTuiError: it cannot be found or read.
    """
    from gpu_tui.telemetry.model_files import find_model

    return find_model(name).facts


def _get(port: int, path: str) -> str | None:
    from gpu_tui.telemetry.local_http import get

    return get(port, path)


def _version(body: str | None) -> str | None:
    """vLLM's ``/version`` says ``{"version": "0.19.1"}``."""
    try:
        told = json.loads(body or "")["version"]
    except (ValueError, TypeError, KeyError):
        return None
    return told if isinstance(told, str) and len(told) < 64 else None
