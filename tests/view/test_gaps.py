"""What is not known is marked, drawn as unknown and never told as something else."""

from __future__ import annotations

import pytest

from gpu_tui.core.choice import gpu_list
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import GpuProcess
from gpu_tui.view.bars import now_segments, plan_segments
from gpu_tui.view.explorer import Explorer
from gpu_tui.view.rows import check_lines, driver_line, service_line
from gpu_tui.view.spans import plain
from gpu_tui.view.verdict import tenants
from gpu_tui.wire import gpu_object
from tests.factories import KLOROS_HOLDS, books_of, gpu, info, judged, kloros, kloros_infos, need, snapshot


@pytest.mark.parametrize("width", [70, 78, 116])
def test_reserved_memory_that_nobody_tells_apart_is_marked(width: int) -> None:
    told = plain(driver_line(books_of(kloros(reserved=None, unattributed=300)), width))
    assert "300 MiB" in told
    assert "reserved" in told


@pytest.mark.parametrize("width", [58, 70, 78, 116, 200])
def test_a_note_is_told_in_full_or_announced_never_cut(width: int) -> None:
    seen = snapshot(gpu({11: 2000}), [info(11, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=1)])
    books = books_of(seen)
    orphan = next(s for s in books.services if s.name == "orphan")
    told = plain(service_line(orphan, books, width)).rstrip()
    assert "…" not in told
    assert told.endswith(("ORPHAN !", orphan.note))


def test_memory_of_processes_that_is_not_told_is_not_drawn_as_free() -> None:
    held = KLOROS_HOLDS | {2816503: None}
    seen = kloros(holds=held, free=3892)
    books = books_of(seen)
    now, plan = now_segments(books), plan_segments(judged(0.5, seen))
    for parts in (now, plan):
        assert sum(part.size for part in parts) == books.total_bytes
        assert {part.name: part.size // 2**20 for part in parts}["unknown"] == 952
    assert "unknown" not in {part.name for part in now_segments(books_of(kloros(reserved=None)))}


def test_who_restarts_is_unknown_while_processes_are_not_listed() -> None:
    lost = snapshot(gpu(total=None, free=None, reserved=None, processes=None), kloros_infos())
    told = "\n".join(plain(line) for line in check_lines(judged(0.5, lost)))
    assert "nothing that restarts" not in told
    idle = "\n".join(plain(line) for line in check_lines(judged(0.5, snapshot(gpu()))))
    assert "nothing that restarts" in idle


def test_the_tenants_line_has_no_unit_without_a_figure() -> None:
    assert "stay: none; 6134 MiB come free" in plain(tenants(judged(0.5, kloros(holds={2839331: 6134}))))
    unknown = kloros(holds=KLOROS_HOLDS | {2839331: None}, free=3892)
    assert "an unknown size comes free when judge restarts" in plain(tenants(judged(0.5, unknown)))


def test_devices_without_a_uuid_are_told_apart_by_their_index() -> None:
    dead = [gpu(index=i, uuid="", name="unknown GPU", total=None, free=None, processes=None) for i in (0, 1)]
    seen = snapshot([*dead, gpu({7: 100}, index=2, uuid="GPU-2")])
    assert gpu_list(seen) == "0 (unknown GPU), 1 (unknown GPU), 2 (NVIDIA GeForce RTX 3060, GPU-2)"
    assert gpu_object(dead[0])["uuid"] is None
    explorer = Explorer(classifier=Classifier(), need=need())
    explorer.see(seen)
    explorer.choose_gpu(dead[1].key)
    assert explorer.gpu is seen.gpus[1]
    back = gpu(index=1, uuid="GPU-1", processes=(GpuProcess(pid=7, used_bytes=1),))
    explorer.see(snapshot([dead[0], back]))
    assert explorer.gpu is back, "it has become readable and is still the one that was chosen"
