"""What the explorer asks before it puts load on services."""

from __future__ import annotations

import pytest

from gpu_tui.bench.events import EndpointShown, Preview, Utilization
from gpu_tui.bench.plan import MeasurePlan, Mode
from gpu_tui.bench.results import workload_of
from gpu_tui.tui.texts import load_lines
from gpu_tui.view.spans import plain


def told(plan: MeasurePlan) -> list[str]:
    shown = EndpointShown(url="http://127.0.0.1:8000", origin="o", model="m", model_origin="o")
    preview = Preview(
        simulated=False,
        llm=shown,
        stt=shown,
        requests=plan.requests,
        concurrency=plan.concurrency,
        warmup=plan.warmups,
        timeout_s=plan.timeout_s,
        prompt_words=plan.prompt_words,
        output_tokens=plan.max_tokens,
        gpu_memory_utilization=Utilization(),
        workload=workload_of(plan, None),
    )
    return [plain(line).strip() for line in load_lines(preview)]


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (MeasurePlan(requests=3), "3 streamed chat completions after 2 warm-ups, 1 at once"),
        (MeasurePlan(warmup=1, requests=7), "7 clips of speech after 1 warm-up, 1 at once"),
        (MeasurePlan(), "Prompts of about 64 words, answers of at most 32 tokens."),
        (MeasurePlan(prompt_tokens=900), "Prompts of about 900 tokens, answers of at most 32 tokens."),
        (MeasurePlan(mode=Mode.VOICE), "Prompts are the transcripts, answers of at most 128 tokens."),
        (
            MeasurePlan(mode=Mode.INTERFERENCE, requests=5, concurrency=4),
            "5 clips of speech after 4 warm-ups, 4 at once, then as many or more beside the answers",
        ),
    ],
)
def test_the_load_is_told_as_it_will_be(plan: MeasurePlan, words: str) -> None:
    assert words in told(plan)
