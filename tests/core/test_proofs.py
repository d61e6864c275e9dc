"""On what the list of services rests, what is missing, and what is known of the rest."""

from __future__ import annotations

import pytest

from gpu_tui.core.proofs import FIND_OUT, proofs, unattributed
from gpu_tui.core.snapshot import Gpu, GpuProcess, MigInstance, ProcessInfo, Snapshot
from gpu_tui.core.whereabouts import whereabouts
from gpu_tui.units import MIB
from tests.factories import SERVE, books_of, gpu, info, snapshot


def live(device: Gpu, *infos: ProcessInfo, **fields: object) -> Snapshot:
    figures: dict[str, object] = {"source": "nvml", "source_detail": "NVML 13.580", "simulated": False}
    return snapshot(device, infos, **(figures | fields))


def about(seen: Snapshot) -> str:
    return " ".join(unattributed(books_of(seen), seen.gpus[0], seen))


def test_what_was_read_is_counted() -> None:
    seen = live(
        gpu({7: 100, 8: 50, 9: 20}),
        info(7, "python", "python x", unit="voice.service", ports=(80,)),
        info(8, "python", "python y", container="4f" * 32),
        info(9, None, None, problem="permission denied"),
        missing=("This is WSL: so it is.",),
    )
    found = proofs(seen, seen.gpus[0])
    assert found.used == (
        "NVML 13.580: 3 processes (3 compute)",
        "/proc: names and command lines of 2 of 3",
        "control groups: 1 in systemd units, 1 in containers",
        "listening ports of 1 of 2",
    )
    assert found.missing == (
        "1 could not be read: permission denied.",
        "1 of 1 containers could not be named.",
        "Ports of 1 of 2 may not be read: they are other users'.",
        "This is WSL: so it is.",
    )


def test_a_simulated_machine_proves_nothing() -> None:
    seen = snapshot(gpu({7: 100}), [info(7)])
    assert proofs(seen, seen.gpus[0]).used == ("scenario test (simulated)",)
    assert FIND_OUT not in unattributed(books_of(seen), seen.gpus[0], seen)


def test_nothing_unattributed_is_said() -> None:
    assert about(live(gpu({7: 100}), info(7))) == "Every byte in use is some process's."


@pytest.mark.parametrize(
    ("device", "infos", "words"),
    [
        (gpu(unattributed=300, reserved=None), (), "The driver's own reserve is in it"),
        (gpu(unattributed=300, display_active=True), (), "A screen is driven by this GPU"),
        (gpu(unattributed=-20, holds={7: 500}), (info(7),), "add up to more than is in use"),
        (gpu(unattributed=300, holds={7: 500}), (), "1 of the listed processes could not be read"),
        (gpu(unattributed=300, holds={7: None}), (info(7),), "does not tell the memory of every process"),
        (gpu(unattributed=300, processes=None), (), "All 300 MiB in use may be anybody's"),
        (gpu(total=None, free=None), (), "does not report this GPU's used memory"),
        (
            gpu(unattributed=300, processes=(GpuProcess(pid=7, used_bytes=5 * MIB, mps=True),)),
            (info(7),),
            "the MPS server is not listed",
        ),
        (
            gpu(
                unattributed=300,
                processes=(
                    GpuProcess(pid=7, used_bytes=5 * MIB, mps=True),
                    GpuProcess(pid=8, used_bytes=5 * MIB),
                ),
            ),
            (info(7), info(8, "nvidia-cuda-mps-server")),
            "stands at the MPS server, which is listed",
        ),
    ],
)
def test_what_is_known_of_the_rest(device: Gpu, infos: tuple[ProcessInfo, ...], words: str) -> None:
    told = about(live(device, *infos))
    assert words in told
    assert told.endswith(FIND_OUT) or "used memory" in words


def test_compute_instances_of_one_gpu_instance_share_its_memory() -> None:
    def part(number: int, instance: int) -> Gpu:
        which = MigInstance(number=number, parent_uuid="GPU-p", gpu_instance=instance, compute_instance=number)
        return gpu(unattributed=100, uuid=f"MIG-{number}", mig=which)

    seen = snapshot((part(0, 7), part(1, 7), part(2, 9)), (), source="nvml", simulated=False)
    told = [" ".join(unattributed(books_of(seen, index=i), seen.gpus[i], seen)) for i in range(3)]
    assert "Compute instances 0:1 share" in told[0]
    assert "Compute instances 0:0 share" in told[1]
    assert "share" not in told[2]


def test_where_a_service_lives() -> None:
    server = info(10, "python", SERVE, ppid=5, user="ada", unit="vllm.service", ports=(8001,))
    engine = info(11, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=10, user="ada", ports=(5555,), inner_pid=3)
    seen = live(gpu({11: 6000}), engine, server, info(5, "systemd", ppid=1), info(1, "systemd", ppid=0))
    judge = books_of(seen).service("judge")
    assert judge is not None
    where = whereabouts(judge, seen)
    assert (where.users, where.units, where.ports) == (("ada",), ("vllm.service",), (5555, 8001))
    assert where.parents == ("python (10)", "systemd (5)", "systemd (1)")
    assert where.inner_pids == ((11, 3),)
    assert where.args is not None
    assert where.args.model == "Qwen/Qwen2.5-7B-Instruct-AWQ"


def test_a_service_in_a_pod() -> None:
    inside = {"container": "4f" * 32, "runtime": "containerd", "image": "voice:3", "pod": "voice-0"}
    seen = live(gpu({7: 5}), info(7, namespace="prod", unit_uid=None, **inside))
    other = books_of(seen).service("other")
    assert other is not None
    where = whereabouts(other, seen)
    assert (where.containers, where.pods) == (("4f4f4f4f4f4f (containerd, voice:3)",), ("prod/voice-0",))
