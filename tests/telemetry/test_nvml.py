"""NVML's figures through the real binding, on the stand-in library."""

from __future__ import annotations

import pytest

from gpu_tui.core.snapshot import FaultKind, Gpu, GpuProcess
from gpu_tui.errors import SourceUnavailable
from gpu_tui.telemetry.nvml_device import normalise
from tests.standin import (
    FUNCTION_NOT_FOUND,
    GPU_IS_LOST,
    LIB_RM_VERSION_MISMATCH,
    MIB,
    NO_PERMISSION,
    NOT_SUPPORTED,
    RESET_REQUIRED,
    TIMEOUT,
    UNINITIALIZED,
    UNKNOWN,
    Device,
    Process,
    StandIn,
    State,
    error,
)

LISTS = ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v3")


def read_one(standin: StandIn, device: Device) -> Gpu:
    standin.write(State(devices=[device]))
    with standin.live() as source:
        (gpu,) = source.read().gpus
    return gpu


def kinds(gpu: Gpu) -> list[FaultKind]:
    return [fault.kind for fault in gpu.faults]


def test_every_figure_in_its_unit(standin: StandIn) -> None:
    rows = [Process(900_001, 952.5), Process(900_002, 242, "G")]
    standin.write(State(devices=[Device(uuid="GPU-abc", reserved_mib=236, mig=False, processes=rows)]))
    with standin.live() as source:
        snapshot = source.read()
    assert (snapshot.source, snapshot.simulated, snapshot.source_detail) == ("nvml", False, "NVML 13.580.65")
    assert snapshot.driver_version == "580.65.06"
    used = round(1194.5 * MIB)
    assert snapshot.gpus == (
        Gpu(
            index=0,
            uuid="GPU-abc",
            name="NVIDIA GeForce RTX 3060",
            total_bytes=12288 * MIB,
            used_bytes=used,
            free_bytes=(12288 - 236) * MIB - used,
            reserved_bytes=236 * MIB,
            utilization_pct=34,
            temperature_c=61,
            power_w=118.0,
            power_limit_w=170.0,
            mig_enabled=False,
            display_active=False,
            processes=(
                GpuProcess(pid=900_001, used_bytes=round(952.5 * MIB)),
                GpuProcess(pid=900_002, used_bytes=242 * MIB, compute=False, graphics=True),
            ),
        ),
    )


def test_memory_v1_leaves_reserved_unknown_and_inside_used(standin: StandIn) -> None:
    gpu = read_one(standin, Device(v2=False, reserved_mib=236, used_mib=1000))
    assert (gpu.reserved_bytes, gpu.used_bytes) == (None, 1236 * MIB)
    assert gpu.free_bytes == (12288 - 1236) * MIB
    assert gpu.faults == ()


def test_what_the_device_does_not_have_is_unknown_and_no_fault(standin: StandIn) -> None:
    gpu = read_one(standin, Device(util=None, temp=None, power_w=None, limit_w=None, mig=None))
    figures = (gpu.utilization_pct, gpu.temperature_c, gpu.power_w, gpu.power_limit_w, gpu.mig_enabled)
    assert figures == (None,) * 5
    assert gpu.faults == ()


def test_zero_is_zero_and_not_unknown(standin: StandIn) -> None:
    gpu = read_one(standin, Device(util=0, temp=0, power_w=0.0))
    assert (gpu.utilization_pct, gpu.temperature_c, gpu.power_w, gpu.used_bytes) == (0, 0, 0.0, 0)


def test_memory_not_available_is_unknown(standin: StandIn) -> None:
    gpu = read_one(standin, Device(memory_na=True))
    assert (gpu.total_bytes, gpu.used_bytes, gpu.free_bytes, gpu.reserved_bytes) == (None,) * 4


def test_no_memory_call_at_all_is_unknown_and_said(standin: StandIn) -> None:
    gpu = read_one(standin, Device(calls={"nvmlDeviceGetMemoryInfo*": error(NOT_SUPPORTED)}))
    assert gpu.total_bytes is None
    assert "the driver gives no memory total (NVML said: Not Supported)" in gpu.faults[0].message


def test_figures_that_do_not_add_up_keep_total_and_free(standin: StandIn) -> None:
    gpu = read_one(standin, Device(reserved_mib=100, free_mib=5000, used_mib=1))
    assert gpu.used_bytes == (12288 - 100 - 5000) * MIB


