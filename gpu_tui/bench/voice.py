"""A whole voice turn: the clip is transcribed, the transcript is asked, the first sentence of the answer is heard."""

from __future__ import annotations

from gpu_tui.bench.client import ProbeFailure
from gpu_tui.bench.discover import Endpoint
from gpu_tui.bench.llm import LlmProbe
from gpu_tui.bench.load import Outcomes
from gpu_tui.bench.prompts import Prompts
from gpu_tui.bench.results import cache_fields, figure, model_of, ms
from gpu_tui.bench.shapes import MAX_TURNS_KEPT, VoiceResult, VoiceTurn
from gpu_tui.bench.stt import Listens
from gpu_tui.bench.untrusted import shown_url
from gpu_tui.bench.workload import Clip
from gpu_tui.core.timings import TurnTimings

MAX_TRANSCRIPT = 8000
"""Characters of a transcript that are handed on: it is a stranger's text, and a clip of a minute has a thousand."""


class VoiceProbe:
    """One turn at a time; use several tasks for load."""

    def __init__(self, stt: Listens, llm: LlmProbe, prompts: Prompts) -> None:
        self._stt = stt
        self._llm = llm
        self._prompts = prompts

    async def turn(self, index: int) -> TurnTimings:
        """The stamps of one turn.

        Raises:
            ProbeFailure: a stage failed; its name stands before the kind.
        """
        try:
            heard, transcript = await self._stt.hear()
        except ProbeFailure as failure:
            raise _at("stt", failure) from None
        try:
            said = await self._llm.ask(self._prompts.turn(index, transcript[:MAX_TRANSCRIPT]))
        except ProbeFailure as failure:
            raise _at("llm", failure) from None
        return TurnTimings(stt=heard, llm=said)


def _at(stage: str, failure: ProbeFailure) -> ProbeFailure:
    # "oom" stays what it is: it is counted by that name.
    kind = failure.kind if failure.kind == "oom" else f"{stage}_{failure.kind}"
    staged = ProbeFailure(kind, failure.message, failure.remedy)
    staged.server_spoke = failure.answered
    return staged


def turn_done(index: int, outcome: TurnTimings | ProbeFailure, began: float) -> VoiceTurn:
    """The record of one turn; `began` is the run's own start."""
    if isinstance(outcome, ProbeFailure):
        return VoiceTurn(index=index, error=outcome.kind, message=str(outcome))
    started = outcome.stt.started
    return VoiceTurn(
        index=index,
        started_s=None if started is None else round(started - began, 6),
        stt_ms=ms(outcome.stt_s),
        first_token_ms=ms(outcome.first_token_s),
        first_sentence_ms=ms(outcome.first_sentence_s),
        total_ms=ms(outcome.total_s),
    )


def voice_result(
    stt: Endpoint,
    llm: Endpoint,
    clip: Clip,
    outcomes: Outcomes[TurnTimings],
    turns: list[VoiceTurn],
    budget_ms: float | None,
) -> VoiceResult:
    """What the turns of a run say together."""
    good = outcomes.good
    totals = [1000 * turn.total_s for turn in good if turn.total_s is not None]
    return VoiceResult(
        n=len(good),
        errors=dict(outcomes.errors),
        stt_ms=figure(turn.stt_s for turn in good),
        first_token_ms=figure(turn.first_token_s for turn in good),
        first_sentence_ms=figure(turn.first_sentence_s for turn in good),
        total_ms=figure(turn.total_s for turn in good),
        no_sentence=len(good) - len(totals),
        budget_ms=budget_ms,
        within_budget=None if budget_ms is None else sum(total <= budget_ms for total in totals),
        turns=turns[:MAX_TURNS_KEPT],
        llm_url=shown_url(llm.url),
        llm_model=model_of(llm),
        stt_url=shown_url(stt.url),
        stt_model=model_of(stt),
        clip=clip.name,
        audio_s=round(clip.audio_s, 3),
        stt_size=stt.size,
        stt_local=stt.local,
        **cache_fields(llm),
    )
