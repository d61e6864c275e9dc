"""What the plots show: nothing that was not measured, and what the cursor reads is what was measured."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.bench.events import RequestDone
from gpu_tui.tui.widgets.plot import draw_plot, nice_ticks, round_below
from gpu_tui.view.plots import PLOTS, Level, by_request, distribution, over_time
from gpu_tui.view.spans import plain

times = st.one_of(st.none(), st.floats(0.1, 5000, allow_subnormal=False))
requests = st.lists(
    st.builds(
        RequestDone,
        kind=st.sampled_from(["llm", "stt"]),
        index=st.integers(0, 99),
        started_s=st.floats(0, 100),
        ttft_ms=times,
        e2e_ms=times,
        latency_ms=times,
        error=st.sampled_from([None, None, None, "timeout"]),
    ),
    max_size=30,
)


@given(requests)
def test_a_plot_shows_each_good_figure_once_and_no_failed_one(done: list[RequestDone]) -> None:
    good = [r for r in done if r.error is None]
    wanted = sorted(
        [r.ttft_ms for r in good if r.kind == "llm" and r.ttft_ms is not None]
        + [r.e2e_ms for r in good if r.kind == "llm" and r.e2e_ms is not None]
        + [r.latency_ms for r in good if r.kind == "stt" and r.latency_ms is not None]
    )
    for make in PLOTS:
        plot = make(done)
        assert sorted(y for series in plot.series for _, y in series.points) == wanted
        assert plot.empty == (not wanted)
        assert all(list(s.points) == sorted(s.points) for s in plot.series)


@given(requests)
def test_a_distribution_rises_from_0_to_100(done: list[RequestDone]) -> None:
    for series in distribution(done).series:
        ys = [y for _, y in series.points]
        assert ys == sorted(ys)
        assert all(0 < x < 100 for x, _ in series.points)


def request(**fields: object) -> RequestDone:
    return RequestDone(**{"kind": "llm", "index": 0, "started_s": 1.5, **fields})  # type: ignore[arg-type]


def test_the_cursor_reads_what_was_measured() -> None:
    from dataclasses import replace

    done = [request(ttft_ms=182.0, e2e_ms=640.0), request(index=1, ttft_ms=190.0)]
    plot = by_request(done)
    assert plot.xs() == [1.0, 2.0]
    assert replace(plot, cursor=1.0).reading() == "request 1: ● TTFT 182 ms, ◆ end-to-end 640 ms"
    assert replace(plot, cursor=2.0).reading() == "request 2: ● TTFT 190 ms"
    assert plot.reading() == ""
    assert over_time(done).xs() == [1.5]


def test_a_plot_keeps_to_its_room_and_tells_targets() -> None:
    done = [request(index=i, ttft_ms=100.0 + i, e2e_ms=600.0 + i) for i in range(20)]
    for width in (24, 40, 56, 116, 230):
        for height in (8, 12, 30, 70):
            lines = draw_plot(by_request(done, [Level("LLM target", 700.0), Level("far", 90_000.0)]), width, height)
            assert len(lines) == height
            assert all(len(plain(line)) <= width for line in lines), (width, height)
            assert max(len(plain(line).rstrip()) for line in lines) >= width - 2
    legend = plain(draw_plot(by_request(done, [Level("LLM target", 700.0)]), 116, 20)[0])
    assert "● TTFT" in legend
    assert "LLM target 700" in legend
    narrow = draw_plot(by_request(done, [Level("LLM target", 700.0)]), 40, 12)
    assert "target" not in plain(narrow[0])
    assert not any("┈" in plain(line) for line in narrow), "no line that nothing explains"


@given(st.floats(0.001, 1e6), st.integers(1, 20))
def test_the_largest_round_number_below(top: float, most: int) -> None:
    assert round_below(top) <= top < 2.5 * round_below(top) * (1 + 1e-9)


@given(st.floats(0.001, 1e6), st.integers(1, 20))
def test_ticks_are_round_and_reach_the_top(top: float, most: int) -> None:
    ticks = nice_ticks(top, most)
    assert ticks[0] == 0
    assert ticks[-1] >= top * (1 - 1e-9)
    assert len(ticks) <= most + 2
