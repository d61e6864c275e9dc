"""Interference side by side, voice turns as bars."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.bench.plan import Mode
from gpu_tui.bench.shapes import Figure, Interference, LlmResult, Ratio, Together, VoiceResult, VoiceTurn
from gpu_tui.view.modes import MODES, TurnsPlot, interference_lines, turns_chart, voice_bars, voice_summary
from gpu_tui.view.spans import plain

stages = st.one_of(st.none(), st.floats(0, 5000))
turns = st.lists(
    st.builds(
        VoiceTurn,
        index=st.integers(0, 99),
        stt_ms=stages,
        first_token_ms=stages,
        first_sentence_ms=stages,
        total_ms=stages,
        error=st.sampled_from([None, None, "stt_timeout"]),
    ),
    max_size=30,
)


def test_every_mode_of_measure_is_offered() -> None:
    assert {mode for mode, _, _ in MODES} == {mode.value for mode in Mode}


@given(turns, st.one_of(st.none(), st.floats(1, 9000)), st.integers(10, 120), st.integers(1, 30))
def test_bars_keep_to_their_room(made: list[VoiceTurn], budget: float | None, width: int, height: int) -> None:
    lines = voice_bars(made, budget, width, height)
    assert len(lines) <= height
    assert all(len(plain(line).rstrip()) <= width for line in lines)


def test_a_bar_is_as_long_as_its_stages_and_marks_the_budget() -> None:
    turn = VoiceTurn(index=0, stt_ms=100, first_token_ms=200, first_sentence_ms=100, total_ms=400)
    legend, bar = (plain(line) for line in voice_bars([turn], 300.0, 92, 5))
    assert "| budget" in legend
    assert bar.count("▓") == 40 - (bar[4:].index("|") < 60)
    assert bar.rstrip().endswith("400!"), "above the budget"
    assert plain(voice_bars([turn], 400.0, 92, 5)[1]).rstrip().endswith("400"), "and within it"
    assert "|" not in plain(voice_bars([turn], None, 92, 5)[0])
    failed = VoiceTurn(index=1, error="stt_timeout")
    assert "failed: stt_timeout" in plain(voice_bars([failed], None, 92, 5)[1])


def turn(index: int, total: float | None = 400.0, error: str | None = None) -> VoiceTurn:
    return VoiceTurn(index=index, stt_ms=100, first_token_ms=200, first_sentence_ms=100, total_ms=total, error=error)


@given(st.integers(1, 40), st.integers(0, 39), st.integers(2, 20))
def test_the_cursor_marks_the_turn_that_it_reads(count: int, at: int, height: int) -> None:
    plot = TurnsPlot(tuple(turn(i) for i in range(count))).read_at(at)
    lines = [plain(line) for line in turns_chart(plot, 92, height)]
    marked = [int(line[1:4]) for line in lines if line.startswith("▸")]
    assert len(lines) <= height
    assert marked == ([at + 1] if at < count else [])
    if marked:
        assert plot.reading().startswith(f"turn {at + 1}: ")


def test_a_turn_is_read_with_its_stages_and_the_budget() -> None:
    turns = (turn(0), turn(1, None), turn(2, error="stt_timeout"))
    plot = TurnsPlot(turns, 300.0)
    assert plot.reading() == ""
    assert plot.xs() == [0.0, 1.0, 2.0]
    assert plot.read_at(0).reading() == (
        "turn 1: STT 100 + first token 200 + first sentence 100 = 400 ms, above the budget of 300"
    )
    assert plot.read_at(1).reading().endswith("no total")
    assert plot.read_at(2).reading() == "turn 3: failed, stt_timeout"
    assert TurnsPlot(turns, 400.0).read_at(0).reading().endswith("within the budget of 400")
    assert TurnsPlot(turns).read_at(0).reading().endswith("= 400 ms")
    assert TurnsPlot(()).empty


def test_the_summary_tells_the_budget_only_when_there_is_one() -> None:
    made = VoiceResult(
        n=3,
        errors={},
        stt_ms=None,
        first_token_ms=None,
        first_sentence_ms=None,
        total_ms=None,
        no_sentence=1,
        budget_ms=800.0,
        within_budget=2,
        turns=[],
        llm_url="",
        llm_model=None,
        stt_url="",
        stt_model=None,
        clip="5s.wav",
        audio_s=5.0,
    )
    told = "\n".join(plain(line) for line in voice_summary(made))
    assert "✗ 2 of 3 within the budget of 800 ms" in told
    assert "no sentence ended" in told
    assert "?" in told, "what was not measured is not 0"


def of(n: int, basis: str) -> LlmResult:
    made = Figure(p50=40, p95=80, p99=90, min=10, max=99, mean=41, n=n)
    return LlmResult(
        n=n,
        errors={},
        ttft_ms=made,
        itl_ms=made,
        e2e_ms=made,
        output_tokens_per_s=None,
        url="u",
        model=None,
        itl_basis=basis,
    )


def test_few_samples_and_gaps_of_chunks_are_told_where_they_stand() -> None:
    def lines(n: int, basis: str) -> list[str]:
        together = Together(llm=of(n, basis), stt=None)
        made = Interference(
            stt_alone=None, llm_alone=of(n, basis), together=together, slowdown={"llm_ttft": None}, windows={}
        )
        return [plain(line) for line in interference_lines(made)]

    few, many = lines(19, "chunk_gaps"), lines(20, "token_gaps")
    assert few[1].count("80.0*") == 2
    assert not any("*" in line for line in many)
    assert [("chunk gap" in " ".join(told), " ITL " in " ".join(told)) for told in (few, many)] == [
        (True, False),
        (False, True),
    ]
    assert all(len(line) <= 53 for line in few)


def test_interference_tells_unknown_as_unknown() -> None:
    made = Interference(
        stt_alone=None, llm_alone=None, together=None, slowdown={"llm_ttft": Ratio(p50=1.5, p95=2.0)}, windows={}
    )
    lines = [plain(line) for line in interference_lines(made)]
    assert any("×1.50" in line for line in lines)
    assert sum("?" in line for line in lines) == 4
    assert all(len(line) <= 53 for line in lines)
