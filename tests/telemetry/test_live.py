"""NVML and /proc joined: the known machine, seen whole; and from a container."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpu_tui.core.snapshot import FaultKind, ProcessInfo, Snapshot
from gpu_tui.errors import SourceUnavailable
from gpu_tui.telemetry.foreign import ANOTHER
from tests.standin import HANG, Device, Process, Sleepers, StandIn, State, known_machine, sleep


def kinds(snapshot: Snapshot) -> list[FaultKind]:
    return [fault.kind for gpu in snapshot.gpus for fault in gpu.faults]


def test_the_known_machine(standin: StandIn, sleepers: Sleepers) -> None:
    pids = known_machine(standin, sleepers)
    with standin.live() as source:
        snapshot = source.read()
    (gpu,) = snapshot.gpus
    assert {row.pid: row.used_bytes for row in gpu.processes or ()} == {
        pids[name]: mib * 1024 * 1024
        for name, mib in [("kloros", 952), ("judge", 6134), ("ollama", 1068), ("other", 242)]
    }
    assert snapshot.processes[pids["judge"]].ppid == pids["server"]
    assert "serve" in (snapshot.processes[pids["server"]].cmdline or ())
    assert gpu.faults == ()


def test_the_machine_changes_while_it_is_read(standin: StandIn, sleepers: Sleepers) -> None:
    pids = known_machine(standin, sleepers)
    with standin.live() as source:
        source.read()
        newcomer = sleepers.ollama()
        standin.state.devices[0].processes.append(Process(newcomer, 100))
        standin.write()
        assert source.read().processes[newcomer].name == "ollama"
        sleepers.kill(pids["kloros"])
        assert source.read().processes[pids["kloros"]].problem == "gone"
        standin.state.devices[0].processes.pop(0)
        standin.write()
        assert pids["kloros"] not in source.read().processes


def device_file(folder: Path) -> Path:
    """Stands for the driver's: whoever computes on a GPU keeps it open."""
    file = folder / "dev" / "nvidiactl"
    file.parent.mkdir(exist_ok=True)
    file.touch()
    return file


def test_pids_of_another_namespace(standin: StandIn, sleepers: Sleepers, tmp_path: Path) -> None:
    with device_file(tmp_path).open("w") as device:
        pid = sleepers.start(["/usr/local/bin/ollama", "runner"], log=device.fileno()).pid
    standin.write(State(devices=[Device(processes=[Process(pid, 5), Process(4_000_001, 6)])]))
    with standin.live(own_namespace=False) as source:
        snapshot = source.read()
    assert kinds(snapshot) == [FaultKind.FOREIGN_PIDS]
    assert "1 of the 2 pids" in snapshot.gpus[0].faults[0].message
    assert snapshot.processes[4_000_001].problem == "not in this pid namespace"
    assert snapshot.processes[pid].problem is None
    assert snapshot.evidence == ("device files of the driver: 1 of 1 pids hold them here",)
    assert [words for words in snapshot.missing if "namespace" in words]


def test_a_process_that_bears_the_number_by_chance(standin: StandIn, sleepers: Sleepers) -> None:
    vllm = sleepers.vllm()  # and holds no device file: it is not the one that the driver names
    standin.write(State(devices=[Device(processes=[Process(vllm.engine, 6000)])]))
    with standin.live(own_namespace=False) as source:
        snapshot = source.read()
    row = snapshot.processes[vllm.engine]
    assert (row.name, row.cmdline, row.ppid, row.problem) == (None, None, None, ANOTHER)
    assert kinds(snapshot) == [FaultKind.FOREIGN_PIDS]
    assert "the one pid" in snapshot.gpus[0].faults[0].message
    with standin.live(own_namespace=True) as source:
        assert source.read().processes[vllm.engine].problem is None


def test_memory_in_use_and_no_process_named_inside_a_container(standin: StandIn) -> None:
    standin.write(State(devices=[Device(used_mib=6000), Device(used_mib=0)]))
    with standin.live(own_namespace=False) as source:
        used, idle = source.read().gpus
    assert [fault.kind for fault in used.faults] == [FaultKind.FOREIGN_PIDS]
    assert idle.faults == ()


