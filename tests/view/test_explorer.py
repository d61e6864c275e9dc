"""The explorer's state: what a key changes, and what a reading does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.checks import evaluate
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.reasons import reason
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Fault, FaultKind, Snapshot
from gpu_tui.view.explain import explain, reading_origin
from gpu_tui.view.explorer import Explorer
from gpu_tui.view.rows import check_lines, driver_line, service_line
from gpu_tui.view.spans import plain
from gpu_tui.view.utilization import parse_utilization
from gpu_tui.view.verdict import headline, verdict_words
from tests.factories import KLOROS, books_of, gpu, info, judged, kloros, machines, need, needs, snapshot


def explorer(seen: Snapshot | None = KLOROS, permille: int = 500) -> Explorer:
    made = Explorer(classifier=Classifier(), need=need(), permille=permille)
    if seen is not None:
        made.see(seen)
    return made


@pytest.mark.parametrize(
    ("text", "permille"),
    [("0.45", 450), (".45", 450), ("45", 450), ("1", 1000), ("100", 1000), ("0.4995", 500), ("99.9", 999)],
)
def test_typed_utilizations(text: str, permille: int) -> None:
    assert parse_utilization(text) == permille


@pytest.mark.parametrize(
    "text", ["", ".", "0", "0.0", "101", "nan", "inf", "-1", "1e9", "4.5.6", "0.0001", "1.5", "1.0001"]
)
def test_what_is_no_utilization(text: str) -> None:
    assert parse_utilization(text) is None


@given(machines(), needs, st.integers(-50, 2000))
def test_the_slider_and_the_checks_agree(seen: Snapshot, model: object, permille: int) -> None:
    made = explorer(seen)
    made.set_need(model)  # type: ignore[arg-type]
    made.set_permille(permille)
    assert 1 <= made.permille <= 1000
    report, steps = made.report(), made.feasible_permille()
    assert report is not None
    assert report == evaluate(made.utilization, books_of(seen), made.need)
    if made.problem is None and report.valid is not None:
        assert report.valid == (steps is not None and steps[0] <= made.permille <= steps[1])
    nearest = made.nearest_feasible()
    assert (nearest is None) == (steps is None)
    if nearest is not None:
        made.set_permille(nearest)
        assert made.report().valid is True  # type: ignore[union-attr]


def test_nothing_is_judged_before_the_first_reading() -> None:
    made = explorer(None)
    assert (made.report(), made.books(), made.feasible(), made.nearest_feasible()) == (None, None, None, None)
    assert "reading" in plain(headline(None, None))


def test_a_machine_that_cannot_be_read_judges_nothing_but_is_still_shown() -> None:
    made = explorer()
    made.fail(Fault(kind=FaultKind.GPU_LOST, message="Lost.", remedy="Reset it."))
    report = made.report()
    assert report is not None
    assert report.valid is None
    assert made.feasible_permille() is None
    assert made.books() == books_of(KLOROS)
    assert plain(headline(report, made.problem)) == " ? UNKNOWN  Lost."
    made.see(KLOROS)
    assert made.report().valid is True  # type: ignore[union-attr]


def test_a_chosen_pid_that_is_gone_chooses_nothing_but_a_port_stays_chosen() -> None:
    infos = [
        info(100_000, "vllm", "vllm serve a --port 8001", ppid=1),
        info(100_001, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=100_000),
    ]
    running = snapshot(gpu({100_001: 3000}), infos)
    made = explorer(running)
    made.restarts = 100_000
    made.see(kloros())
    assert made.restarts is None
    made.restarts = 8005
    made.see(kloros())
    assert made.restarts == 8005
    assert made.books().chosen is None  # type: ignore[union-attr]


def test_an_instance_is_remembered_by_its_port() -> None:
    made = explorer()
    books = made.books()
    assert books is not None
    made.choose_restarts(books.instances[0])
    assert made.restarts == 8001


@given(machines(), needs, st.integers(1, 1000))
def test_every_figure_has_an_origin_and_simulated_ones_are_never_measured(
    seen: Snapshot, model: object, permille: int
) -> None:
    made = explorer(seen, permille)
    made.set_need(model)  # type: ignore[arg-type]
    report = made.report()
    assert report is not None
    slider = Origin(kind=OriginKind.ASSUMED, source="the slider")
    figures = explain(report, seen, 1.0, slider)
    assert all(one.origin.source for one in figures)
    assert not any(one.origin.kind is OriginKind.MEASURED for one in figures), "factories' machines are simulated"
    assert reading_origin(seen, 1.0).age_s == 1.0


@given(machines(), needs, st.integers(1, 1000), st.integers(40, 120))
def test_words_are_found_for_every_machine(seen: Snapshot, model: object, permille: int, columns: int) -> None:
    made = explorer(seen, permille)
    made.set_need(model)  # type: ignore[arg-type]
    report, books = made.report(), made.books()
    assert report is not None
    assert books is not None
    told = plain(headline(report, None))
    assert reason(report).removeprefix("Valid: ").removeprefix("Unknown: ") in told
    said = verdict_words(made.judgement(), None, made.nearest_feasible())
    assert said.notes
    assert (report.valid is False) == bool(said.rows)
    lines = check_lines(report, columns)
    assert sum(plain(line)[0] in "✓✗?" for line in lines) == 3
    for line in [*(service_line(s, books, columns) for s in books.services), driver_line(books, columns)]:
        assert "None" not in plain(line)


def test_unknown_reads_unknown_and_never_0() -> None:
    seen = snapshot(gpu({1: None}, free=9000), [info(1, "python", "python -m kloros_voice")])
    books = books_of(seen)
    row = plain(service_line(books.services[0], books, 80))
    assert "unknown" in row
    assert " 0 MiB" not in row
    assert "unknown" in plain(driver_line(books, 80))


def test_check_lines_drop_sums_before_checks() -> None:
    report = explorer().report()
    assert report is not None
    assert [plain(line)[0] for line in check_lines(report, 80, 3)] == ["✓", "✓", "✓"]
    assert any("allocation" in plain(line) for line in check_lines(report, 80, 4))


@pytest.mark.parametrize(("utilization", "failing"), [(0.40, "1"), (0.90, "3")])
def test_where_not_all_checks_fit_the_failing_one_stays(utilization: float, failing: str) -> None:
    report = judged(utilization)
    two, one = ([plain(line) for line in check_lines(report, 80, height)] for height in (2, 1))
    assert len(two) == 2
    assert f"✗ {failing}" in "\n".join(two)
    assert [line[:3] for line in one] == [f"✗ {failing}"]
