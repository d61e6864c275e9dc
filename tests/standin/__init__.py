"""A machine with NVIDIA GPUs for tests, benchmarks and trying things by hand, on any Linux box.

Three parts: a C library that the real binding (pynvml) loads as ``libnvidia-ml.so.1``, a state file that says what it
answers and may change at any time, and real processes that carry the pids.

In a test, with the fixtures of tests/standin/fixtures.py (loaded by tests/conftest.py)::

    def test_something(standin: StandIn, sleepers: Sleepers) -> None:
        pids = known_machine(standin, sleepers)           # design.md's known numbers: kloros, judge, ollama, other
        done = subprocess.run([sys.executable, "-m", "gpu_tui", "services"], env=standin.env(), ...)
        with standin.live() as source:                    # a LiveSource in a child process
            snapshot = source.read()
            standin.state.devices[0].error = GPU_IS_LOST  # change the machine while it runs
            standin.write()

Faults: `State.init_error` (nvmlInit's code), `Device.error` (every call on it), `State.calls` / `Device.calls` (single
C functions: ``error(999)``, ``sleep(2.0)``, ``HANG``; a name may end in ``*``), ``standin.unplug()`` (the driver goes
away), ``standin.env(driver=False)`` (there is no library at all). Memory v1 only: ``Device(v2=False)``; MIG:
``Device(mig=True, instances=[Device(ids=(3, 0))])``; no per-process memory: ``Process(pid, None)``; MPS and
graphics rows: ``Process(pid, 5, "M")``.

Without pytest::

    with StandIn.temporary() as standin, Sleepers(standin.built) as sleepers:
        large_machine(standin, sleepers)

By hand: ``python -m tests.standin [--large] -- COMMAND …`` runs it on the known machine, or on 8 x 200 processes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.standin.building import Built, build
from tests.standin.remote import Remote
from tests.standin.sleepers import QWEN, Sleepers, Started, Vllm, alive
from tests.standin.state import (
    DRIVER_NOT_LOADED,
    FUNCTION_NOT_FOUND,
    GPU_IS_LOST,
    HANG,
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
    State,
    error,
    sleep,
)


class StandIn:
    """One machine: a built library and a state file of its own."""

    def __init__(self, folder: Path, built: Built | None = None) -> None:
        """Write the default machine (one idle RTX 3060); compile into `folder` when nothing built is given."""
        self.built = built or build(folder / "built")
        self.path = folder / "nvml-state"
        self.state = State()
        self.write()

    @classmethod
    @contextmanager
    def temporary(cls) -> Iterator[StandIn]:
        """One in a folder that is removed afterwards."""
        folder = Path(tempfile.mkdtemp(prefix="gpu-tui-standin-"))
        try:
            yield cls(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def env(self, *, driver: bool = True) -> dict[str, str]:
        """This process's environment with the stand-in as the driver, or with no driver at all."""
        env = dict(os.environ)
        env["STANDIN_NVML_STATE"] = str(self.path)
        root = str(Path(__file__).parents[2])
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH", "")]))
        if driver:
            folders = [str(self.built.folder), env.get("LD_LIBRARY_PATH", "")]
            env["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, folders))
        return env

    def write(self, state: State | None = None) -> None:
        """Show `state` (or `self.state`, after it was changed in place) from now on, at one stroke."""
        if state is not None:
            self.state = state
        fresh = self.path.with_suffix(".new")
        fresh.write_text(self.state.text())
        fresh.replace(self.path)

    def unplug(self) -> None:
        """The driver goes away: running programs get *uninitialized*, new ones *driver not loaded*."""
        self.path.unlink(missing_ok=True)

    def live(self, *, retry_s: float = 0.0, own_namespace: bool | None = None, driver: bool = True) -> Remote:
        """A LiveSource over this machine, in a process of its own."""
        return Remote(self.env(driver=driver), retry_s=retry_s, own_namespace=own_namespace)


def known_machine(standin: StandIn, sleepers: Sleepers, utilization: float = 0.5) -> dict[str, int]:
    """The known numbers of design.md §1, held by real processes: pids of kloros, judge, ollama, other and server."""
    vllm = sleepers.vllm(utilization=utilization)
    pids = {"kloros": sleepers.kloros(), "judge": vllm.engine, "ollama": sleepers.ollama(), "other": sleepers.other()}
    sizes = {"kloros": 952, "judge": 6134, "ollama": 1068}
    rows = [Process(pids[name], size) for name, size in sizes.items()] + [Process(pids["other"], 242, "G")]
    standin.write(State(devices=[Device(processes=rows)]))
    return pids | {"server": vllm.server}


def large_machine(standin: StandIn, sleepers: Sleepers, gpus: int = 8, each: int = 200) -> list[int]:
    """`gpus` H100s with `each` processes on every one (100 MiB each): the machine of the speed targets."""
    pids = sleepers.crowd(gpus * each)
    devices = []
    for index in range(gpus):
        rows = [Process(pid, 100) for pid in pids[index * each : (index + 1) * each]]
        name = "NVIDIA H100 80GB HBM3"
        devices.append(Device(name=name, total_mib=81559, reserved_mib=539, limit_w=700.0, processes=rows))
    standin.write(State(devices=devices))
    return pids


__all__ = [
    "DRIVER_NOT_LOADED",
    "FUNCTION_NOT_FOUND",
    "GPU_IS_LOST",
    "HANG",
    "LIB_RM_VERSION_MISMATCH",
    "MIB",
    "NOT_SUPPORTED",
    "NO_PERMISSION",
    "QWEN",
    "RESET_REQUIRED",
    "TIMEOUT",
    "UNINITIALIZED",
    "UNKNOWN",
    "Built",
    "Device",
    "Process",
    "Remote",
    "Sleepers",
    "StandIn",
    "Started",
    "State",
    "Vllm",
    "alive",
    "build",
    "error",
    "known_machine",
    "large_machine",
    "sleep",
]