def test_contradictory_memory_is_unknown_and_said(standin: StandIn) -> None:
    gpu = read_one(standin, Device(reserved_mib=8000, free_mib=5000, used_mib=1))
    assert gpu.used_bytes is None
    assert "exceed its total" in gpu.faults[0].message


@pytest.mark.parametrize(
    ("figures", "used"), [((100, 1, 60, 10), 30), ((100, 30, 60, None), 40), ((100, 1, 60, 50), None)]
)
def test_normalise(figures: tuple[int, int, int, int | None], used: int | None) -> None:
    assert normalise(*figures).used == used


def test_a_pid_in_several_lists_is_one_row_and_no_sum(standin: StandIn) -> None:
    rows = [Process(7, 300), Process(7, 310, "G"), Process(7, None, "M"), Process(3, 50, "M")]
    gpu = read_one(standin, Device(used_mib=400, processes=rows))
    assert gpu.processes == (
        GpuProcess(pid=3, used_bytes=50 * MIB, mps=True),
        GpuProcess(pid=7, used_bytes=310 * MIB, graphics=True, mps=True),
    )


def test_one_unknown_process_among_others_stays_unknown(standin: StandIn) -> None:
    gpu = read_one(standin, Device(used_mib=400, processes=[Process(7, 300), Process(8, None)]))
    assert [row.used_bytes for row in gpu.processes or ()] == [300 * MIB, None]
    assert gpu.faults == ()


def test_no_per_process_memory(standin: StandIn) -> None:
    gpu = read_one(standin, Device(used_mib=400, processes=[Process(7, None), Process(8, None)]))
    assert kinds(gpu) == [FaultKind.NO_PER_PROCESS_MEMORY]
    assert len(gpu.processes or ()) == 2


def test_no_process_list_at_all(standin: StandIn) -> None:
    gpu = read_one(standin, Device(calls=dict.fromkeys(LISTS, error(NOT_SUPPORTED))))
    assert gpu.processes is None
    assert kinds(gpu) == [FaultKind.NO_PER_PROCESS_MEMORY]
    assert "Not Supported" in gpu.faults[0].message


def test_permission_denied_for_the_processes(standin: StandIn) -> None:
    gpu = read_one(standin, Device(calls=dict.fromkeys(LISTS, error(NO_PERMISSION))))
    assert gpu.processes is None
    assert kinds(gpu) == [FaultKind.PERMISSION]
    assert "Insufficient Permissions" in gpu.faults[0].message


def test_mig(standin: StandIn) -> None:
    gpu = read_one(standin, Device(mig=True))
    assert gpu.mig_enabled is True
    assert kinds(gpu) == [FaultKind.MIG]


def test_unknown_errors_are_told_once_in_the_drivers_words(standin: StandIn) -> None:
    calls = {"nvmlDeviceGetPowerUsage": error(UNKNOWN), "nvmlDeviceGetUtilizationRates": error(UNKNOWN)}
    gpu = read_one(standin, Device(calls=calls))
    assert [fault.message for fault in gpu.faults] == [
        "GPU 0: utilization, power could not be read (NVML said: Unknown Error)."
    ]
    assert gpu.temperature_c == 61


def test_a_driver_timeout_is_a_fault_of_its_kind(standin: StandIn) -> None:
    gpu = read_one(standin, Device(calls={"nvmlDeviceGetTemperature": error(TIMEOUT)}))
    assert kinds(gpu) == [FaultKind.TIMEOUT]


def test_temperature_by_the_newer_call_where_the_older_is_gone(standin: StandIn) -> None:
    gpu = read_one(standin, Device(calls={"nvmlDeviceGetTemperature": error(FUNCTION_NOT_FOUND)}))
    assert gpu.temperature_c == 61


def test_several_gpus_and_one_lost_and_back(standin: StandIn) -> None:
    standin.write(State(devices=[Device(name="A"), Device(name="B"), Device(name="C")]))
    with standin.live() as source:
        assert [gpu.name for gpu in source.read().gpus] == ["A", "B", "C"]
        standin.state.devices[1].error = GPU_IS_LOST
        standin.write()
        for _ in range(2):
            first, lost, third = source.read().gpus
            assert kinds(lost) == [FaultKind.GPU_LOST]
            assert (lost.name, lost.index, lost.total_bytes, lost.processes) == ("B", 1, None, None)
            assert lost.uuid.startswith("GPU-")
            assert first.used_bytes == third.used_bytes == 0
        standin.state.devices[1].error = 0
        standin.state.devices[1].limit_w = 99
        standin.write()
        back = source.read().gpus[1]
        assert (back.faults, back.total_bytes, back.power_limit_w) == ((), 12288 * MIB, 99.0)


