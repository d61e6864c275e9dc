"""Memory and utilization over a run: in its room, nothing drawn where nothing was seen, readable without colour."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.bench.machine_series import MachineSeries, machine_series
from gpu_tui.core.machine_series import MachineSample
from gpu_tui.view.machine import MachinePlot, machine_chart, phase_lines, phase_text
from gpu_tui.view.spans import plain

PHASES = {"stt_alone": (1.0, 9.0), "llm_alone": (10.0, 19.0), "together": (20.0, 30.0)}
mib = st.one_of(st.none(), st.integers(0, 2**45))
many = st.lists(
    st.builds(
        MachineSample,
        at_s=st.floats(0, 31),
        used_bytes=mib,
        utilization_pct=st.one_of(st.none(), st.integers(0, 100)),
        services=st.dictionaries(st.sampled_from(["kloros", "judge", "a service of a long name", "日本"]), mib),
    ),
    min_size=1,
    max_size=40,
).map(lambda made: sorted(made, key=lambda one: one.at_s))


def series(made: list[MachineSample], total_bytes: int | None = 12288 << 20) -> MachineSeries:
    told = machine_series(
        made,
        began=0.0,
        lasted_s=31.0,
        phases=PHASES,
        gpu="GPU-0",
        source="nvml",
        simulated=False,
        interval_s=1.0,
        total_bytes=total_bytes,
    )
    assert told is not None
    return told


def steady(**fields: object) -> MachineSeries:
    told: dict[str, object] = {
        "used_bytes": 8396 << 20,
        "utilization_pct": 40,
        "services": {"kloros": 952 << 20, "judge": 6134 << 20},
    }
    return series([MachineSample(at_s=float(i), **(told | fields)) for i in range(31)])  # type: ignore[arg-type]


@given(many, st.integers(10, 130), st.integers(1, 40))
def test_a_chart_keeps_to_its_room(made: list[MachineSample], width: int, height: int) -> None:
    told = series(made, total_bytes=None)
    lines = machine_chart(MachinePlot(told, cursor=3.0), width, height)
    assert len(lines) in (0, height)
    assert all(len(plain(line)) <= width for line in lines)
    assert all(len(plain(line)) <= 51 for line in phase_lines(told))
    assert all(len(line) <= 100 for line in phase_text(told))
    for i in range(len(told.at_s)):
        assert MachinePlot(told).read_at(i).reading()


def test_a_chart_names_phases_and_lines_without_colour() -> None:
    text = [plain(line) for line in machine_chart(MachinePlot(steady()), 76, 14)]
    assert [name in text[0] for name in ("├STT alone──", "├LLM alone──", "├both──")] == [True] * 3
    ends = [line.split()[-1] for line in text[1:-1] if line.rstrip()[-1].isalpha()]
    assert ends == ["used", "judge", "kloros", "util"], "the higher line above the lower"
    assert text[-1].rstrip().endswith("30 s")


def test_where_nothing_was_seen_nothing_is_drawn() -> None:
    dark = series([MachineSample(at_s=float(i)) for i in range(31)])
    text = [plain(line) for line in machine_chart(MachinePlot(dark), 76, 14)]
    assert any("utilization unknown" in line for line in text)
    dots = sum(0x2800 < ord(c) <= 0x28FF for line in text for c in line)
    seen = [plain(line) for line in machine_chart(MachinePlot(steady()), 76, 14)]
    assert dots < sum(0x2800 < ord(c) <= 0x28FF for line in seen for c in line) / 4, "only the phases' uprights"
    assert "memory unknown, utilization mean unknown, max unknown  (9 samples)" in phase_text(dark)[1]


def test_words() -> None:
    made = [MachineSample(at_s=float(i), used_bytes=(100 + i) << 20, utilization_pct=i) for i in range(31)]
    told = series(made)
    assert phase_text(told) == [
        "GPU memory and utilization over the run, every 1 s",
        "  STT alone  memory 101–109 MiB, utilization mean 5 %, max 9 %  (9 samples)",
        "  LLM alone  memory 110–119 MiB, utilization mean 14 %, max 19 %  (10 samples)",
        "  both       memory 120–130 MiB, utilization mean 25 %, max 30 %  (11 samples)",
    ]
    plot = MachinePlot(steady())
    assert plot.read_at(5).reading() == ("5.0 s, STT alone: utilization 40 %, memory 8396 MiB (kloros 952, judge 6134)")
    assert MachinePlot(told, cursor=9.6).reading().startswith("10.0 s, LLM alone")
    assert MachinePlot(told, cursor=0.2).reading().startswith("0.0 s, between phases")
    assert (plot.reading(), MachinePlot(None).empty, MachinePlot(None).xs()) == ("", True, [])
