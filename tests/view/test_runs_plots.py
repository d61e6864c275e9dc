"""Runs against utilization and KV cache: every run once, real apart from simulated, the target in every plot."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.tui.widgets.plot import draw_plot
from gpu_tui.view.plots import Level, Plot, Series
from gpu_tui.view.runs_plots import AXES, KINDS, against, runs_plots
from gpu_tui.view.spans import plain
from gpu_tui.view.svg import svg


@dataclass(frozen=True)
class Entry:
    id: int
    utilization_actual: float | None = None
    simulated: bool = False
    figures: dict[str, float | None] = field(default_factory=dict)


def entry(number: int, share: float | None, e2e: float | None = 640.0, **fields: object) -> Entry:
    figures = {"llm_e2e_p50_ms": e2e, "llm_e2e_p95_ms": None if e2e is None else 1.1 * e2e, "kv_cache_tokens": 8112.0}
    return Entry(number, share, figures=figures, **fields)  # type: ignore[arg-type]


ms = st.one_of(st.none(), st.floats(0.1, 60_000, allow_subnormal=False))
entries = st.lists(
    st.builds(
        Entry,
        id=st.integers(1, 99),
        utilization_actual=st.one_of(st.none(), st.floats(0.05, 1)),
        simulated=st.booleans(),
        figures=st.fixed_dictionaries(
            {figure: ms for rows in KINDS.values() for _, figure, _, _ in rows}
            | {"kv_cache_tokens": st.one_of(st.none(), st.integers(1, 10**6).map(float))}
        ),
    ),
    max_size=12,
)


@given(entries, st.booleans())
def test_each_known_figure_stands_once_and_no_other(made: list[Entry], simulated: bool) -> None:
    for axis in AXES:
        for kind, rows in KINDS.items():
            plot = against(made, axis, kind, 500.0, simulated=simulated)
            mine = [e for e in made if e.simulated is simulated]
            at = {id(e): e.utilization_actual if axis == "utilization" else e.figures["kv_cache_tokens"] for e in mine}
            wanted = sorted(
                (at[id(e)], e.figures[figure])
                for e in mine
                for _, figure, _, _ in rows
                if at[id(e)] is not None and e.figures[figure] is not None
            )
            assert sorted(point for series in plot.series for point in series.points) == wanted
            assert plot.xs() == sorted(plot.xs())
            assert {x for series in plot.series for x, _ in series.points} == set(plot.xs())
            assert plot.simulated is simulated


@given(entries, st.integers(24, 130), st.integers(8, 40))
def test_plots_keep_to_their_room_and_pictures_are_documents(made: list[Entry], width: int, height: int) -> None:
    for plot in runs_plots(made, {"llm": 1000.0, "stt": 500.0}):
        ElementTree.fromstring(svg(plot))
        if not plot.empty:
            lines = draw_plot(plot, width, height)
            assert len(lines) <= height
            assert all(len(plain(line).rstrip()) <= width for line in lines[-3:])


def test_the_cursor_stands_at_every_run_and_judges_it_by_the_target() -> None:
    runs = [entry(7, 0.5, 980.0), entry(3, 0.5), entry(4, None), entry(5, 0.4, None)]
    plot = against(runs, "utilization", "llm", 1000.0)
    assert plot.xs() == [0.5, 0.5]
    assert plot.read_at(0).reading() == "run 3, utilization 0.5: ● e2e p50 640, ○ p95 704 ms; p95 within target"
    assert plot.read_at(1).reading().endswith("○ p95 1078 ms; p95 above target")
    assert plot.read_at(-1).reading() == ""
    assert "target" not in against(runs, "utilization", "llm", None).read_at(0).reading()
    assert against(runs, "kv-tokens", "llm", 1.0).read_at(0).reading().startswith("run 3, KV tokens 8112:")


def test_the_target_is_drawn_however_far_it_is() -> None:
    for target in (1000.0, 5.0):
        plot = against([entry(1, 0.5, 40.0)], "utilization", "llm", target)
        for width in (40, 76):
            lines = [plain(line) for line in draw_plot(plot, width, 16)]
            assert f"┄ target {target:g}" in " ".join(lines[:2])
            assert any(line.count("┈") + line.count("┄") + line.count("╌") + line.count("┉") > 10 for line in lines[2:])


def test_a_picture_says_what_it_is_and_carries_no_markup_of_others() -> None:
    plot = Plot(
        "<b>&", "x\x1b", (Series("<script>", ((0.5, 40.0),), "●", "series-0"),), (Level('"', 50.0),), simulated=True
    )
    drawn = svg(plot)
    root = ElementTree.fromstring(drawn)
    texts = [element.text for element in root.iter() if element.text and element.text.strip()]
    assert "SIMULATED: <b>&, ms" in texts
    assert "\x1b" not in drawn
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {
        "svg",
        "title",
        "rect",
        "text",
        "path",
        "g",
        "circle",
    }
    assert "No run tells both." in svg(Plot("t", "x", ()))
    assert drawn.count("href") + drawn.count("url(") == 0
