"""Recordings for tests: snapshots of every kind, and files made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from gpu_tui.core.snapshot import Fault, FaultKind, Gpu, GpuProcess, ProcessInfo, Snapshot
from gpu_tui.errors import SourceUnavailable
from gpu_tui.telemetry.recording.header import Header
from gpu_tui.telemetry.recording.writer import RecordingWriter
from gpu_tui.telemetry.scenario import load_scenario, snapshot_at
from gpu_tui.view.text import clean, mask_cmdline

BEGUN = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""

HEADER = Header(version="test", interval_s=1.0, started_at=BEGUN, host="box")

# Names as the kernel gives them: any text, and bytes that are no UTF-8.
names = st.one_of(
    st.none(), st.text(max_size=12), st.binary(max_size=8).map(lambda b: b.decode("utf-8", "surrogateescape"))
)
words = st.one_of(
    st.text(st.characters(), max_size=16),
    st.sampled_from(["--api-key", "--api-key=x", "HF_TOKEN=hf_abcdefgh", "serve"]),
)
sizes = st.one_of(st.none(), st.integers(0, 2**40))
percents = st.one_of(st.none(), st.integers(0, 100))
watts = st.one_of(st.none(), st.floats(0, 1000))
faults = st.builds(Fault, kind=st.sampled_from(FaultKind), message=st.text(max_size=10), remedy=st.text(max_size=5))


def built(kind: Any, **known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of a kind, with every field that is not named here drawn by its type."""
    return st.builds(kind, **{f.name: ... for f in fields(kind)} | known)


rows = built(GpuProcess, pid=st.integers(1, 8), used_bytes=sizes, compute=st.booleans(), graphics=st.booleans())
gpus = built(
    Gpu,
    index=st.integers(0, 3),
    uuid=st.sampled_from(["", "GPU-a", "GPU-b"]),
    name=st.text(max_size=8),
    total_bytes=sizes,
    used_bytes=sizes,
    free_bytes=sizes,
    reserved_bytes=sizes,
    cuda_total_bytes=sizes,
    cuda_total_band=st.one_of(st.none(), st.tuples(st.integers(0, 9), st.integers(9, 99))),
    free_at_start=st.booleans(),
    utilization_pct=percents,
    temperature_c=percents,
    power_w=watts,
    power_limit_w=watts,
    mig_enabled=st.one_of(st.none(), st.booleans()),
    # Mostly as promised, ordered by pid and each once; the codec must not depend on it.
    processes=st.one_of(
        st.none(),
        st.lists(rows, max_size=6).map(tuple),
        st.lists(rows, max_size=6, unique_by=lambda row: row.pid).map(lambda r: tuple(sorted(r, key=lambda x: x.pid))),
    ),
    faults=st.lists(faults, max_size=2).map(tuple),
)
infos = built(
    ProcessInfo,
    pid=st.integers(1, 8),
    name=names,
    cmdline=st.one_of(st.none(), st.lists(words, max_size=4).map(tuple)),
    user=names,
    ppid=st.one_of(st.none(), st.integers(0, 9)),
    started_at=st.one_of(st.none(), st.floats(0, 2e9)),
    problem=st.one_of(st.none(), st.just("gone")),
)
starts = st.sampled_from([None, load_scenario("predict"), load_scenario("kloros")]).map(
    lambda s: None if s is None else snapshot_at(s, 0).start
)


@st.composite
def snapshots(draw: st.DrawFn, at: float = BEGUN) -> Snapshot:
    """Any snapshot at all."""
    table = draw(st.dictionaries(st.integers(1, 8), infos, max_size=5))
    return Snapshot(
        taken_at=at,
        taken_monotonic=at - BEGUN,
        source=draw(st.sampled_from(["nvml", "demo", "scenario"])),
        source_detail=draw(st.text(max_size=6)),
        simulated=draw(st.booleans()),
        gpus=tuple(draw(st.lists(gpus, max_size=3))),
        processes=table,
        driver_version=draw(st.one_of(st.none(), st.text(max_size=6))),
        caption=draw(st.text(max_size=6)),
        model_mib=draw(watts),
        min_kv_cache_mib=draw(watts),
        gpu_memory_utilization=draw(watts),
        case_id=draw(st.one_of(st.none(), st.integers(), st.text(max_size=4))),
        start=draw(starts),
    )


@st.composite
def stories(draw: st.DrawFn) -> list[Snapshot | SourceUnavailable]:
    """What a recorder may see second by second: repeats, small changes, other machines, nothing at all."""
    story: list[Snapshot | SourceUnavailable] = []
    known: list[Snapshot] = []
    for second in range(draw(st.integers(1, 8))):
        at = BEGUN + second
        what = draw(st.sampled_from(["new", "same", "part", "error"]))
        if what == "error":
            story.append(SourceUnavailable(draw(st.text(max_size=8)), "Wait.", kind="timeout"))
            continue
        seen = draw(snapshots(at)) if what != "same" or not known else known[-1]
        if what == "part" and known:
            old = known[-1]
            seen = replace(old, gpus=(*old.gpus[:-1], *seen.gpus[-1:]), processes={**old.processes, **seen.processes})
        seen = replace(seen, taken_at=at, taken_monotonic=float(second))
        known.append(seen)
        story.append(seen)
    return story


def masked(seen: Snapshot) -> Snapshot:
    """The snapshot as a recording must give it back: secrets masked; texts visible, save those that rules match."""
    table: Mapping[int, ProcessInfo] = {
        pid: replace(
            _visible(info), name=info.name, cmdline=None if info.cmdline is None else mask_cmdline(info.cmdline)
        )
        for pid, info in seen.processes.items()
    }
    return replace(_visible(replace(seen, processes={})), processes=table)


def _visible(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Enum):
        return clean(value)
    if isinstance(value, tuple):
        return tuple(map(_visible, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: _visible(getattr(value, one.name)) for one in fields(value)})
    return value


def record(path: Path, story: Iterable[Snapshot | SourceUnavailable], *, end: bool = True, **options: Any) -> Path:
    """Record a story, an observation a second; without `end` as a recorder that was killed leaves it."""
    writer = RecordingWriter(path, options.pop("header", HEADER), **options)
    for second, one in enumerate(story):
        if isinstance(one, Snapshot):
            writer.snapshot(one)
        else:
            writer.error(one, BEGUN + second, float(second))
    if end:
        writer.close()
    else:
        abandon(writer)
    return path


def abandon(writer: RecordingWriter) -> None:
    """What SIGKILL does: the file is let go of as it stands."""
    import os

    os.close(writer._fd)
    writer._closed = True


def day(seconds: int, step: float = 1.0) -> list[Snapshot | SourceUnavailable]:
    """The demo's story from second 0."""
    scenario = load_scenario("kloros")
    return [
        replace(snapshot_at(scenario, s * step), taken_at=BEGUN + s * step, taken_monotonic=s * step, source="demo")
        for s in range(seconds)
    ]


def real(story: Iterable[Snapshot | SourceUnavailable]) -> list[Snapshot | SourceUnavailable]:
    """The same as if NVML had told it."""
    return [
        replace(one, simulated=False, source="nvml", source_detail="NVML 13.580", model_mib=None, min_kv_cache_mib=None,
                gpu_memory_utilization=None, start=None, caption="")
        if isinstance(one, Snapshot) else one
        for one in story
    ]  # fmt: skip
