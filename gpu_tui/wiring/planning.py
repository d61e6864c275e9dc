"""From settings, a reading and what is known of the model to a judgement of one utilization."""

from __future__ import annotations

from dataclasses import replace

from gpu_tui.config import Settings
from gpu_tui.core.books import Books
from gpu_tui.core.checks import ModelNeed
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.plan import Plan
from gpu_tui.core.planning import Judgement, start_for
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.core.start import StartModel
from gpu_tui.core.start_inputs import StartInputs, merged, start_options
from gpu_tui.core.vllm_version import accounting_of
from gpu_tui.units import mib_to_bytes
from gpu_tui.wiring.machine import model_need, setting_origin

_MODEL, _FLOOR = "model.model_mib", "model.min_kv_cache_mib"


def hand_set(settings: Settings, snapshot: Snapshot | None, key: str = _MODEL) -> bool:
    """Whether the user's own figure stands before what files and logs tell.

    A flag always does. A configured figure is about this machine's model, so it says nothing of a scenario's own.
    """
    kind = settings.origin(key).kind
    simulated = snapshot is not None and snapshot.simulated and snapshot.start is not None
    return kind == "flag" or (kind != "default" and not simulated)


def means_running(settings: Settings, snapshot: Snapshot, books: Books) -> bool:
    """Whether a question that names no model is about the one that runs here: nobody set its size by hand."""
    return snapshot.here and books.chosen is not None and not hand_set(settings, snapshot)


def start_inputs(
    settings: Settings, snapshot: Snapshot | None, known: StartInputs | None = None, *, asked: bool = False
) -> StartInputs | None:
    """What is known of the model and its flags; None when the user's own figure stands for all of it.

    Args:
        settings: the user's floor for the KV cache.
        snapshot: a scenario's own model.
        known: what files, a running server and its log tell; it stands before the scenario's.
        asked: the question itself names the model: it stands before a configured figure.
    """
    scenario = snapshot.start if snapshot is not None else None
    if asked and known is not None and known.facts is not None and scenario is not None:
        # Another model: the release and the GPUs stay, the scenario's own model, its flags and its floor do not.
        scenario = StartInputs(version=scenario.version, tensor_parallel_size=scenario.tensor_parallel_size)
    told = [inputs for inputs in (known, scenario) if inputs is not None]
    if not told or (hand_set(settings, snapshot) and not asked):
        return None
    inputs = merged(*told)
    # A configured floor is about the model that usually runs here; a flag is about the one that is asked about.
    if settings.origin(_FLOOR).kind == "flag" or (hand_set(settings, snapshot, _FLOOR) and not asked):
        inputs = replace(inputs, min_kv_cache_bytes=mib_to_bytes(settings.model.min_kv_cache_mib))
    return inputs


def judgement(
    gpu_memory_utilization: float,
    settings: Settings,
    snapshot: Snapshot,
    gpu: Gpu,
    books: Books,
    known: StartInputs | None = None,
) -> Judgement:
    """Judge one utilization of one GPU with all that is known.

    Raises:
        ValueError: it is not in (0, 1].
    """
    return plan_of(gpu_memory_utilization, settings, snapshot, gpu, books, known).judge()


def plan_of(
    gpu_memory_utilization: float,
    settings: Settings,
    snapshot: Snapshot,
    gpu: Gpu,
    books: Books,
    known: StartInputs | None = None,
    *,
    asked: bool = False,
) -> Plan:
    """All that a judgement of one utilization of one GPU rests on; the arguments are those of `start_inputs`."""
    # A scenario that gives the model as one figure means that figure.
    one_figure = snapshot.model_mib is not None and known is None
    version = snapshot.start.version if snapshot.start is not None else None
    return Plan(
        gpu_memory_utilization=gpu_memory_utilization,
        gpu=gpu,
        books=books,
        base=model_need(settings, snapshot),
        inputs=None if one_figure else start_inputs(settings, snapshot, known, asked=asked),
        version=known.version if known is not None and known.version is not None else version,
        told=settings.origin(_MODEL).kind != "default" or snapshot.model_mib is not None,
    )


def planned_start(
    settings: Settings,
    snapshot: Snapshot,
    gpu: Gpu,
    books: Books,
    base: ModelNeed,
    known: StartInputs | None = None,
) -> StartModel | None:
    """What the planned start takes on this GPU; None where only a hand-set figure can be judged."""
    inputs = start_inputs(settings, snapshot, known)
    # A scenario that gives the model as one figure means that figure.
    one_figure = snapshot.model_mib is not None and known is None
    return None if one_figure else start_for(inputs, gpu, books, base)


def case_of(raw: object, label: str) -> Snapshot:
    """A decoded scenario as a machine; `label` names it in errors.

    Raises:
        ConfigError: it does not mean anything.
    """
    from gpu_tui.telemetry import scenario, scenario_file, scenario_machine

    return scenario.snapshot_at(scenario_machine.expand(scenario_file.convert(raw, label), label), 0)


def asked_utilization(
    flag: float | None, settings: Settings, snapshot: Snapshot, known: StartInputs | None = None
) -> tuple[float, Origin] | None:
    """The utilization a headless question is about, and whose word it is; None: nobody says.

    The flag's, else that of the command line asked about, else the scenario's own, else for a scenario the configured
    one or vLLM's default.
    """
    if flag is not None:
        return flag, Origin(kind=OriginKind.ASSUMED, source="flag --util")
    if known is not None and known.gpu_memory_utilization is not None:
        return known.gpu_memory_utilization, Origin(kind=OriginKind.ASSUMED, source="flag --serve")
    if not snapshot.simulated:
        return None
    if snapshot.gpu_memory_utilization is not None:
        source = f"scenario {snapshot.source_detail} (simulated)"
        return snapshot.gpu_memory_utilization, Origin(kind=OriginKind.ASSUMED, source=source)
    if settings.origin("model.gpu_memory_utilization").kind != "default":
        return settings.model.gpu_memory_utilization, setting_origin(settings, "model.gpu_memory_utilization")
    told = snapshot.start
    old = told is not None and start_options(told, None, None).maybe_old
    rules = accounting_of("V0" if old else told.version if told is not None else None)
    source = f"default of {rules.label}"
    return rules.default_gpu_memory_utilization, Origin(kind=OriginKind.ASSUMED, source=source)
