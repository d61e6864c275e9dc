"""Pids that are named from inside a container: who holds the driver's device files, on a /proc laid out in a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpu_tui.core.snapshot import FaultKind, Gpu, GpuProcess, ProcessInfo
from gpu_tui.telemetry.foreign import ANOTHER, OUTSIDE, OwnPids, with_foreign_pids
from gpu_tui.telemetry.procfs import GONE, NOT_IN_NAMESPACE, boot_time


def holds(root: Path, pid: int, *targets: str) -> None:
    folder = root / "proc" / str(pid) / "fd"
    folder.mkdir(parents=True)
    for number, target in enumerate(targets):
        (folder / str(number)).symlink_to(target)


def row(pid: int, **more: object) -> ProcessInfo:
    told: dict[str, object] = {"name": "python3", "cmdline": ("python3",), "ppid": 1, "started_at": 5.0, **more}
    return ProcessInfo(pid=pid, **told)  # type: ignore[arg-type]


def rows(*infos: ProcessInfo) -> dict[int, ProcessInfo]:
    return {one.pid: one for one in infos}


@pytest.mark.parametrize(
    ("target", "own"),
    [
        ("/dev/nvidiactl", True),
        ("/dev/nvidia0", True),
        ("/dev/nvidia15", True),
        ("/dev/nvidia-uvm", True),
        ("/dev/nvidia-caps/nvidia-cap12", True),
        ("/dev/dxg", True),
        ("/dev/null", False),
        ("/home/me/nvidia0", False),
        ("/dev/nvidia0.log", False),
        ("/dev/nvidiafs", False),
        ("socket:[4711]", False),
    ],
)
def test_who_holds_a_device_file_is_the_one(tmp_path: Path, target: str, own: bool) -> None:
    holds(tmp_path, 7, "/dev/null", target)
    told = OwnPids(tmp_path).tell([7], rows(row(7)))
    assert told.processes[7] == (row(7) if own else ProcessInfo(pid=7, name=None, cmdline=None, problem=ANOTHER))
    assert bool(told.evidence) == own
    assert told.missing == (OUTSIDE,)


def test_what_cannot_be_told_stays_and_is_said(tmp_path: Path) -> None:
    holds(tmp_path, 7)  # about to end: no file at all
    table = rows(row(7), row(8), row(9, problem=GONE), row(10, problem=NOT_IN_NAMESPACE), row(1))
    told = OwnPids(tmp_path).tell([7, 8, 9, 10], table)
    assert told.processes == table
    assert told.evidence == ()
    assert told.missing[1:] == ("Whether 2 of the pids are the driver's cannot be told: their open files are hidden.",)


def test_parents_hold_no_device_file_and_need_none(tmp_path: Path) -> None:
    holds(tmp_path, 7, "/dev/nvidia0")
    holds(tmp_path, 6, "/dev/null")
    assert OwnPids(tmp_path).tell([7], rows(row(7, ppid=6), row(6))).processes[6].problem is None


def test_who_was_proven_is_not_asked_again_unless_the_number_has_gone_to_another(tmp_path: Path) -> None:
    holds(tmp_path, 7, "/dev/nvidia0")
    own = OwnPids(tmp_path)
    own.tell([7], rows(row(7)))
    (tmp_path / "proc/7/fd/0").unlink()
    (tmp_path / "proc/7/fd/0").symlink_to("/dev/null")
    assert own.tell([7], rows(row(7))).processes[7].problem is None
    assert own.tell([7], rows(row(7, started_at=6.0))).processes[7].problem == ANOTHER
    # Where starts are hidden, a number alone proves nothing later.
    holds(tmp_path, 8, "/dev/nvidia0")
    own.tell([8], rows(row(8, started_at=None)))
    (tmp_path / "proc/8/fd/0").unlink()
    (tmp_path / "proc/8/fd/0").symlink_to("/dev/null")
    assert own.tell([8], rows(row(8, started_at=None))).processes[8].problem == ANOTHER


def test_who_was_none_is_asked_again(tmp_path: Path) -> None:
    holds(tmp_path, 7, "/dev/null")
    own = OwnPids(tmp_path)
    assert own.tell([7], rows(row(7))).processes[7].problem == ANOTHER
    (tmp_path / "proc/7/fd/1").symlink_to("/dev/nvidiactl")
    assert own.tell([7], rows(row(7))).processes[7].problem is None


def test_a_number_borne_by_chance_is_a_foreign_pid() -> None:
    gpu = Gpu(index=2, uuid="", name="", total_bytes=9, used_bytes=5, free_bytes=4, reserved_bytes=0)
    named = replace(gpu, processes=(GpuProcess(pid=7, used_bytes=5),))
    (fault,) = with_foreign_pids(named, rows(row(7, problem=ANOTHER))).faults
    assert (fault.kind, fault.message) == (
        FaultKind.FOREIGN_PIDS,
        "GPU 2: the one pid the driver names cannot be seen from this container.",
    )
    assert with_foreign_pids(named, rows(row(7))).faults == ()


def test_when_the_machine_began(tmp_path: Path) -> None:
    assert (boot_time() or 0) > 1e9
    stat = tmp_path / "stat"
    assert boot_time(str(stat)) is None
    stat.write_text("cpu  1 2 3\nintr 5 6\nbtime 1763928324\nprocesses 9\n")
    assert boot_time(str(stat)) == 1763928324.0
    stat.write_text("cpu  1 2 3\n")
    assert boot_time(str(stat)) is None
