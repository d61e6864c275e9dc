from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.timings import (
    ItlBasis,
    LlmTimings,
    SttTimings,
    TurnTimings,
    inter_token_latencies,
    output_tokens_per_s,
)

ticks = st.lists(st.floats(0, 1e4), min_size=1, max_size=40).map(sorted)


def stream(*, start: float = 0.0, gap: float = 0.01, chunks: int = 10, tokens: int | None = None) -> LlmTimings:
    stamps = tuple(start + 0.1 + gap * i for i in range(chunks))
    return LlmTimings(started=start, headers=start, chunks=stamps, ended=stamps[-1], output_tokens=tokens)


@given(ticks)
def test_the_parts_add_up_to_the_whole(stamps: list[float]) -> None:
    t = LlmTimings(started=stamps[0], chunks=tuple(stamps), ended=stamps[-1])
    assert t.ttft_s is not None
    assert t.e2e_s is not None
    assert t.ttft_s + sum(t.chunk_gaps_s) == pytest.approx(t.e2e_s, abs=1e-6)
    assert len(t.chunk_gaps_s) == len(stamps) - 1
    assert all(gap >= 0 for gap in t.chunk_gaps_s)


@given(ticks, st.floats(-1e4, 1e4))
def test_figures_do_not_depend_on_where_the_clock_starts(stamps: list[float], shift: float) -> None:
    def at(offset: float) -> LlmTimings:
        moved = [s + offset for s in stamps]
        return LlmTimings(started=moved[0], chunks=tuple(moved), ended=moved[-1], output_tokens=len(moved))

    assert at(0).e2e_s == pytest.approx(at(shift).e2e_s, abs=1e-6)
    assert at(0).ttft_s == pytest.approx(at(shift).ttft_s, abs=1e-6)


def test_a_missing_stamp_gives_none_not_zero() -> None:
    nothing = LlmTimings(started=None)
    assert (nothing.ttft_s, nothing.e2e_s, nothing.mean_itl_s) == (None, None, None)
    assert nothing.chunk_gaps_s == ()
    assert LlmTimings(started=1.0).e2e_s is None
    assert LlmTimings(started=None, chunks=(1.0,)).ttft_s is None
    assert SttTimings(started=1.0).latency_s is None
    assert SttTimings(started=1.0, ended=2.0).rtf is None
    assert SttTimings(started=1.0, ended=2.0, audio_s=0.0).rtf is None


def test_an_answer_that_came_whole_has_no_first_token() -> None:
    whole = LlmTimings(started=1.0, headers=2.0, ended=2.5, output_tokens=20)
    assert (whole.streamed, whole.ttft_s, whole.e2e_s) == (False, None, 1.5)
    assert inter_token_latencies([whole]) == ((), None)


def test_one_token_a_chunk_gives_every_gap() -> None:
    gaps, basis = inter_token_latencies([stream(chunks=10, tokens=10), stream(chunks=5, tokens=6)])
    assert basis is ItlBasis.TOKEN_GAPS
    assert len(gaps) == 9 + 4
    assert gaps == pytest.approx([0.01] * 13)


@given(st.integers(2, 8), st.integers(2, 30))
def test_several_tokens_a_chunk_are_not_taken_for_one(per_chunk: int, chunks: int) -> None:
    timings = stream(gap=0.04, chunks=chunks, tokens=per_chunk * chunks)
    samples, basis = inter_token_latencies([timings])
    assert basis is ItlBasis.MEAN_PER_TOKEN
    assert samples == pytest.approx([0.04 / per_chunk])


def test_hidden_tokens_took_no_time_between_chunks() -> None:
    seen = stream(gap=0.02, chunks=10, tokens=10)
    thinking = replace(seen, output_tokens=110, hidden_tokens=100)
    assert inter_token_latencies([thinking]) == inter_token_latencies([seen])
    assert (thinking.mean_itl_s, thinking.tpot_s) == (seen.mean_itl_s, seen.tpot_s)
    assert output_tokens_per_s([thinking]) == pytest.approx(110 / 0.28), "the server did make them"


def test_gaps_and_means_are_never_mixed() -> None:
    samples, basis = inter_token_latencies([stream(chunks=10, tokens=10), stream(chunks=10, tokens=40)])
    assert basis is ItlBasis.MEAN_PER_TOKEN
    assert len(samples) == 2


def test_without_usage_gaps_are_called_what_they_are() -> None:
    samples, basis = inter_token_latencies([stream(chunks=4), stream(chunks=4, tokens=4)])
    assert (len(samples), basis) == (6, ItlBasis.CHUNK_GAPS)


def test_throughput_counts_overlapping_requests_once() -> None:
    a, b = stream(start=0.0, chunks=10, tokens=10), stream(start=0.05, chunks=10, tokens=10)
    assert b.ended is not None
    assert output_tokens_per_s([a, b]) == pytest.approx(20 / b.ended)


@pytest.mark.parametrize("timings", [[], [stream()], [stream(tokens=5), LlmTimings(started=None, output_tokens=1)]])
def test_throughput_of_what_is_not_known_is_none(timings: list[LlmTimings]) -> None:
    assert output_tokens_per_s(timings) is None


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_real_time_factor_is_processing_over_audio(latency: float, audio: float) -> None:
    t = SttTimings(started=5.0, ended=5.0 + latency, audio_s=audio)
    assert t.rtf == pytest.approx(latency / audio)


def test_time_per_output_token() -> None:
    even = stream(gap=0.01, chunks=10, tokens=10)
    assert even.tpot_s == pytest.approx(0.01)
    # Chunks of four tokens every 40 ms: 10 ms a token, the first chunk's other three took none.
    assert stream(gap=0.04, chunks=10, tokens=40).tpot_s == pytest.approx(0.01)
    # All in one chunk, one token, or no usage: no time between tokens was seen.
    for unseen in (stream(chunks=1, tokens=30), stream(chunks=2, tokens=1), stream(tokens=None)):
        assert unseen.tpot_s is None


def test_a_faster_than_speech_transcript() -> None:
    timings = SttTimings(started=1.0, ended=1.5, audio_s=5.0)
    assert (timings.rtf, timings.rtfx) == (0.1, 10.0)
    assert SttTimings(started=1.0, ended=None, audio_s=5.0).rtfx is None


@given(st.lists(st.floats(0, 1e4), min_size=5, max_size=5).map(sorted))
def test_the_stages_of_a_turn_add_up(stamps: list[float]) -> None:
    spoken, heard, first, sentence, end = stamps
    turn = TurnTimings(
        stt=SttTimings(started=spoken, ended=heard),
        llm=LlmTimings(started=heard, chunks=(first, end), sentence=sentence, ended=end),
    )
    parts = (turn.stt_s, turn.first_token_s, turn.first_sentence_s)
    assert sum(part for part in parts if part is not None) == pytest.approx(turn.total_s, abs=1e-6)
    assert None not in parts
