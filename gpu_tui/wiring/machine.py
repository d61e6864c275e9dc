"""Which machine, which of its GPUs and instances, and what the planned model takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gpu_tui import config
from gpu_tui.clock import Clock
from gpu_tui.config import Settings
from gpu_tui.core import choice
from gpu_tui.core.books import Books, keep_books
from gpu_tui.core.checks import ModelNeed
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.errors import UsageError
from gpu_tui.ports import TelemetrySource
from gpu_tui.units import mib_to_bytes

DEMO = "kloros"
"""The scenario behind `--demo`."""

READ_TIMEOUT_S = 8.0
"""Longest a headless command waits for the driver: an answer is due within 10 s."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line asks for, beyond what is configured."""

    gpu: str | None = None
    config: Path | None = None
    restarts: int | None = None
    scenario: str | None = None
    """Name or file of a simulated machine; None is the live one."""
    demo: bool = False
    """`--demo` was said: the same as the scenario `DEMO`, and told as such."""
    replay: str | None = None
    """``FILE[@TIME]`` of a recording; None is no recording."""
    overrides: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    """Settings given by flags: key path -> (the flag's name, its value)."""

    @property
    def simulated(self) -> bool:
        """Whether the machine asked about is a simulated one."""
        return self.demo or self.scenario is not None

    @property
    def live(self) -> bool:
        """Whether it is this machine, now."""
        return not self.simulated and self.replay is None


def load_settings(options: Options) -> Settings:
    """The settings in effect. Only the live machine has the configured endpoints: a demo puts no load on real services.

    Raises:
        ConfigError: a value does not mean anything, or `options.config` cannot be read.
    """
    flags = {"gpu": ("--gpu", options.gpu), "restarts": ("--restarts", options.restarts), **options.overrides}
    settings = config.load(options.config, flags=flags)
    return settings if options.live else _without_real_endpoints(settings)


def _without_real_endpoints(settings: Settings) -> Settings:
    ours = [key for key, origin in settings.origins.items() if key.startswith("endpoints.") and origin.kind != "flag"]
    kept = {key: origin for key, origin in settings.origins.items() if key not in ours}
    unset: dict[str, Any] = {key.rpartition(".")[2]: Settings().at(key) for key in ours}
    return replace(settings, endpoints=replace(settings.endpoints, **unset), origins=kept)


def open_source(options: Options, settings: Settings, clock: Clock) -> TelemetrySource:
    """The machine asked about: a scenario, a recording at one instant, else the live one.

    Nothing of a live machine is touched before the first `read`.

    Raises:
        ConfigError: the scenario or the recording does not exist, or does not mean anything.
        UsageError: the recording does not have that time.
    """
    if options.replay is not None:
        from gpu_tui.wiring.replaying import open_replay

        return open_replay(options.replay, clock)
    if options.simulated:
        from gpu_tui.telemetry.scenario import open_scenario

        return open_scenario(options.scenario or DEMO, clock, demo=options.demo)
    from gpu_tui.telemetry.live import LiveSource

    return LiveSource(clock)


def read_once(source: TelemetrySource, clock: Clock, timeout_s: float = READ_TIMEOUT_S) -> Snapshot:
    """One reading, given up after `timeout_s` seconds.

    Raises:
        SourceUnavailable: it cannot be read; of kind ``timeout`` when the driver hangs, and then the caller must leave
            by `os._exit`.
    """
    from gpu_tui.telemetry.poller import read_with_timeout

    return read_with_timeout(source, timeout_s, clock)


def classifier(settings: Settings) -> Classifier:
    """The service rules in effect."""
    return Classifier(settings.services)


def setting_origin(settings: Settings, key: str) -> Origin:
    """A setting's place among figures: the user's word is an assumption too, and says whose."""
    where = settings.origin(key)
    if where.kind == "default":
        return Origin(kind=OriginKind.ASSUMED, source="default")
    return Origin(kind=OriginKind.ASSUMED, source=f"{where.where}: {key}" if where.kind == "file" else str(where))


