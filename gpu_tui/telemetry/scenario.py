"""Simulated machines: a file describes one, a clock and a seed move it. The demo, the tests and what-ifs read these.

`snapshot_at` is pure: the same file, seed and second give the same machine.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gpu_tui.clock import Clock
from gpu_tui.core.snapshot import Fault, Gpu, GpuProcess, ProcessInfo, Snapshot
from gpu_tui.errors import ConfigError, SourceUnavailable
from gpu_tui.telemetry import scenario_file, story
from gpu_tui.telemetry.scenario_file import EventTable
from gpu_tui.telemetry.scenario_machine import Scenario, expand
from gpu_tui.units import mib_to_bytes
from gpu_tui.view.text import clean

SCENARIOS: tuple[str, ...] = ("kloros", "oom", "h100x8", "lost", "predict", "deploy", "race", "night-and-day")
"""The machines that are shipped. `kloros` is the demo."""

_DATA = Path(__file__).with_name("data")

Active = tuple[tuple[EventTable, float], ...]


class ScenarioSource:
    """A `TelemetrySource` over a scenario. Second 0 is its first `read`."""

    def __init__(self, scenario: Scenario, clock: Clock, seed: int = 0, *, demo: bool = False) -> None:
        self.scenario = scenario
        self._clock = clock
        self._seed = seed
        self._source = "demo" if demo else "scenario"
        self._started: float | None = None

    def read(self) -> Snapshot:
        """The machine at this second of its story.

        Raises:
            SourceUnavailable: the story says that nothing can be read now.
        """
        now = self._clock.monotonic()
        if self._started is None:
            self._started = now
        seen = snapshot_at(self.scenario, now - self._started, self._seed)
        return replace(seen, taken_at=self._clock.wall(), taken_monotonic=now, source=self._source)

    def close(self) -> None:
        """Nothing is held."""


def open_scenario(name_or_path: str, clock: Clock, seed: int = 0, *, demo: bool = False) -> ScenarioSource:
    """A source over a shipped scenario or a file.

    Args:
        name_or_path: one of `SCENARIOS`, or the path of a TOML or JSON file.
        clock: drives it.
        seed: of its noise; the story's events do not depend on it.
        demo: opened by ``--demo``: the snapshots' source is ``demo`` instead of ``scenario``.

    Raises:
        ConfigError: no such scenario; or its file does not mean anything.
    """
    return ScenarioSource(load_scenario(name_or_path), clock, seed, demo=demo)


def load_scenario(name_or_path: str) -> Scenario:
    """Read and expand a scenario; see `open_scenario`."""
    if name_or_path in SCENARIOS:
        return expand(scenario_file.load(_DATA / f"{name_or_path}.toml"), name_or_path)
    path = Path(name_or_path).expanduser()
    if path.suffix not in (".toml", ".json") and "/" not in name_or_path and not _is_there(path):
        raise ConfigError(
            f"There is no scenario {name_or_path!r}.",
            f"Choose one of {', '.join(SCENARIOS)}, or give the path of a TOML or JSON file.",
        )
    return expand(scenario_file.load(path), clean(path.name), label=str(path))


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # what was typed can be no file's name
        return False


def snapshot_at(scenario: Scenario, t_s: float, seed: int = 0) -> Snapshot:
    """The machine `t_s` seconds into its story; at 0 the file's own figures, exactly.

    Stamps are the story's own: `taken_at` and `taken_monotonic` are `t_s`. What has not moved is the same object at
    every instant.

    Raises:
        SourceUnavailable: the story says that nothing can be read now.
    """
    file = scenario.file
    active = story.active_events(file.story, t_s) if t_s > 0 else ()
    for event, _ in active:
        if event.driver is not None:
            raise SourceUnavailable(
                event.message or "The simulated driver does not answer.", event.remedy, event.driver.value
            )
    gpus, processes, at = scenario.gpus, scenario.processes, story.second_of(file.story, t_s)
    if scenario.late:
        gpus = tuple(_joined(gpu, scenario.late.get(gpu.index, {}), at) for gpu in gpus)
        come = {pid for late in scenario.late.values() for pid, from_s in late.items() if from_s <= at}
        if come:
            processes = {**processes, **{pid: scenario.late_infos[pid] for pid in come}}
    if t_s > 0:
        wanted = story.memory_mib(scenario.base_mib, file.story.waves, active, t_s=t_s, seed=seed)
        gpus = tuple(_moved(scenario, gpu, wanted, active, t_s, seed) for gpu in gpus)
        processes = _still_there(scenario, processes, gpus, wanted)
    return Snapshot(
        taken_at=t_s,
        taken_monotonic=t_s,
        source="scenario",
        source_detail=scenario.name,
        simulated=True,
        gpus=gpus,
        processes=processes,
        driver_version=file.driver_version,
        caption=story.caption(active),
        model_mib=file.model.model_mib,
        min_kv_cache_mib=file.model.min_kv_cache_mib,
        gpu_memory_utilization=file.vllm.gpu_memory_utilization,
        case_id=file.id,
        start=scenario.start,
        logs=story.logs(file.story, t_s) if file.story.log else {},
    )


def _joined(gpu: Gpu, late: dict[int, float], at: float) -> Gpu:
    """The device with those that have come by now; what they hold, events say."""
    there = [GpuProcess(pid=pid, used_bytes=0) for pid, from_s in late.items() if from_s <= at]
    if not there or gpu.processes is None:
        return gpu
    return replace(gpu, processes=tuple(sorted((*gpu.processes, *there), key=lambda process: process.pid)))


def _moved(scenario: Scenario, gpu: Gpu, wanted: dict[int, float | None], active: Active, t_s: float, seed: int) -> Gpu:
    for event, _ in active:
        if event.fault is not None and event.gpu in (None, gpu.index):
            return _lost(gpu, Fault(kind=event.fault, message=event.message, remedy=event.remedy))
    processes, grown = _settled(gpu, wanted)
    levels = scenario.file.story.levels

    def level(field: str, base: float | None) -> float | None:
        return story.level(base, levels, field, gpu.index, t_s=t_s, seed=seed)

    utilization, temperature = level("utilization_pct", gpu.utilization_pct), level("temperature_c", gpu.temperature_c)
    power = level("power_w", gpu.power_w)
    return replace(
        gpu,
        used_bytes=None if gpu.used_bytes is None else gpu.used_bytes + grown,
        free_bytes=None if gpu.free_bytes is None else gpu.free_bytes - grown,
        utilization_pct=None if utilization is None else min(100, round(utilization)),
        temperature_c=None if temperature is None else round(temperature),
        power_w=None if power is None else round(power, 1),
        processes=processes,
    )


def _lost(gpu: Gpu, fault: Fault) -> Gpu:
    return Gpu(
        index=gpu.index,
        uuid=gpu.uuid,
        name=gpu.name,
        total_bytes=None,
        used_bytes=None,
        free_bytes=None,
        reserved_bytes=None,
        processes=None,
        faults=(fault,),
    )


def _settled(gpu: Gpu, wanted: dict[int, float | None]) -> tuple[tuple[GpuProcess, ...], int]:
    """The device's processes now, and by how many bytes they hold more than at tick 0: never more than is free."""
    before = gpu.processes or ()
    targets = {
        process.pid: 0 if mib is None else mib_to_bytes(mib)
        for process in before
        if process.pid in wanted and process.used_bytes is not None
        for mib in (wanted[process.pid],)
    }
    shrunk = sum(min(0, targets[p.pid] - (p.used_bytes or 0)) for p in before if p.pid in targets)
    room = (gpu.free_bytes or 0) - shrunk
    grown = shrunk
    processes: list[GpuProcess] = []
    for process in before:
        if process.pid not in wanted:
            processes.append(process)
            continue
        target, base = targets.get(process.pid), process.used_bytes
        if target is not None and base is not None and target > base:
            growth = min(target - base, room)
            room, grown, target = room - growth, grown + growth, base + growth
        if wanted[process.pid] is not None:
            processes.append(process if target == base else replace(process, used_bytes=target))
    return tuple(processes), grown


def _still_there(
    scenario: Scenario,
    processes: dict[int, ProcessInfo],
    gpus: tuple[Gpu, ...],
    wanted: dict[int, float | None],
) -> dict[int, ProcessInfo]:
    """The process table without those that are gone, or are only known through a device that cannot be read."""
    hidden = {pid for pid, mib in wanted.items() if mib is None}
    if any(gpu.processes is None for gpu in gpus):
        listed = {process.pid for gpu in gpus for process in gpu.processes or ()}
        hidden |= scenario.base_mib.keys() - listed
    if not hidden:
        return processes
    return {pid: info for pid, info in processes.items() if pid not in hidden}
