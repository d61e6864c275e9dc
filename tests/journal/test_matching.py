"""The alone parts of an interference run stand beside plain loads of the same kind, and the text says which."""

from __future__ import annotations

from typing import Any

import pytest

from gpu_tui.core.significance import Significance
from gpu_tui.journal import Sample, StoredRun
from gpu_tui.journal.compare import compare
from gpu_tui.journal.export import comparison_object
from gpu_tui.journal.matching import matches
from gpu_tui.journal.records import figures_of
from gpu_tui.journal.text import compared
from tests.journal.runs import llm_samples, run

LOAD = {
    "mode": "both",
    "requests": 20,
    "concurrency": 1,
    "arrivals": "closed",
    "rate": None,
    "prompts": "synthetic",
    "prompt_words": 64,
    "prompt_tokens": None,
    "output_tokens": 32,
    "clip": "5s.wav",
    "seed": 0,
}


def stt(values: list[float], part: str = "") -> tuple[Sample, ...]:
    return tuple(Sample(kind="stt", part=part, number=i, latency_ms=v) for i, v in enumerate(values))


def stored(number: int, samples: tuple[Sample, ...], **load: Any) -> StoredRun:
    made = run(samples=samples, workload=LOAD | load)
    return StoredRun(id=number, run=made, figures=figures_of(made.summary))


PLAIN = stored(3, (*llm_samples([40.0 + i / 10 for i in range(20)]), *stt([200.0 + i for i in range(20)])))
APART = (
    *llm_samples([60.0 + i / 10 for i in range(20)], "llm_alone"),
    *stt([300.0 + i for i in range(20)], "stt_alone"),
    *llm_samples([90.0] * 9, "together"),
    *stt([500.0] * 9, "together"),
)
INTERFERENCE = stored(5, APART, mode="interference", requests=10)


@pytest.mark.parametrize(("a", "b"), [(PLAIN, INTERFERENCE), (INTERFERENCE, PLAIN)])
def test_alone_stands_beside_plain_in_either_order(a: StoredRun, b: StoredRun) -> None:
    made = compare(a, b)
    rows = {row.name: row for row in made.rows}
    assert {"LLM TTFT, alone", "STT latency, alone", "LLM TTFT, together"} <= set(rows)
    assert not {"LLM TTFT", "LLM TTFT, llm alone", "STT latency, stt alone"} & set(rows)
    for name in ("LLM TTFT, alone", "STT latency, alone"):
        assert (rows[name].n_a, rows[name].n_b, rows[name].significance) == (20, 20, Significance.SIGNIFICANT)
    slower, faster = (rows["LLM TTFT, alone"].p50_b, rows["LLM TTFT, alone"].p50_a)
    assert (slower, faster) == (pytest.approx(60.95), pytest.approx(40.95)) if a is PLAIN else (slower < faster)
    assert made.matched == (
        "LLM alone of run 5 stands beside LLM of run 3: the same load.",
        "STT alone of run 5 stands beside STT of run 3: the same load.",
    )
    text = "\n".join(compared(made))
    assert made.matched[0] in text
    assert "not of like with like" not in text
    assert comparison_object(made)["matched"] == list(made.matched)


@pytest.mark.parametrize(
    ("load", "alone", "told"),
    [
        ({"clip": "15s.wav"}, {"LLM TTFT, alone", "STT latency", "STT latency, stt alone"}, "run 3: clip differs."),
        (
            {"output_tokens": 64, "prompt_words": 8},
            {"LLM TTFT", "LLM TTFT, llm alone", "STT latency, alone"},
            "run 3: prompt words, output tokens differ.",
        ),
        ({"concurrency": 4}, {"LLM TTFT", "STT latency, stt alone"}, "concurrency differs."),
    ],
)
def test_an_unlike_load_is_not_matched_and_says_why(load: dict[str, Any], alone: set[str], told: str) -> None:
    made = compare(PLAIN, stored(5, APART, mode="interference", **load))
    assert alone <= {row.name for row in made.rows}
    assert any(words.endswith(told) for words in made.matched)
    assert any("not of like with like" in caution for caution in made.cautions)


def test_a_load_that_nobody_wrote_down_is_not_taken_for_the_same() -> None:
    old = StoredRun(id=1, run=run(workload={}, samples=llm_samples([40.0] * 9)), figures={})
    assert [match.differs != () for match in matches(old, INTERFERENCE)] == [True]


def test_two_runs_of_one_mode_need_no_matching() -> None:
    assert matches(PLAIN, PLAIN) == matches(INTERFERENCE, INTERFERENCE) == ()
    assert {row.name for row in compare(PLAIN, PLAIN).rows} >= {"LLM TTFT", "STT latency"}
