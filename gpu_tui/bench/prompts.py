"""The prompts of one run: synthetic ones of the length asked for, or a user's own, in turn."""

from __future__ import annotations

import secrets

from gpu_tui.bench.plan import MeasurePlan
from gpu_tui.bench.workload import PromptSize, fitted, noise, prompt

_TURN = "Answer in one short sentence."


class Prompts:
    """Finds out during the warm-up how many words make the tokens asked for."""

    def __init__(self, plan: MeasurePlan) -> None:
        self._plan = plan
        self._run = secrets.token_hex(8)  # two runs of one plan must not send the server what it has in its cache
        self._size = PromptSize()
        self._told: list[tuple[int, int]] = []
        self.calibrated = False
        """Whether the server's own counts were used."""

    def warmup(self, index: int) -> str:
        """A warm-up's: synthetic always, so that no prompt of a user's has been seen by the server before."""
        return prompt(self._plan.seed, index, self._warmup_words(index), self._run)

    def learn(self, index: int, tokens: int | None) -> None:
        """The server has counted so many tokens in this warm-up's prompt."""
        if tokens is not None and self._plan.prompt_tokens is not None:
            self._told.append((self._warmup_words(index), tokens))
            line = fitted(self._told)
            if line is not None:
                self._size, self.calibrated = line, True

    def measured(self, index: int) -> str:
        """The prompt of measured request `index`."""
        plan = self._plan
        if plan.prompts:
            return plan.prompts[index % len(plan.prompts)]
        words = plan.prompt_words if plan.prompt_tokens is None else self._size.words_for(plan.prompt_tokens)
        return prompt(plan.seed, index, words, self._run)

    def turn(self, index: int, transcript: str) -> str:
        """What a voice assistant asks: what was heard, behind words that differ per turn.

        The transcript of one clip is the same every time: without them a prefix cache would answer from the second
        turn on.
        """
        return f"({noise(self._plan.seed, index, 16, self._run)})\n\n{transcript.strip()}\n\n{_TURN}"

    def _warmup_words(self, index: int) -> int:
        plan = self._plan
        if plan.prompt_tokens is None:
            return plan.prompt_words
        # Two lengths, so that words and template can be told apart.
        words = PromptSize().words_for(plan.prompt_tokens)
        return words if index % 2 else max(1, words // 2)
