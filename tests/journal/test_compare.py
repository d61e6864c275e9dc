"""Two runs beside each other; plots and reports."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest

from gpu_tui.core.significance import Significance
from gpu_tui.errors import UsageError
from gpu_tui.journal import Entry, Journal, Sample, StoredRun
from gpu_tui.journal.compare import Comparison, Row, compare
from gpu_tui.journal.export import comparison_object, csv_text, entry_object, markdown_text, pictures, run_object
from gpu_tui.journal.records import FIGURES, figures_of
from gpu_tui.journal.scatter import plot
from gpu_tui.journal.text import compared, detailed, listed, listed_narrow
from tests.journal.runs import figure, llm_samples, run, summary


def stored(number: int = 1, **fields: Any) -> StoredRun:
    made = run(**fields)
    return StoredRun(id=number, run=made, figures=figures_of(made.summary))


def ttfts(around: float, n: int, seed: int) -> list[float]:
    drawn = random.Random(seed)
    return [drawn.gauss(around, 2) for _ in range(n)]


def row(comparison: Comparison, name: str) -> Row:
    (found,) = [each for each in comparison.rows if each.name == name]
    return found


def test_a_real_difference_is_significant_and_an_unreal_one_is_not() -> None:
    a = stored(1, samples=llm_samples(ttfts(40, 20, 1)))
    slower = compare(a, stored(2, samples=llm_samples(ttfts(50, 20, 2))))
    ttft = row(slower, "LLM TTFT")
    assert (ttft.significance, ttft.n_a, ttft.n_b) == (Significance.SIGNIFICANT, 20, 20)
    assert ttft.difference == pytest.approx(10, abs=1.5)
    assert ttft.ratio == pytest.approx(1.25, abs=0.05)
    same = compare(a, stored(2, samples=llm_samples(ttfts(40, 20, 3))))
    assert row(same, "LLM TTFT").significance is Significance.NOT_SIGNIFICANT


def test_more_figures_make_each_harder_to_believe() -> None:
    a, b = (stored(n, samples=llm_samples(ttfts(40 + n, 15, n))) for n in (1, 2))
    for each in compare(a, b).rows:
        if each.test is not None:
            assert each.corrected_p is not None
            assert each.corrected_p == pytest.approx(min(1, 3 * each.test.p_value))


def test_few_samples_say_nothing_however_far_apart() -> None:
    comparison = compare(stored(1, samples=llm_samples([1.0] * 7)), stored(2, samples=llm_samples([900.0] * 50)))
    assert row(comparison, "LLM TTFT").significance is Significance.TOO_FEW
    assert "too few samples to say" in "\n".join(compared(comparison))
    nothing = compare(stored(1, samples=()), stored(2, samples=()))
    assert [each.significance for each in nothing.rows] == [None] * len(nothing.rows)


def test_failed_requests_and_other_parts_are_left_out() -> None:
    failed = Sample(kind="llm", number=20, ttft_ms=9999.0, error="timeout")
    a = stored(1, samples=(*llm_samples([40.0] * 10), failed))
    b = stored(2, samples=(*llm_samples([40.0] * 10), *llm_samples([90.0] * 10, "together")))
    comparison = compare(a, b)
    ttft, together = row(comparison, "LLM TTFT"), row(comparison, "LLM TTFT, together")
    assert (ttft.p95_a, ttft.n_a, ttft.n_b) == (40, 10, 10)
    assert (together.n_a, together.n_b, together.p50_b) == (0, 10, 90)


def test_simulated_and_real_runs_are_never_compared() -> None:
    with pytest.raises(UsageError, match="Run 2 is simulated and the other is not"):
        compare(stored(1), stored(2, simulated=True))
    assert "SIMULATED" in "\n".join(compared(compare(stored(1, simulated=True), stored(2, simulated=True))))


def test_what_changed() -> None:
    a = stored(1)
    services = dict(a.run.services) | {
        "kloros": {"role": "persistent", "memory_mib": 960.0, "running": True},
        "judge": {"role": "restarts", "memory_mib": 6900.0, "running": True},
        "whisper": {"role": "persistent", "memory_mib": None, "running": True},
    }
    b = stored(
        2,
        utilization_actual=0.56,
        services=services,
        workload={"mode": "both", "requests": 40, "concurrency": 1},
        summary=summary() | {"stt": None, "llm": summary()["llm"] | {"model": "Other"}},
        server={"cmdline": ["vllm", "serve", "Other"]},
    )
    comparison = compare(a, b)
    assert {(change.what, change.a, change.b) for change in comparison.changes} == {
        ("utilization, running", "0.5", "0.56"),
        ("service judge", "6134 MiB, restarts", "6900 MiB, restarts"),
        ("service whisper", None, "unknown MiB, persistent"),
        ("LLM model", "Qwen", "Other"),
        ("vLLM's command", "vllm serve Qwen", "vllm serve Other"),
        ("load, requests", "20", "40"),
    }
    assert "not of like with like" in comparison.cautions[0]
    assert compare(a, stored(2)).changes == ()
    assert compare(a, a).cautions == ("This is one and the same run.",)


def test_a_plan_changes_no_latency() -> None:
    (caution,) = compare(stored(1), stored(2, utilization_planned=0.7)).cautions
    assert "a plan changes no latency" in caution
    (caution,) = compare(stored(1), stored(2, machine="H100")).cautions
    assert caution == "The machine is not the same."


def test_a_comparison_is_readable_at_100_columns_and_as_json() -> None:
    both = (*llm_samples([40.0 + x for x in range(10)]), Sample(kind="stt", number=0, latency_ms=200.0, rtf=0.04))
    comparison = compare(stored(1, samples=both), stored(2, samples=both, kind="evaluate"))
    lines = compared(comparison)
    assert max(map(len, lines)) <= 100
    assert any("LLM TTFT ms" in line and "10/10" in line and "not significant, p 1.000" in line for line in lines)
    told = json.loads(json.dumps(comparison_object(comparison), allow_nan=False))
    assert (told["a"], told["b"], told["simulated"], told["changes"]) == (1, 2, False, [])
    first = told["figures"][0]
    assert (first["name"], first["n"], first["p50"]["a"], first["significance"]) == (
        "LLM TTFT",
        {"a": 10, "b": 10},
        44.5,
        "not significant",
    )
    assert "Mann-Whitney" in told["method"]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "j.db", writable=True)
    for share in (0.4, 0.5, 0.6):
        given = summary(100 * share, 150)
        given["llm"]["kv_cache_tokens"] = round(10_000 * share)
        made.add(run(utilization_actual=share, utilization_planned=share, summary=given))
    made.add(run(simulated=True, machine="=1+1|`x`", note="@odd", utilization_actual=None, status=None))
    return made


def test_a_list_has_a_line_a_run(journal: Journal) -> None:
    lines = listed(journal.entries())
    assert len(lines) == 5
    assert max(map(len, lines)) <= 100
    assert "SIMULATED" in lines[1]
    assert "? → 0.55" in lines[1]
    assert "60.0/120" in lines[2]
    assert "SIMULATED" not in lines[2]


def test_a_narrow_list_fits_a_small_terminal(journal: Journal) -> None:
    lines = listed_narrow(journal.entries())
    assert len(lines) == 5
    assert max(map(len, lines)) <= 62
    assert [line.split()[-1] == "SIM" for line in lines[1:]] == [True, False, False, False]
    assert "60.0/120" in lines[2]
    assert [sign in lines[2] for sign in "✓✗"] == [True, False]


def test_a_run_of_turns_has_its_figures_in_the_list_too() -> None:
    def of(summary: dict[str, Any]) -> Entry:
        fields = {name: getattr(run(), name) for name in ("started_at", "kind", "simulated", "tool_version", "machine")}
        more = {"utilization_actual": 0.5, "utilization_planned": 0.5, "status": "valid", "reason": "", "note": ""}
        return Entry(id=1, **fields, **more, figures=figures_of(summary))

    turns, plain = of({"voice": {"n": 4, "total_ms": figure(1200.0)}}), of(summary(40, 200))
    report = markdown_text([turns, plain])
    assert "voice total p50" in report
    assert "| 1200 | 2400 |" in report
    assert "voice" not in markdown_text([plain])
    for table in (listed, listed_narrow):
        head, turn, other = table([turns, plain])
        assert "turn 1200/2400" in turn
        assert ("40.0/80.0" in other, "200/400" in other, "turn" in other) == (True, True, False)
        assert len(turn) == len(other) == len(head)


def test_one_run_in_full(journal: Journal) -> None:
    told = "\n".join(detailed(journal.get(1)))
    for word in ("RTX 3060", "GPU-0", "12288 MiB", "running 0.4", "6134 MiB  restarts", "requests 20", "3 llm"):
        assert word in told
    assert max(map(len, told.splitlines())) <= 100
    assert "SIMULATED" in detailed(journal.get(4))[0]
    assert json.loads(json.dumps(run_object(journal.get(1)), allow_nan=False))["samples"][0]["ttft_ms"] == 38
    assert entry_object(journal.entries()[0])["gpu_memory_utilization"] == {"actual": None, "planned": 0.55}


def test_plots_stand_on_the_axis_asked_for(journal: Journal) -> None:
    real = journal.entries(simulated=False)
    for axis, tick in (("utilization", "0.5"), ("kv-tokens", "5000")):
        both = plot(real, axis, {"llm": 1000.0, "stt": None})
        assert max(map(len, both)) <= 80
        lines, stt = both[: both.index("")], both[both.index("") + 1 :]
        assert lines[0].startswith("LLM latency")
        assert lines[0].endswith("3 runs")
        assert lines[1].endswith("... target 1000")
        assert (stt[0].startswith("STT latency"), "target" in stt[1]) == (True, False)
        text = "\n".join(lines[2:])
        assert [text.count(marker) for marker in "o^+"] == [3, 3, 3], "a TTFT p50 may stand under its p95"
        assert tick in lines[-1]
    drawn = plot(real, "utilization", {})
    # TTFT grows with utilization here, so that read from the top the points go from right to left.
    at = [column for line in drawn[2 : drawn.index("")] for column, c in enumerate(line) if c == "^"]
    assert at == sorted(at, reverse=True)
    assert len(set(at)) == 3


def test_a_plot_of_nothing_says_so_and_of_one_run_works(journal: Journal) -> None:
    assert plot([], "utilization", {}) == ["Latency against the running server's utilization: no run tells both."]
    (only,) = journal.entries(simulated=True)
    assert "no SIMULATED run tells both" in plot([only], "kv-tokens", {})[0]
    assert "1 run" in plot(journal.entries(limit=1, kind="measure", simulated=False), "utilization", {})[0]
    with pytest.raises(ValueError, match="never in one plot"):
        plot(journal.entries(), "utilization", {})


def test_csv_has_every_figure_and_no_formulas(journal: Journal) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(journal.entries()))))
    assert len(rows) == 4
    assert set(FIGURES) <= set(rows[0])
    assert (rows[0]["machine"], rows[0]["note"], rows[0]["simulated"]) == ("'=1+1|`x`", "'@odd", "true")
    assert rows[0]["utilization_actual"] == ""
    assert (rows[1]["llm_ttft_p50_ms"], rows[1]["kv_cache_tokens"]) == ("60.0", "6000")


def test_a_report_keeps_real_and_simulated_apart(journal: Journal) -> None:
    text = markdown_text(journal.entries())
    real, _, simulated = text.partition("## SIMULATED")
    assert "## Measured" in real
    assert [line[:4] for line in real.splitlines() if line.startswith("| ")] == ["| id", "| --", "| 3 ", "| 2 ", "| 1 "]
    assert "3 runs" in real
    assert "\\`x\\`" not in real
    assert "=1+1\\|\\`x\\`" in simulated
    assert text.count("```") == 8
    assert markdown_text([]) == "# gpu-tui: runs\n\nNo runs.\n"
    assert ".svg" not in text


def test_a_report_has_a_picture_of_each_plot_that_shows_something(journal: Journal) -> None:
    made = pictures(journal.entries(), {"llm": 1000.0}, "my report")
    assert list(made) == [
        f"my report-{kind}-{axis}.svg" for axis in ("utilization", "kv-tokens") for kind in ("llm", "stt")
    ]
    text = markdown_text(journal.entries(), {"llm": 1000.0}, "my report")
    real, _, simulated = text.partition("## SIMULATED")
    assert [real.count(f"](my%20report-{kind}-utilization.svg)") for kind in ("llm", "stt")] == [1, 1]
    assert ".svg" not in simulated, "the simulated run tells no utilization"


def test_of_interference_and_turns_the_journal_tells_more_than_their_columns() -> None:
    llm = figure(40.0)
    beside = {"n": 20, "errors": {}, "ttft_ms": figure(90.0), "itl_basis": "token_gaps"}
    parts = {
        "llm_alone": {"n": 20, "errors": {}, "ttft_ms": llm, "itl_basis": "token_gaps"},
        "stt_alone": {"n": 20, "errors": {"timeout": 2}, "latency_ms": figure(200.0)},
        "together": {"llm": beside, "stt": {"n": 3, "errors": {"http_500": 17}, "latency_ms": figure(500.0)}},
        "slowdown": {"llm_ttft": {"p50": 2.25, "p95": 2.5}, "llm_itl": None, "stt_latency": {"p50": 2.5, "p95": None}},
    }
    told = summary() | {"llm": parts["llm_alone"], "stt": parts["stt_alone"], "interference": parts}
    lines = detailed(stored(summary=told))
    assert any(line.split()[:2] == ["LLM", "TTFT"] and "90.0/180" in line and "2.25×/2.50×" in line for line in lines)
    assert any(line.split()[:2] == ["STT", "latency"] and "500/1000" in line and "2.50×/?" in line for line in lines)
    assert not any("ITL" in line for line in lines), "it was not measured"
    assert figures_of(told)["errors"] == 19, "of every load"

    turns = {"voice": {"n": 4, "no_sentence": 4, "stt_ms": figure(100.0), "total_ms": None}}
    lines = detailed(stored(summary=turns))
    assert any(line.split()[0] == "transcript" and "100/200" in line for line in lines)
    assert any(line.startswith("  whole turn") and "?/?" in line for line in lines)
    assert any("4 of them without a whole sentence" in line for line in lines)


def test_gaps_of_chunks_are_not_passed_off_as_those_of_tokens() -> None:
    def of(basis: str) -> StoredRun:
        told = summary()
        return stored(1, summary=told | {"llm": told["llm"] | {"itl_basis": basis}}, samples=llm_samples([40.0] * 8))

    counted, untold = of("token_gaps"), of("chunk_gaps")
    assert any("ITL" in line and "time between chunks" in line for line in detailed(untold))
    assert not any("time between chunks" in line for line in detailed(counted))
    cautions = " ".join(compare(counted, untold).cautions)
    assert "gaps between tokens in A, gaps between chunks of untold size in B" in cautions
    assert "ITL is not" not in " ".join(compare(untold, untold).cautions)


def test_an_entry_needs_every_figure() -> None:
    with pytest.raises(TypeError):
        Entry(id=1)  # type: ignore[call-arg]