def _configured(settings: Settings, key: str) -> bool:
    return settings.origin(key).kind != "default"


def _simulated(snapshot: Snapshot) -> Origin:
    return Origin(kind=OriginKind.ASSUMED, source=f"scenario {snapshot.source_detail} (simulated)")


def model_need(settings: Settings, snapshot: Snapshot | None) -> ModelNeed:
    """What the planned model takes: the user's figures, else the scenario's own, else the built-in ones."""
    terms: dict[str, Any] = {}
    given: dict[str, tuple[str, float | None]] = {
        "model": ("model.model_mib", snapshot.model_mib if snapshot else None),
        "min_kv_cache": ("model.min_kv_cache_mib", snapshot.min_kv_cache_mib if snapshot else None),
        "startup_overhead": ("model.startup_overhead_mib", None),
        "headroom": ("model.headroom_mib", None),
    }
    for term, (key, scenarios) in given.items():
        if _configured(settings, key):
            terms[f"{term}_bytes"] = mib_to_bytes(settings.at(key))
            terms[f"{term}_origin"] = setting_origin(settings, key)
        elif snapshot is not None and scenarios is not None:
            terms[f"{term}_bytes"] = mib_to_bytes(scenarios)
            terms[f"{term}_origin"] = _simulated(snapshot)
    if _configured(settings, "model.headroom_pct"):
        share = settings.model.headroom_pct / 100
        origin = setting_origin(settings, "model.headroom_pct")
        terms |= {"headroom_share": share} | ({} if terms.get("headroom_bytes") else {"headroom_origin": origin})
    return ModelNeed(**terms)


def start_utilization(settings: Settings, snapshot: Snapshot, books: Books) -> tuple[float, Origin]:
    """Where a plan starts: at what the running server was given, else the configured value, else the scenario's."""
    running = running_utilization(books)
    if running is not None and books.chosen is not None:
        if snapshot.simulated:
            return running, _simulated(snapshot)
        source = f"command line of pid {books.chosen.owner_pid}"
        return running, Origin(kind=OriginKind.MEASURED, source=source)
    key = "model.gpu_memory_utilization"
    if not _configured(settings, key) and snapshot.gpu_memory_utilization is not None:
        return snapshot.gpu_memory_utilization, _simulated(snapshot)
    return settings.model.gpu_memory_utilization, setting_origin(settings, key)


def running_utilization(books: Books) -> float | None:
    """gpu_memory_utilization of the server that would restart, by its command line; None when that does not say."""
    args = books.chosen.args if books.chosen is not None else None
    return None if args is None else args.gpu_memory_utilization


def choose_gpus(snapshot: Snapshot, settings: Settings, rules: Classifier, needed_one: bool = False) -> tuple[Gpu, ...]:
    """The GPUs a question is about; see `choice.choose_gpus`.

    Raises:
        UsageError: ambiguous or absent, with the GPUs; or `needed_one` and ``all`` was said.
    """
    if needed_one and settings.gpu == choice.ALL and len(snapshot.gpus) != 1:
        gpus = choice.gpu_list(snapshot)
        raise UsageError("This command is about one GPU, and --gpu says all.", f"Choose one of: {gpus}.")
    return choice.choose_gpus(snapshot, rules, settings.gpu, settings.restarts)


def choose_restarts(
    snapshot: Snapshot, gpus: Sequence[Gpu], settings: Settings, rules: Classifier
) -> tuple[Books, ...]:
    """The books of each GPU, with the instance that restarts settled; see `choice.require_chosen`.

    Raises:
        UsageError: several vLLM instances and none chosen, or the pid chosen is none of them; lists them.
    """
    books = tuple(keep_books(snapshot, gpu, rules, settings.restarts) for gpu in gpus)
    choice.require_chosen(snapshot, rules, books, settings.restarts)
    return books
