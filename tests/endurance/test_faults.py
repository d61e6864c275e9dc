"""NVML answers with every code it has, at random, for ten thousand ticks: what is told is true, or it is unknown."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from gpu_tui.core.books import keep_books
from gpu_tui.core.checks import evaluate
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import FaultKind, Gpu, Snapshot
from gpu_tui.errors import SourceUnavailable
from tests.endurance.measuring import tell
from tests.factories import need
from tests.standin import MIB, Device, Process, Sleepers, StandIn, State, known_machine

TOTAL, RESERVED, UNATTRIBUTED = 12288, 236, 17
HELD = {"kloros": 952, "judge": 6134, "ollama": 1068, "other": 242}
FREE = TOTAL - RESERVED - UNATTRIBUTED - sum(HELD.values())

PASSING = (1, 2, 4, 6, 7, 8, 9, 10, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 26, 27, 28, 29, 30, 999)
"""Codes of nvmlReturn_t that may be over at the next call."""
LASTING = (3, 5, 12, 13, 25)
"""Those that say what a driver cannot do: gpu-tui need not ask again while NVML runs."""
TICKS = 5_000


def machine(pids: dict[str, int]) -> State:
    rows = [Process(pids[name], HELD[name], "G" if name == "other" else "C") for name in HELD]
    used = sum(HELD.values()) + UNATTRIBUTED
    return State(devices=[Device(reserved_mib=RESERVED, used_mib=used, processes=rows), Device(name="B", mig=False)])


def check_device(gpu: Gpu, truth: dict[int, int]) -> None:
    """Every figure is the true one, or unknown."""
    assert gpu.total_bytes in (None, TOTAL * MIB)
    assert gpu.free_bytes in (None, FREE * MIB)
    assert gpu.reserved_bytes in (None, RESERVED * MIB)
    used = (sum(HELD.values()) + UNATTRIBUTED) * MIB
    assert gpu.used_bytes in (None, used if gpu.reserved_bytes is not None else used + RESERVED * MIB)
    assert gpu.utilization_pct in (None, 34)
    assert gpu.temperature_c in (None, 61)
    assert gpu.power_w in (None, 118.0)
    assert gpu.power_limit_w in (None, 170.0)
    if gpu.processes is not None:
        assert {row.pid: row.used_bytes for row in gpu.processes}.items() <= truth.items()
    if gpu.total_bytes is None:
        assert gpu.faults, "what is unknown is told"


def check_books(seen: Snapshot, gpu: Gpu, truth: dict[int, int], codes: tuple[int, ...]) -> bool | None:
    """The law, and the verdict on 0.5: valid, or unknown."""
    books = keep_books(seen, gpu, Classifier())
    parts = (books.processes_bytes, books.unattributed_bytes, books.free_bytes, books.reserved_bytes)
    if None not in parts:
        assert sum(part for part in parts if part is not None) == books.total_bytes
    rows = gpu.processes
    if rows is None:
        assert books.processes_bytes is None
        assert books.available_bytes is None
        assert all(service.used_bytes is None for service in books.services)
    elif len(rows) < len(truth) and codes is PASSING:  # a driver may well not support one of the three lists
        assert any("list of processes" in fault.message for fault in gpu.faults), "rows that are missing are told"
    valid = evaluate(0.5, books, need()).valid
    assert valid in (None, True)
    return valid


def check_refusal(error: SourceUnavailable) -> str:
    """It says what and what to do; its kind."""
    assert error.kind in set(FaultKind)
    assert error.message
    assert error.remedy
    return error.kind


def play(standin: StandIn, pids: dict[str, int], codes: tuple[int, ...], seed: int) -> Counter[str]:
    """Ticks at several rates of failing; counts what was told."""
    truth = {pids[name]: size * MIB for name, size in HELD.items()}
    told: Counter[str] = Counter()
    dice = random.Random(seed)
    state = machine(pids)
    with standin.live() as source:
        for tick in range(TICKS):
            if tick % 100 == 0:
                state.chaos = (dice.choice([0, 5, 20, 80, 300]), seed * TICKS + tick, codes)
                standin.write(state)
            try:
                seen = source.read()
            except SourceUnavailable as error:
                told[f"nothing: {check_refusal(error)}"] += 1
                continue
            assert 1 <= len(seen.gpus) <= 2
            check_device(seen.gpus[0], truth)
            told[f"verdict: {check_books(seen, seen.gpus[0], truth, codes)}"] += 1
            told.update(f"fault: {fault.kind.value}" for gpu in seen.gpus for fault in gpu.faults)
        state.chaos = None
        standin.write(state)
        for _ in range(2):
            seen = source.read()
        if codes is PASSING:
            check_recovered(seen, truth)
    return told


def check_recovered(seen: Snapshot, truth: dict[int, int]) -> None:
    """Once the driver answers, everything is known again."""
    gpu = seen.gpus[0]
    assert not gpu.faults
    assert (gpu.total_bytes, gpu.free_bytes, gpu.reserved_bytes) == (TOTAL * MIB, FREE * MIB, RESERVED * MIB)
    assert {row.pid: row.used_bytes for row in gpu.processes or ()} == truth
    assert (gpu.temperature_c, gpu.utilization_pct, gpu.power_w) == (61, 34, 118.0)
    assert keep_books(seen, gpu, Classifier()).unattributed_bytes == UNATTRIBUTED * MIB


@pytest.mark.slow
@pytest.mark.parametrize(("codes", "seed"), [(PASSING, 1), (PASSING + LASTING, 2)], ids=["passing", "all"])
def test_a_driver_that_fails_at_random_never_makes_a_wrong_figure(
    standin: StandIn, sleepers: Sleepers, codes: tuple[int, ...], seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    told = play(standin, known_machine(standin, sleepers), codes, seed)
    tell(capsys, f"{TICKS} ticks:", *(f"{count:6d}  {what}" for what, count in sorted(told.items())))
    assert told["verdict: True"] > TICKS // 4
    assert told["fault: gpu_lost"]
    assert sum(count for what, count in told.items() if what.startswith("nothing")) > 10
