"""What a run's table calls its figures."""

from __future__ import annotations

import pytest

from gpu_tui.bench.events import Figure, LlmResult, Summary, Utilization
from gpu_tui.bench.shapes import Generator
from gpu_tui.cli.measure_text import summary_text
from gpu_tui.tui.widgets.latency import summary_lines
from gpu_tui.view.spans import plain


@pytest.mark.parametrize("basis", ["token_gaps", "chunk_gaps", "mean_per_token", None])
def test_gaps_of_chunks_are_not_called_those_of_tokens(basis: str | None) -> None:
    """A chunk of four tokens every 40 ms, of a server that counts none: nobody knows the time between tokens."""
    gap = Figure(p50=40, p95=41, p99=41, min=39, max=42, mean=40, n=400)
    llm = LlmResult(
        n=20,
        errors={},
        ttft_ms=gap,
        itl_ms=gap,
        e2e_ms=gap,
        output_tokens_per_s=None,
        url="http://127.0.0.1:1",
        model="m",
        itl_basis=basis,
    )
    made = Summary(
        generator=Generator(), started_at="", machine="", gpu_memory_utilization=Utilization(), llm=llm, stt=None
    )
    table = [line.split()[0] for line in summary_text(made).splitlines() if line.split()[1:2] == ["40.0"]]
    gaps = [line for line in summary_text(made).splitlines() if line.strip().startswith("chunk gap  ")]
    screen = [plain(line) for line in summary_lines(made, 60)]
    untold = basis == "chunk_gaps"
    assert ("ITL" not in table) == untold
    assert len(gaps) == untold
    assert any("does not say how many tokens" in line for line in summary_text(made).splitlines()) == untold
    assert any(line.startswith("    chunk gap") for line in screen) == untold
    assert any(line.startswith("    ITL") for line in screen) != untold
