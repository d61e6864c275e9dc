"""Instances of MIG are devices of their own; MPS clients, screens and unified memory are told."""

from __future__ import annotations

import pytest

from gpu_tui.core.choice import choose_gpus
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import FaultKind, Gpu
from gpu_tui.errors import UsageError
from tests.standin import MIB, NOT_SUPPORTED, UNKNOWN, Device, Process, Sleepers, StandIn, State, error

A100 = "NVIDIA A100-SXM4-40GB"


def part(number: int, *processes: Process, total: int = 4864, ids: tuple[int, int] = (7, 0)) -> Device:
    """One 1g.5gb instance."""
    return Device(name=f"{A100} MIG 1g.5gb", total_mib=total, reserved_mib=0, ids=ids, processes=list(processes))


def parted(*instances: Device, **fields: object) -> State:
    whole = Device(name=A100, total_mib=40960, reserved_mib=0, mig=True, instances=list(instances), **fields)  # type: ignore[arg-type]
    return State(devices=[Device(), whole])


def test_each_instance_is_a_device_with_memory_and_processes_of_its_own(standin: StandIn, sleepers: Sleepers) -> None:
    pid = sleepers.kloros()
    standin.write(
        parted(part(0, Process(pid, 900), ids=(7, 0)), part(1, ids=(9, 0), total=9728), temp=44, power_w=90.0)
    )
    with standin.live() as source:
        plain, first, second = source.read().gpus
    assert (plain.label, plain.mig, plain.faults) == ("0", None, ())
    assert (first.label, second.label) == ("1:0", "1:1")
    assert (first.index, second.index) == (1, 1)
    assert first.total_bytes == 4864 * MIB
    assert first.used_bytes == 900 * MIB
    assert second.free_bytes == 9728 * MIB
    assert [row.pid for row in first.processes or ()] == [pid]
    assert second.processes == ()
    assert first.mig is not None
    assert (first.mig.gpu_instance, first.mig.compute_instance) == (7, 0)
    assert first.mig.parent_uuid == "GPU-00000001-0000-4000-8000-000000000001"
    assert (first.temperature_c, first.power_w, first.utilization_pct) == (44, 90.0, None)
    assert first.faults == second.faults == ()


def test_instances_come_and_go_while_it_is_read(standin: StandIn) -> None:
    standin.write(parted())
    with standin.live() as source:
        assert [(gpu.label, [fault.kind for fault in gpu.faults]) for gpu in source.read().gpus][1] == (
            "1",
            [FaultKind.MIG],
        )
        standin.write(parted(part(0)))
        assert [gpu.label for gpu in source.read().gpus] == ["0", "1:0"]
        standin.write(parted(part(0), part(1)))
        assert [gpu.label for gpu in source.read().gpus] == ["0", "1:0", "1:1"]
        standin.state.devices[1].mig = False
        standin.state.devices[1].instances = []
        standin.write()
        whole = source.read().gpus[1]
        assert (whole.label, whole.faults, whole.total_bytes) == ("1", (), 40960 * MIB)


def test_an_instance_whose_processes_are_hidden_says_so_of_itself(standin: StandIn) -> None:
    hidden = part(0)
    hidden.calls = {"nvmlDeviceGetComputeRunningProcesses*": error(NOT_SUPPORTED)}
    standin.write(parted(hidden))
    with standin.live() as source:
        row = source.read().gpus[1]
    assert row.processes is None
    assert [fault.kind for fault in row.faults] == [FaultKind.NO_PER_PROCESS_MEMORY]
    assert row.faults[0].message.startswith("GPU 1:0: ")


def test_trouble_of_one_instance_leaves_the_others(standin: StandIn) -> None:
    sick = part(0)
    sick.calls = {"nvmlDeviceGetMemoryInfo*": error(UNKNOWN)}
    standin.write(parted(sick, part(1)))
    with standin.live() as source:
        _, first, second = source.read().gpus
    assert first.total_bytes is None
    assert "memory" in first.faults[0].message
    assert second.total_bytes == 4864 * MIB


def test_choosing_an_instance(standin: StandIn) -> None:
    standin.write(parted(part(0), part(1)))
    with standin.live() as source:
        seen = source.read()

    def chosen(key: str) -> tuple[Gpu, ...]:
        return choose_gpus(seen, Classifier(), key)

    second = seen.gpus[2]
    assert chosen("1:1") == chosen(second.uuid) == chosen("MIG-00000001-0000-4000-8000-000000000001") == (second,)
    assert chosen("0") == (seen.gpus[0],)
    for whole in ("1", "GPU-00000001-0000-4000-8000-000000000001"):
        with pytest.raises(UsageError, match="partitioned") as told:
            chosen(whole)
        assert "1:0 (" in str(told.value)
    with pytest.raises(UsageError, match="no GPU"):
        chosen("1:2")


def test_clients_of_mps_and_a_screen(standin: StandIn, sleepers: Sleepers) -> None:
    client, plain = sleepers.kloros(), sleepers.ollama()
    rows = [Process(client, 500, "M"), Process(plain, 300), Process(plain, 300, "G")]
    standin.write(State(devices=[Device(display=True, processes=rows)]))
    with standin.live() as source:
        gpu = source.read().gpus[0]
    assert {row.pid: (row.mps, row.graphics) for row in gpu.processes or ()} == {
        client: (True, False),
        plain: (False, True),
    }
    assert gpu.display_active is True


@pytest.mark.parametrize(
    "device",
    [Device(calls={"nvmlDeviceGetMemoryInfo*": error(NOT_SUPPORTED)}), Device(memory_na=True)],
    ids=["not supported", "not available"],
)
def test_unified_memory_is_unknown_and_says_why(standin: StandIn, device: Device) -> None:
    standin.write(State(devices=[device]))
    with standin.live() as source:
        gpu = source.read().gpus[0]
    assert (gpu.total_bytes, gpu.used_bytes, gpu.free_bytes) == (None, None, None)
    assert [fault.kind for fault in gpu.faults] == [FaultKind.UNIFIED_MEMORY]
    assert "MemTotal" in gpu.faults[0].message
