"""Which of the pids that the driver names are this /proc's, where that is a container with pids of its own.

Drivers tell pids in one of two ways. Older ones name the host's. NVIDIA's open kernel modules name a pid as the
namespace of whoever asks knows it, and leave out who is not in it (``_gpuConvertPid``, ``os_find_ns_pid``). So a number
that exists here may be the process, or another that happens to bear it. Whoever computes on a GPU keeps the driver's
device files open: who holds none of them is not the one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gpu_tui.core.snapshot import Fault, FaultKind, Gpu, ProcessInfo
from gpu_tui.telemetry.procfs import NOT_IN_NAMESPACE

ANOTHER = "here this number is another process's"
"""As a `ProcessInfo.problem`."""
_DEVICE = re.compile(r"/dev/(?:nvidia(?:\d+|ctl|-uvm|-uvm-tools|-caps/\S+)|dxg)$")
"""What libcuda opens; ``dxg`` is WSL's."""
REMEDY = "Run gpu-tui on the host, or start the container with --pid=host."
OUTSIDE = (
    "This pid namespace is not the machine's own: processes outside of it cannot be seen; "
    "run on the host, or with --pid=host."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What came of it."""

    processes: Mapping[int, ProcessInfo]
    evidence: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class OwnPids:
    """Tells them. Not thread-safe."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._proc = os.fspath(root / "proc")
        self._proven: set[tuple[int, float | None]] = set()
        """Pid and start of those that were seen to hold a device file: they need not be asked again."""

    def tell(self, named: Iterable[int], processes: Mapping[int, ProcessInfo]) -> Told:
        """The table with those taken out that bear a number by chance.

        Args:
            named: the pids that the driver names.
            processes: a row for each of them.
        """
        rows = dict(processes)
        living = [rows[pid] for pid in sorted(set(named)) if rows[pid].problem is None]
        answers = {one.pid: self._holds(one) for one in living}
        for pid, holds in answers.items():
            if holds is False:
                rows[pid] = ProcessInfo(pid=pid, name=None, cmdline=None, problem=ANOTHER)
        self._proven = {(one.pid, one.started_at) for one in living if answers[one.pid] and one.started_at is not None}
        proven, open_ = sum(map(bool, answers.values())), sum(holds is None for holds in answers.values())
        evidence = (f"device files of the driver: {proven} of {len(living)} pids hold them here",) if proven else ()
        missing = [OUTSIDE]
        if open_:
            missing.append(f"Whether {open_} of the pids are the driver's cannot be told: their open files are hidden.")
        return Told(processes=rows, evidence=evidence, missing=tuple(missing))

    def _holds(self, one: ProcessInfo) -> bool | None:
        """Whether it has the driver's device files open; None: that may not be read."""
        if (one.pid, one.started_at) in self._proven:
            return True
        folder = f"{self._proc}/{one.pid}/fd"
        try:
            names = os.listdir(folder)  # noqa: PTH208 - many a reading
        except OSError:
            return None
        seen = 0
        for name in names:
            try:
                target = os.readlink(f"{folder}/{name}")  # noqa: PTH115
            except OSError:
                continue  # closed meanwhile
            if _DEVICE.search(target):
                return True
            seen += 1
        return False if seen else None  # a process that is about to end has none at all


def with_foreign_pids(gpu: Gpu, processes: Mapping[int, ProcessInfo]) -> Gpu:
    """`gpu` with a fault when, seen from a container, its pids cannot be found or it names none although used."""
    rows = gpu.processes
    if rows is None:
        return gpu
    strangers = sum(1 for row in rows if processes[row.pid].problem in (NOT_IN_NAMESPACE, ANOTHER))
    if strangers:
        which = "the one pid" if len(rows) == 1 else f"{strangers} of the {len(rows)} pids"
        message = f"GPU {gpu.label}: {which} the driver names cannot be seen from this container."
    elif not rows and gpu.used_bytes:
        message = f"GPU {gpu.label} is in use and the driver names no process, as it does inside a container."
    else:
        return gpu
    fault = Fault(kind=FaultKind.FOREIGN_PIDS, message=message, remedy=REMEDY)
    return replace(gpu, faults=(*gpu.faults, fault))