@pytest.mark.parametrize("code", [GPU_IS_LOST, RESET_REQUIRED])
def test_lost_at_start(standin: StandIn, code: int) -> None:
    standin.write(State(devices=[Device(error=code), Device(name="B")]))
    with standin.live() as source:
        lost, alive = source.read().gpus
    assert (kinds(lost), alive.name, alive.faults) == ([FaultKind.GPU_LOST], "B", ())


def test_a_lost_gpu_does_not_restart_the_driver_at_every_reading(standin: StandIn) -> None:
    standin.write(State(devices=[Device(error=GPU_IS_LOST), Device()]))
    with standin.live(retry_s=3600) as source:
        for _ in range(3):
            source.read()
        assert source.ask("source.nvml.starts") == 1


def test_no_permission_for_one_device(standin: StandIn) -> None:
    standin.write(State(devices=[Device(error=NO_PERMISSION), Device()]))
    with standin.live() as source:
        refused, alive = source.read().gpus
    assert kinds(refused) == [FaultKind.PERMISSION]
    assert alive.total_bytes == 12288 * MIB


def unavailable(standin: StandIn, **options: bool) -> SourceUnavailable:
    with standin.live(**options) as source, pytest.raises(SourceUnavailable) as caught:
        source.read()
    return caught.value


def test_driver_missing(standin: StandIn) -> None:
    found = unavailable(standin, driver=False)
    assert found.kind == FaultKind.DRIVER_MISSING
    assert "NVML Shared Library Not Found" in found.message
    assert "cannot open shared object file" in found.message
    assert "--demo" in found.remedy


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (9, FaultKind.DRIVER_NOT_LOADED, "Driver Not Loaded"),
        (LIB_RM_VERSION_MISMATCH, FaultKind.DRIVER_NOT_LOADED, "NVML/RM version mismatch"),
        (NO_PERMISSION, FaultKind.PERMISSION, "Insufficient Permissions"),
        (UNKNOWN, FaultKind.OTHER, "Unknown Error"),
        (19, FaultKind.OTHER, "In use by another client"),
    ],
)
def test_nvml_cannot_be_started(standin: StandIn, code: int, kind: FaultKind, words: str) -> None:
    standin.write(State(init_error=code))
    found = unavailable(standin)
    assert (found.kind, words in found.message, bool(found.remedy)) == (kind, True, True)


def test_no_device(standin: StandIn) -> None:
    standin.write(State(devices=[]))
    assert unavailable(standin).kind == FaultKind.NO_GPU


def test_the_driver_goes_and_comes_back(standin: StandIn) -> None:
    with standin.live() as source:
        source.read()
        standin.unplug()
        for _ in range(2):
            with pytest.raises(SourceUnavailable) as caught:
                source.read()
            assert caught.value.kind == FaultKind.DRIVER_NOT_LOADED
        standin.write()
        assert source.read().gpus[0].total_bytes == 12288 * MIB


def test_uninitialized_beside_us_is_mended_within_the_reading(standin: StandIn) -> None:
    with standin.live() as source:
        source.read()
        source.ask("__import__('pynvml').nvmlShutdown()")
        assert source.read().gpus[0].faults == ()
        assert source.ask("source.nvml.starts") == 2


def test_uninitialized_for_good_is_said(standin: StandIn) -> None:
    standin.write(State(calls={"nvmlDeviceGetTemperature": error(UNINITIALIZED)}))
    assert "Uninitialized" in unavailable(standin).message


def test_static_facts_are_asked_for_once(standin: StandIn) -> None:
    standin.write(State(devices=[Device(processes=[Process(7, 1)])]))
    with standin.live() as source:
        source.read()
        before = source.ask("source.nvml.calls")
        source.read()
        # memory, utilization, temperature, power, MPS, graphics, and compute twice: its length, its rows
        assert source.ask("source.nvml.calls") - before == 8


def test_close_gives_nvml_back_and_reading_goes_on(standin: StandIn) -> None:
    with standin.live() as source:
        source.read()
        source.ask("source.close()")
        source.ask("source.close()")
        assert source.ask("source.nvml.shutdown_problem") is None
        assert source.read().gpus
