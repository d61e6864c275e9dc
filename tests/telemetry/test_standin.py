"""The stand-in is worth only as much as its likeness: layouts against the binding's, behaviour against nvml.h."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path

import pynvml
import pytest

from tests.standin import Built, Device, Process, Sleepers, StandIn, State, alive, known_machine

STRUCTS = {
    "memory_v1": pynvml.c_nvmlMemory_t,
    "memory_v2": pynvml.c_nvmlMemory_v2_t,
    "process_v2": pynvml.c_nvmlProcessInfo_v2_t,
    "rates": pynvml.c_nvmlUtilization_t,
    "bar1": pynvml.c_nvmlBAR1Memory_t,
    "sample": pynvml.c_nvmlProcessUtilizationSample_t,
    "temperature_v1": pynvml.c_nvmlTemperature_v1_t,
    "pci_info": pynvml.nvmlPciInfo_t,
    "field_value": pynvml.c_nvmlFieldValue_t,
}


@pytest.mark.parametrize("name", STRUCTS)
def test_struct_sizes_are_the_bindings(standin_built: Built, name: str) -> None:
    library = ctypes.CDLL(str(standin_built.library), mode=os.RTLD_LOCAL)
    library.standin_sizeof.restype = ctypes.c_size_t
    assert library.standin_sizeof(name.encode()) == ctypes.sizeof(STRUCTS[name])


def ask(standin: StandIn, code: str) -> str:
    command = [sys.executable, "-c", f"import pynvml as n\n{code}"]
    return subprocess.run(command, env=standin.env(), capture_output=True, text=True, check=True).stdout.strip()


def test_a_handle_from_before_a_shutdown_is_refused(standin: StandIn) -> None:
    code = """
n.nvmlInit(); old = n.nvmlDeviceGetHandleByIndex(0); n.nvmlShutdown(); n.nvmlInit()
try: n.nvmlDeviceGetName(old)
except n.NVMLError as error: print(error)
"""
    assert ask(standin, code) == "Invalid Argument"


def test_v1_memory_counts_reserved_as_used(standin: StandIn) -> None:
    standin.write(State(devices=[Device(reserved_mib=236, used_mib=1000)]))
    code = """
n.nvmlInit(); h = n.nvmlDeviceGetHandleByIndex(0)
print(n.nvmlDeviceGetMemoryInfo(h).used >> 20, n.nvmlDeviceGetMemoryInfo(h, version=n.nvmlMemory_v2).used >> 20)
"""
    assert ask(standin, code) == "1236 1000"


def test_known_machine_carries_real_processes(standin: StandIn, sleepers: Sleepers) -> None:
    pids = known_machine(standin, sleepers)
    assert all(alive(pid) for pid in pids.values())
    assert Path(f"/proc/{pids['judge']}/comm").read_text() == "VLLM::EngineCor\n"
    cmdline = Path(f"/proc/{pids['judge']}/cmdline").read_bytes()
    assert cmdline.startswith(b"VLLM::EngineCore\0\0\0")
    assert b"serve" not in cmdline


def test_sleepers_end_with_their_block(standin_built: Built) -> None:
    with Sleepers(standin_built) as sleepers:
        vllm = sleepers.vllm(tensor_parallel=2)
        crowd = sleepers.crowd(3)
        pids = [vllm.server, vllm.engine, *vllm.workers, *crowd]
        assert len(pids) == 7
        assert all(map(alive, pids))
    for _ in range(1000):
        if not any(map(alive, pids)):
            return
        time.sleep(0.01)
    pytest.fail("a sleeper lives on")


def test_state_text_is_read_line_by_line() -> None:
    text = State(devices=[Device(processes=[Process(7, None), Process(8, 1.5, "G")])]).text()
    assert "process 7 na C\n" in text
    assert "process 8 1572864 G\n" in text
