"""Small builders of machines, and Hypothesis strategies for them. Sizes are MiB at this edge, as in design and docs.

`KLOROS` is the known machine: kloros 952, judge 6134, ollama 1068, other 242 of 12288 MiB.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from gpu_tui.core.books import Books, keep_books
from gpu_tui.core.checks import CheckReport, ModelNeed, evaluate
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Gpu, GpuProcess, ProcessInfo, Snapshot
from gpu_tui.units import MIB, mib_to_bytes

SERVE = "vllm serve Qwen/Qwen2.5-7B-Instruct-AWQ --gpu-memory-utilization 0.50 --port 8001"


def need(model: float = 5700, min_kv: float = 370, startup: float = 0, **fields: Any) -> ModelNeed:
    """A model's needs in MiB; the defaults are the product's."""
    return ModelNeed(
        model_bytes=mib_to_bytes(model),
        min_kv_cache_bytes=mib_to_bytes(min_kv),
        startup_overhead_bytes=mib_to_bytes(startup),
        **fields,
    )


def info(pid: int, name: str | None = "proc", cmdline: str | Sequence[str] | None = (), **fields: Any) -> ProcessInfo:
    """A process; a command line given as a string is split as a shell would."""
    argv = tuple(shlex.split(cmdline)) if isinstance(cmdline, str) else cmdline
    return ProcessInfo(pid=pid, name=name, cmdline=None if argv is None else tuple(argv), **fields)


def table(*infos: ProcessInfo) -> dict[int, ProcessInfo]:
    """A process table."""
    return {each.pid: each for each in infos}


def gpu(
    holds: Mapping[int, float | None] | None = None,
    *,
    total: float | None = 12288,
    reserved: float | None = 0,
    unattributed: float = 0,
    free: float | None = -1,
    **fields: Any,
) -> Gpu:
    """A device whose books balance. `holds` is MiB by pid; free follows from the rest unless given (None: unknown)."""
    processes = [
        GpuProcess(pid=pid, used_bytes=None if mib is None else mib_to_bytes(mib))
        for pid, mib in sorted((holds or {}).items())
    ]
    if free == -1:
        assert total is not None
        free = total - (reserved or 0) - unattributed - sum(mib or 0 for mib in (holds or {}).values())
    used = None if total is None or free is None else total - (reserved or 0) - free
    figures: dict[str, Any] = {
        "index": 0,
        "uuid": "GPU-0",
        "name": "NVIDIA GeForce RTX 3060",
        "total_bytes": _bytes(total),
        "used_bytes": _bytes(used),
        "free_bytes": _bytes(free),
        "reserved_bytes": _bytes(reserved),
        "processes": tuple(processes),
    }
    return Gpu(**(figures | fields))


def _bytes(mib: float | None) -> int | None:
    return None if mib is None else mib_to_bytes(mib)


def snapshot(gpus: Gpu | Iterable[Gpu], infos: Iterable[ProcessInfo] = (), **fields: Any) -> Snapshot:
    """A machine, seen at second 0."""
    figures: dict[str, Any] = {
        "taken_at": 1_767_225_600.0,
        "taken_monotonic": 0.0,
        "source": "scenario",
        "source_detail": "test",
        "simulated": True,
        "gpus": (gpus,) if isinstance(gpus, Gpu) else tuple(gpus),
        "processes": table(*infos),
    }
    return Snapshot(**(figures | fields))


def kloros_infos() -> list[ProcessInfo]:
    """Who is on the known machine."""
    return [
        info(1, "systemd", "/sbin/init", ppid=0),
        info(1893, "Xorg", "/usr/lib/xorg/Xorg :0", ppid=1),
        info(2387058, "ollama", "/usr/local/bin/ollama runner --port 41877", ppid=1),
        info(2816503, "python", "python -m kloros_voice", ppid=1),
        info(2838977, "vllm", f"/opt/vllm/bin/python /opt/vllm/bin/{SERVE}", ppid=1),
        info(2839331, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=2838977),
    ]


KLOROS_HOLDS: dict[int, float | None] = {1893: 242, 2387058: 1068, 2816503: 952, 2839331: 6134}


def kloros(**fields: Any) -> Snapshot:
    """The known machine; `fields` go to `gpu`, such as ``reserved=236, unattributed=17``."""
    return snapshot(gpu(fields.pop("holds", KLOROS_HOLDS), **fields), kloros_infos())


KLOROS = kloros()


def books_of(seen: Snapshot, restarts: int | None = None, index: int = 0) -> Books:
    """Its books under the default rules."""
    return keep_books(seen, seen.gpus[index], Classifier(), restarts)


def judged(
    u: float, seen: Snapshot = KLOROS, needs: ModelNeed | None = None, restarts: int | None = None
) -> CheckReport:
    """The verdict on one utilization."""
    return evaluate(u, books_of(seen, restarts), needs or need())


# --- strategies -----------------------------------------------------------------------------------------------------

sizes = st.one_of(st.integers(0, 100_000 * MIB), st.integers(0, 100_000).map(lambda mib: mib * MIB))
"""Bytes: odd ones, and whole MiB."""

utilizations = st.one_of(
    st.integers(1, 10_000).map(lambda k: k / 10_000), st.floats(0, 1, exclude_min=True, allow_subnormal=False)
)

needs = st.builds(
    ModelNeed,
    model_bytes=sizes,
    min_kv_cache_bytes=sizes,
    startup_overhead_bytes=st.one_of(st.just(0), st.integers(0, 2000 * MIB)),
    on_cuda_total=st.booleans(),
)

_WHO: tuple[tuple[str | None, tuple[str, ...] | None], ...] = (
    ("python", ("python", "-m", "kloros_voice")),
    ("ollama", ("/usr/local/bin/ollama", "runner")),
    ("VLLM::EngineCor", ("VLLM::EngineCore",)),
    ("vllm", ("/usr/bin/python3", "/usr/bin/vllm", "serve", "m", "--port", "8001")),
    ("vllm", ("vllm", "serve", "m")),
    ("Xorg", ("Xorg",)),
    ("bash", None),
    (None, None),
)


@st.composite
def machines(draw: st.DrawFn, *, unknowns: bool = True) -> Snapshot:
    """One GPU with up to eight processes of every kind; unattributed of either sign; some figures unknown."""
    pids = draw(st.lists(st.integers(2, 40), unique=True, max_size=8))
    infos = []
    for pid in pids:
        name, argv = draw(st.sampled_from(_WHO))
        problem = None if argv is not None else "permission denied"
        ppid = draw(st.one_of(st.none(), st.just(1), st.sampled_from(pids)))
        infos.append(ProcessInfo(pid=pid, name=name, cmdline=argv, ppid=ppid, problem=problem))
    size = st.one_of(st.none(), sizes) if unknowns else sizes
    on_gpu = draw(st.lists(st.sampled_from(pids), unique=True)) if pids else []
    processes = tuple(GpuProcess(pid=pid, used_bytes=draw(size)) for pid in sorted(on_gpu))
    total = draw(st.integers(1, 200_000 * MIB))
    reserved = draw(st.one_of(st.none(), st.integers(0, total // 10)))
    free = draw(st.integers(0, total - (reserved or 0)))
    figures = Gpu(
        index=0,
        uuid="GPU-0",
        name="GPU",
        total_bytes=total,
        used_bytes=total - (reserved or 0) - free,
        free_bytes=free,
        reserved_bytes=reserved,
        processes=None if unknowns and draw(st.integers(0, 9)) == 0 else processes,
    )
    seen = [each for each in infos if draw(st.integers(0, 9)) != 0]
    return snapshot(figures, seen)
