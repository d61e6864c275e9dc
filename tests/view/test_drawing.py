"""What is drawn: tracks, bars, braille, wrapped text. Laws rather than pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.checks import evaluate
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.units import MIB
from gpu_tui.view.bars import Segment, bar, layout, now_segments, plan_segments
from gpu_tui.view.braille import Canvas
from gpu_tui.view.rows import service_line
from gpu_tui.view.spans import plain, width, wrap
from gpu_tui.view.track import THUMB, cell_of, permille_at, track
from tests.factories import KLOROS, books_of, machines, need, needs, utilizations

ends = st.tuples(st.integers(1, 1000), st.integers(1, 1000)).map(lambda pair: (min(pair), max(pair)))


@given(st.integers(1, 1000), st.one_of(st.none(), ends), st.integers(1, 250))
def test_a_track_is_as_wide_as_its_room_and_bears_one_thumb(
    permille: int, feasible: tuple[int, int] | None, cells: int
) -> None:
    line = track(permille, feasible, cells)
    assert width(line) == cells
    assert plain(line).count(THUMB) == 1
    assert plain(line).index(THUMB) == cell_of(permille, cells)


@given(st.integers(1, 1000), ends, st.integers(20, 250))
def test_the_thumbs_tone_tells_whether_the_plan_fits(permille: int, feasible: tuple[int, int], cells: int) -> None:
    tone = next(tone for text, tone in track(permille, feasible, cells) if THUMB in text)
    assert tone == ("thumb-ok" if feasible[0] <= permille <= feasible[1] else "thumb-bad")


@given(st.integers(0, 999), st.integers(2, 1000))
def test_a_click_lands_on_the_value_under_it(cell: int, cells: int) -> None:
    cell = min(cell, cells - 1)
    assert cell_of(permille_at(cell, cells), cells) in {cell, 1 if cell == 0 else cell}


def test_the_label_moves_out_of_the_thumbs_way() -> None:
    lines = [plain(track(permille, (494, 815), 105)) for permille in range(494, 816)]
    assert all("0.494–0.815" in line for line in lines)
    assert sum("feasible" in line for line in lines) > len(lines) / 2
    assert "0.494–0.815" in plain(track(400, (494, 815), 68)), "a short label where the long one has no room"


segments = st.lists(
    st.builds(Segment, st.text("abc", max_size=8), st.integers(0, 90_000 * MIB), st.just("x")), max_size=9
)


@given(segments, st.integers(1, 90_000 * MIB), st.integers(1, 200))
def test_cells_of_a_bar_never_exceed_it_and_grow_with_size(parts: list[Segment], total: int, cells: int) -> None:
    sizes = layout(parts, total, cells)
    assert sum(sizes) <= cells
    assert all(size >= 0 for size in sizes)
    scale = max(total, sum(part.size for part in parts))
    for part, size in zip(parts, sizes, strict=True):
        assert abs(size - part.size * cells / scale) <= 1
    assert width(bar(parts, total, cells)) == sum(sizes)


@given(machines(unknowns=False), utilizations, needs)
def test_plan_and_now_tell_the_same_memory(seen: Snapshot, u: float, model: object) -> None:
    books = books_of(seen)
    report = evaluate(u, books, model)  # type: ignore[arg-type]
    now, plan = now_segments(books), plan_segments(report)
    assert books.total_bytes is not None
    assert all(part.size >= 0 for part in (*now, *plan))
    if report.valid and (books.unattributed_bytes or 0) >= 0 and not report.need.startup_overhead_bytes:
        assert sum(part.size for part in plan) == books.total_bytes
        assert not any(part.tone == "short" for part in plan)
    if report.valid is False and report.checks[0].passed:
        assert sum(p.size for p in plan if p.tone == "short") == -(report.checks[2].margin_bytes or 0)


def test_the_known_plans() -> None:
    books = books_of(KLOROS)
    parts = {part.tone: part.size for part in plan_segments(evaluate(0.5, books, need()))}
    assert parts["model"] == 5700 * MIB
    assert parts["kv"] == 444 * MIB
    short = [part for part in plan_segments(evaluate(0.4, books, need())) if part.tone == "short"]
    assert [part.name for part in short] == [" 1155 short "]


words = st.lists(st.tuples(st.text("ab c", max_size=12), st.sampled_from(["", "x"])), max_size=6)


@given(words, st.integers(1, 40), st.integers(0, 6))
def test_wrapping_loses_no_letter_and_never_exceeds_the_room(
    line: list[tuple[str, str]], columns: int, indent: int
) -> None:
    rows = wrap(line, columns, indent)
    assert all(len(plain(row).rstrip()) <= max(columns, indent + 1) for row in rows)
    assert "".join(plain(row) for row in rows).replace(" ", "") == plain(line).replace(" ", "")


@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=90), st.integers(1, 40), st.integers(1, 9))
def test_a_canvas_keeps_to_its_field(ys: list[float | None], columns: int, rows: int) -> None:
    canvas = Canvas(columns, rows)
    canvas.line(ys, 100.0, "x")
    canvas.level(50.0, 100.0, "y")
    lines = canvas.lines()
    assert len(lines) == rows
    assert all(width(line) == columns for line in lines)


@pytest.mark.parametrize(("value", "row"), [(0.0, 3), (100.0, 0)])
def test_a_canvas_puts_0_at_the_bottom(value: float, row: int) -> None:
    canvas = Canvas(4, 4)
    canvas.line([value] * 8, 100.0, "x")
    drawn = [plain(line).strip() != "" for line in canvas.lines()]
    assert drawn == [i == row for i in range(4)]


def test_what_was_not_seen_is_not_drawn() -> None:
    canvas = Canvas(4, 2)
    canvas.line([None] * 8, 100.0, "x")
    assert all(plain(line).strip() == "" for line in canvas.lines())


WIDE = "語音助手長い名前サービス"


@pytest.mark.parametrize("columns", [58, 68, 78, 116])
def test_a_wide_name_keeps_the_columns_where_they_are(columns: int) -> None:
    kept = books_of(KLOROS)
    named = replace(kept, services=tuple(replace(s, name=WIDE) if s.name == "kloros" else s for s in kept.services))
    rows = [service_line(service, named, columns) for service in named.services]
    assert {width(row[:3]) for row in rows} == {width(rows[1][:3])}
    assert all(width(row) <= columns for row in rows)
    assert plain(rows[0]).rstrip().endswith("persistent")
    for cells_ in range(1, 120):
        assert width(bar(now_segments(named), 12288 * MIB, cells_)) == cells_


@given(st.text("ab 語😀", max_size=60), st.integers(2, 30), st.integers(0, 2))
def test_wide_text_is_wrapped_by_cells_and_nothing_is_lost(text: str, columns: int, indent: int) -> None:
    rows = wrap([(text, "")], columns, indent)
    assert all(width(row) <= max(columns, indent + 2) for row in rows)
    assert "".join(plain(row) for row in rows).replace(" ", "") == text.replace(" ", "")