def test_the_same_on_the_host_is_no_fault(standin: StandIn) -> None:
    standin.write(State(devices=[Device(used_mib=6000, processes=[])]))
    with standin.live(own_namespace=True) as source:
        assert kinds(source.read()) == []


IN_CONTAINER = (
    "from gpu_tui.telemetry.live import LiveSource; s = LiveSource().read(); print(s.processes); print(s.gpus)"
)


def test_a_real_pid_namespace(standin: StandIn, sleepers: Sleepers) -> None:
    pid = sleepers.ollama()
    standin.write(State(devices=[Device(processes=[Process(pid, 5)])]))
    inside = ["unshare", "--pid", "--fork", "--mount-proc"]
    if not shutil.which("unshare") or subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make a pid namespace")
    command = [*inside, sys.executable, "-c", IN_CONTAINER]
    done = subprocess.run(command, env=standin.env(), capture_output=True, text=True, check=True)
    row = ProcessInfo(pid=pid, name=None, cmdline=None, problem="not in this pid namespace")
    assert repr({pid: row}) in done.stdout
    assert "FOREIGN_PIDS" in done.stdout


@pytest.mark.parametrize("holds", [False, True])
def test_a_number_that_a_real_namespace_gave_as_well(standin: StandIn, tmp_path: Path, holds: bool) -> None:
    """The driver names pid 1, and inside the first process is the one that asks."""
    standin.write(State(devices=[Device(processes=[Process(1, 5)])]))
    inside = ["unshare", "--pid", "--fork", "--mount-proc"]
    if not shutil.which("unshare") or subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make a pid namespace")
    code = f"file = open({str(device_file(tmp_path))!r}); {IN_CONTAINER}" if holds else IN_CONTAINER
    done = subprocess.run([*inside, sys.executable, "-c", code], env=standin.env(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ("FOREIGN_PIDS" in done.stdout) == (not holds)
    assert (ANOTHER in done.stdout) == (not holds)


def test_a_second_reading_during_one_that_hangs_is_refused(standin: StandIn) -> None:
    with standin.live() as source:
        source.read()
        standin.write(State(calls={"nvmlDeviceGetMemoryInfo_v2": HANG}))
        source.ask("__import__('threading').Thread(target=source.read, daemon=True).start()")
        for _ in range(500):
            if source.ask("source._busy.locked()"):
                break
            time.sleep(0.01)
        with pytest.raises(SourceUnavailable) as caught:
            source.read()
        assert caught.value.kind == FaultKind.TIMEOUT
        source.ask("source.close()")  # does not wait for the hanging call either
        standin.write(State())
        for _ in range(500):
            if not source.ask("source._busy.locked()"):
                break
            time.sleep(0.01)
        assert source.read().gpus[0].faults == ()


def test_a_slow_call_is_only_slow(standin: StandIn) -> None:
    standin.write(State(calls={"nvmlDeviceGetPowerUsage": sleep(0.3)}))
    with standin.live() as source:
        begun = time.monotonic()
        assert source.read().gpus[0].power_w == 118.0
        assert time.monotonic() - begun >= 0.3


AUDIT = """(globals().update(opened=[]), sys.addaudithook(
    lambda event, args: opened.append(str(args[0])) if event == 'open' else None))[1]""".replace("\n", " ")


def test_a_steady_reading_opens_no_file_of_a_watched_process(standin: StandIn, sleepers: Sleepers) -> None:
    pids = sleepers.crowd(200)
    standin.write(State(devices=[Device(processes=[Process(pid, 1) for pid in pids])]))
    with standin.live() as source:
        source.read()
        source.ask(AUDIT)
        source.read()
        opened = source.ask("[name for name in opened if name.startswith('/proc')]")
    assert len({name.split("/")[2] for name in opened}) <= 32  # the few that take their turn, were 2 s to pass


def test_importing_the_source_loads_no_driver_binding() -> None:
    code = "import sys, gpu_tui.telemetry.live; print('pynvml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
