"""Laws of the arithmetic, for machines nobody thought of."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gpu_tui.core.books import Books
from gpu_tui.core.checks import ModelNeed, evaluate, feasible_range
from gpu_tui.core.reasons import reason
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.core.steps import STEPS
from gpu_tui.units import MIB
from tests.factories import KLOROS, books_of, gpu, kloros, machines, need, needs, snapshot, utilizations

CLOSE = need(9000, 1000)


def _with_free(books: Books, more: int) -> Books:
    assert books.free_bytes is not None
    return dataclasses.replace(books, free_bytes=books.free_bytes + more)


@given(machines(unknowns=False))
def test_the_books_balance_to_the_byte(seen: Snapshot) -> None:
    books = books_of(seen)
    assert books.processes_bytes is not None
    assert books.unattributed_bytes is not None
    assert books.free_bytes is not None
    parts = books.processes_bytes + books.unattributed_bytes + (books.reserved_bytes or 0) + books.free_bytes
    assert parts == books.total_bytes
    assert books.persistent_bytes is not None
    assert books.restarting_bytes is not None
    assert books.persistent_bytes + books.restarting_bytes == books.processes_bytes
    rest = books.persistent_bytes + books.unattributed_bytes + (books.reserved_bytes or 0)
    assert books.available_bytes == (books.total_bytes or 0) - rest


@given(machines())
def test_every_process_is_in_one_row_and_every_figure_is_its_processes_sum(seen: Snapshot) -> None:
    books = books_of(seen)
    (device,) = seen.gpus
    held = {process.pid: process.used_bytes for process in device.processes or ()}
    assert sorted(pid for service in books.services for pid in service.pids) == sorted(held)
    for service in books.services:
        sizes = [held[pid] for pid in service.pids]
        known = [size for size in sizes if size is not None]
        whole = books.listed and len(known) == len(sizes)
        assert service.used_bytes == (sum(known) if whole else None)
        assert service.running is bool(service.pids)
        assert service.pid == (service.pids[0] if service.pids else None)
    assert len({service.name for service in books.services}) == len(books.services)


@given(machines(unknowns=False), needs, utilizations, utilizations)
def test_raising_u_never_mends_check_3_nor_breaks_check_1(
    seen: Snapshot, needed: ModelNeed, a: float, b: float
) -> None:
    books = books_of(seen)
    low, high = (evaluate(u, books, needed) for u in sorted((a, b)))
    assert bool(low.checks[0].passed) <= bool(high.checks[0].passed)
    assert bool(high.checks[2].passed) <= bool(low.checks[2].passed)
    assert low.checks[1] == high.checks[1]
    assert (low.allocation_bytes or 0) <= (high.allocation_bytes or 0)


@given(machines(unknowns=False), needs, utilizations)
def test_valid_means_deficit_0_and_all_three(seen: Snapshot, needed: ModelNeed, u: float) -> None:
    report = evaluate(u, books_of(seen), needed)
    assert report.valid is all(check.passed for check in report.checks)
    assert report.valid is (report.deficit_bytes == 0)
    assert report.valid is (report.first_failing is None)
    assert reason(report).startswith("Valid: ") is report.valid
    if report.checks[1].passed is False:
        assert report.feasible is None
        assert report.valid is False


@given(machines(unknowns=False), needs, st.data())
def test_the_range_and_the_checks_agree(seen: Snapshot, needed: ModelNeed, data: st.DataObject) -> None:
    books = books_of(seen)
    feasible = feasible_range(books, needed)
    edges = [feasible.min_steps, feasible.max_steps] if feasible else []
    near = [k + d for k in edges for d in (-1, 0, 1) if 1 <= k + d <= STEPS]
    for k in [*near, *data.draw(st.lists(st.integers(1, STEPS), max_size=20))]:
        inside = feasible is not None and feasible.min_steps <= k <= feasible.max_steps
        assert evaluate(k / STEPS, books, needed).valid is inside


@pytest.mark.parametrize(
    ("seen", "needed"),
    [
        (KLOROS, need()),
        (kloros(reserved=236, unattributed=17), need(startup=450, on_cuda_total=True)),
        (kloros(unattributed=-300), need(9000, 700)),
        (kloros(holds={2839331: 6000}, free=71.5), need()),
        (snapshot(gpu({}, total=81559, reserved=400)), need(0, 0)),
    ],
    ids=["known", "reserved", "overlap", "one multiple", "nothing needed"],
)
def test_the_range_and_the_checks_agree_at_every_multiple(seen: Snapshot, needed: ModelNeed) -> None:
    books = books_of(seen)
    valid = [k for k in range(1, STEPS + 1) if evaluate(k / STEPS, books, needed).valid]
    feasible = feasible_range(books, needed)
    assert feasible is not None
    assert valid == list(range(feasible.min_steps, feasible.max_steps + 1))


@given(st.integers(10_000, 200_000 * MIB), st.floats(0, 1), st.floats(0, 1), st.integers(0, 600 * MIB), st.floats(0, 1))
@example(12288 * MIB, 6070 / 12288, 6070.1 / 12288, 0, 0.0)
@example(12288 * MIB, 6070 / 12288, 5800 / 12288, 0, 0.0)
def test_freeing_what_is_told_is_enough_and_no_less_is(
    total: int, needed_share: float, room_share: float, startup: int, u: float
) -> None:
    needed = ModelNeed(model_bytes=int(total * needed_share), min_kv_cache_bytes=0, startup_overhead_bytes=startup)
    device = dataclasses.replace(gpu({}), total_bytes=total, free_bytes=int(total * room_share), reserved_bytes=0)
    books = books_of(snapshot(device))
    report = evaluate(max(u, 0.0001), books, needed)
    short = report.free_at_least_bytes
    assert (short is None) is (report.feasible is not None)
    if short is not None:
        assert short > 0
        assert feasible_range(_with_free(books, short), needed) is not None
        assert feasible_range(_with_free(books, short - 1), needed) is None


@given(machines(), needs, utilizations)
def test_unknown_memory_gives_an_unknown_verdict_exactly_where_it_decides(
    seen: Snapshot, needed: ModelNeed, u: float
) -> None:
    books = books_of(seen)
    report = evaluate(u, books, needed)
    decides = books.listed and all(
        service.used_bytes is not None for service in books.services if service.role.value == "restarts"
    )
    assert (report.valid is not None) is decides
    assert (report.available_bytes is not None) is decides
    assert (report.deficit_bytes is not None) is decides
    assert [check.passed is not None for check in report.checks] == [True, decides, decides]
    assert reason(report).startswith("Unknown: ") is not decides


@given(machines(), needs, utilizations, st.floats(0, 1))
def test_a_growing_tenant_never_helps(seen: Snapshot, needed: ModelNeed, u: float, share: float) -> None:
    books = books_of(seen)
    grows = int((books.free_bytes or 0) * share)
    before, after = evaluate(u, books, needed), evaluate(u, _with_free(books, -grows), needed)
    assert bool(after.valid) <= bool(before.valid)
