"""``gpu-tui history``, and what ``measure`` and ``evaluate`` leave in the journal."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpu_tui.bench.demo import DemoAddresses, DemoServers
from gpu_tui.cli.commands.history import _instant
from gpu_tui.cli.main import main
from gpu_tui.journal import Journal, default_path
from tests.journal.runs import llm_samples, run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "j.db"
    with Journal(path, writable=True) as journal:
        for day in (1, 2, 3):
            samples = llm_samples([30.0 + day + x / 10 for x in range(10)])
            journal.add(run(started_at=f"2026-11-0{day}T10:00:00Z", samples=samples, utilization_actual=day / 10))
        journal.add(run(started_at="2026-11-04T10:00:00Z", kind="evaluate", simulated=True))
    return path


def told(capsys: pytest.CaptureFixture[str], file: Path, *words: str) -> tuple[int, str, str]:
    code = main(["history", *words, "--journal", str(file)])
    return (code, *capsys.readouterr())


def ids(capsys: pytest.CaptureFixture[str], file: Path, *words: str) -> list[int]:
    code, out, _ = told(capsys, file, *words, "--json")
    assert code == 0
    return [entry["id"] for entry in json.loads(out)["runs"]]


def test_newest_first_with_filters(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    assert ids(capsys, file) == [4, 3, 2, 1]
    assert ids(capsys, file, "list") == [4, 3, 2, 1]
    assert ids(capsys, file, "--limit", "2") == [4, 3]
    assert ids(capsys, file, "--limit", "2", "list") == [4, 3]
    assert ids(capsys, file, "--since", "2026-11-03") == [4, 3]
    assert ids(capsys, file, "--since", "2026-11-03T11:00+01:00") == [4, 3]
    assert ids(capsys, file, "list", "--kind", "evaluate") == [4]
    code, out, err = told(capsys, file)
    assert (code, len(out.splitlines()), err) == (0, 5, "")


def test_ages_count_back_from_now() -> None:
    assert _instant("30m") > _instant("12h") > _instant("7d") > _instant("999999d")
    assert _instant("2026-11-01T10:00") == "2026-11-01T10:00:00Z"


def test_one_run(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    code, out, _ = told(capsys, file, "show", "2")
    assert (code, out.startswith("Run 2  2026-11-02 10:00 UTC")) == (0, True)
    shown = json.loads(told(capsys, file, "show", "--json", "2")[1])
    assert (shown["schema"], shown["id"], len(shown["samples"])) == (1, 2, 10)


def test_two_runs(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    code, out, _ = told(capsys, file, "compare", "1", "3")
    assert code == 0
    assert "0.1 → 0.3" in out
    assert "significant, p < 0.001" in out
    assert json.loads(told(capsys, file, "compare", "1", "3", "--json")[1])["figures"][0][
        "difference"
    ] == pytest.approx(2)
    code, out, err = told(capsys, file, "compare", "1", "4")
    assert (code, out) == (2, "")
    assert "Run 4 is simulated" in err


def test_plots(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    assert "3 runs" in told(capsys, file, "plot")[1]
    assert "no run tells both" in told(capsys, file, "plot", "--against", "kv-tokens")[1]
    assert "1 SIMULATED run" in told(capsys, file, "plot", "--simulated")[1]
    assert "--simulated plots them" in told(capsys, file, "plot", "--kind", "evaluate")[2]
    for words in (("plot",), ("plot", "--kind", "tui"), ("plot", "--simulated")):
        assert "--simulated" not in told(capsys, file, *words)[2]


def test_exports(capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path) -> None:
    assert len(told(capsys, file, "export", "--format", "csv")[1].splitlines()) == 5
    assert len(json.loads(told(capsys, file, "export", "--format", "json", "--limit", "2")[1])["runs"]) == 2
    report = tmp_path / "report.md"
    code, out, err = told(capsys, file, "export", "--format", "markdown", "--output", str(report))
    assert (code, out) == (0, "")
    text, picture = report.read_text(), tmp_path / "report-llm-utilization.svg"
    assert text.startswith("# gpu-tui: runs\n")
    assert "](report-llm-utilization.svg)" in text
    assert str(picture) in err
    assert "target 1000" in picture.read_text()
    assert (tmp_path / "report-simulated-llm-utilization.svg").exists()
    code, _, err = told(capsys, file, "export", "--format", "csv", "--output", str(tmp_path / "no" / "x"))
    assert (code, "could not be written: No such file" in err) == (74, True)
    before = file.read_bytes()
    assert told(capsys, file, "export", "--format", "csv", "--output", str(file))[0] == 2
    assert file.read_bytes() == before


class Terminal:
    """A person at standard input."""

    def __init__(self, says: str) -> None:
        self.says = says

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self.says


@pytest.mark.parametrize(("says", "left"), [("yes\n", 3), ("Y\n", 3), ("no\n", 4), ("\n", 4), ("", 4)])
def test_deleting_asks(
    capsys: pytest.CaptureFixture[str], file: Path, monkeypatch: pytest.MonkeyPatch, says: str, left: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(says))
    code, out, err = told(capsys, file, "delete", "2")
    assert (code, out, "Delete it for good?" in err) == (0, "", True)
    assert len(ids(capsys, file)) == left


def test_deleting_without_a_terminal_needs_yes(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    code, _, err = told(capsys, file, "delete", "2")
    assert (code, "Say --yes" in err) == (2, True)
    assert told(capsys, file, "delete", "--yes", "2")[0] == 0
    assert ids(capsys, file) == [4, 3, 1]


@pytest.mark.parametrize("words", [("show", "9"), ("compare", "1", "9"), ("delete", "9", "--yes")])
def test_an_unknown_run_is_2(capsys: pytest.CaptureFixture[str], file: Path, words: tuple[str, ...]) -> None:
    code, out, err = told(capsys, file, *words)
    assert (code, out) == (2, "")
    assert "The journal has no run 9." in err


@pytest.mark.parametrize(
    "words",
    [("show",), ("show", "x"), ("show", "0"), ("compare", "1"), ("--since", "soon"), ("--limit", "-1"), ("nope",)],
)
def test_wrong_usage_is_2(capsys: pytest.CaptureFixture[str], file: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        told(capsys, file, *words)
    assert caught.value.code == 2


def test_a_damaged_file_is_2_and_an_unreadable_one_3(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    code, out, err = told(capsys, file)
    assert (code, out) == (2, "")
    assert "is damaged" in err
    assert told(capsys, file.parent)[0] == 3
    assert told(capsys, file.with_name("nope.db"))[0] == 3
    assert main(["history", "--no-journal"]) == 2
    assert "switched off (--no-journal)" in capsys.readouterr().err


def test_no_journal_yet_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history"]) == 0
    assert capsys.readouterr().err.startswith("gpu-tui: No runs in ")
    assert not default_path().exists()


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoAddresses]:
    with DemoServers(ttft_ms=20, itl_ms=2, stt_ms=20) as servers:
        yield servers.start()


def measured(demo: DemoAddresses, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "gpu_tui", "measure", "--llm", demo.llm, "--requests", "3", *words)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)


def test_a_measurement_is_kept(demo: DemoAddresses, capsys: pytest.CaptureFixture[str]) -> None:
    done = measured(demo, "--note", "before the update")
    assert done.returncode == 0
    assert "Kept as run 1" in done.stderr
    assert main(["history", "show", "1", "--json"]) == 0
    kept = json.loads(capsys.readouterr().out)
    assert (kept["kind"], kept["simulated"], kept["note"], kept["workload"]["requests"]) == (
        "measure",
        True,
        "before the update",
        3,
    )
    assert len(kept["samples"]) == 3
    assert kept["figures"]["llm_ttft_p50_ms"] == kept["summary"]["llm"]["ttft_ms"]["p50"]


def test_a_measurement_goes_where_it_is_told_or_nowhere(demo: DemoAddresses, tmp_path: Path) -> None:
    assert measured(demo, "--no-journal").returncode == 0
    assert not default_path().exists()
    assert measured(demo, "--json", "--journal", str(tmp_path / "own.db")).returncode == 0
    assert not default_path().exists()
    with Journal(tmp_path / "own.db") as journal:
        assert len(journal.entries()) == 1


def test_a_dry_run_and_a_run_without_figures_are_not_kept(demo: DemoAddresses) -> None:
    assert measured(demo, "--dry-run").returncode == 0
    command = (sys.executable, "-m", "gpu_tui", "measure", "--llm", "http://127.0.0.1:1")
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 3
    assert not default_path().exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_run_whose_output_could_not_be_written_is_kept(demo: DemoAddresses) -> None:
    command = (sys.executable, "-m", "gpu_tui", "measure", "--llm", demo.llm, "--requests", "2", "--json")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 74
    with Journal(default_path()) as journal:
        assert len(journal.entries()) == 1


def test_the_child_of_a_measurement_keeps_nothing(demo: DemoAddresses) -> None:
    from gpu_tui.bench.child import measure_blocking
    from gpu_tui.bench.plan import Candidate, MeasurePlan

    plan = MeasurePlan(llm_urls=(Candidate(url=demo.llm, origin="test", chosen=True),), requests=2, warmup=0)
    assert measure_blocking(plan)
    assert not default_path().exists()


@pytest.mark.parametrize("flag", ["--json", "--jsonl", None])
def test_a_journal_that_fails_costs_no_figure(demo: DemoAddresses, tmp_path: Path, flag: str | None) -> None:
    broken = tmp_path / "broken.db"
    broken.write_text("not a journal")
    done = measured(demo, "--journal", str(broken), *([flag] if flag else []))
    assert done.returncode == 0
    assert "ttft_ms" in done.stdout if flag else "TTFT" in done.stdout
    assert "is no journal" in done.stderr
    assert "Traceback" not in done.stderr
    assert broken.read_text() == "not a journal"


def test_evaluate_keeps_what_it_measured_and_survives_the_journal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GPU_TUI_MEASURE_REQUESTS", "1")
    monkeypatch.setenv("GPU_TUI_MEASURE_WARMUP", "0")
    (tmp_path / "broken.db").write_text("not a journal")
    words = ["evaluate", "--demo", '{"vllm_memory_util": 0.5}', "--journal"]
    assert main([*words, str(tmp_path / "broken.db")]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "pass"
    assert "is no journal" in err
    assert main([*words, str(tmp_path / "own.db")]) == 0
    with Journal(tmp_path / "own.db") as journal:
        assert [entry.kind for entry in journal.entries()] == ["evaluate"]
    assert list(default_path().parent.parent.iterdir()) == []
