"""What a run says beside its figures: things to know when reading them, and what measuring cost."""

from __future__ import annotations

from gpu_tui.bench.discover import Endpoint
from gpu_tui.bench.events import Generator, LlmResult
from gpu_tui.bench.loader import Loader
from gpu_tui.bench.plan import MeasurePlan
from gpu_tui.bench.stamps import LATE_S, StampedConnector
from gpu_tui.bench.untrusted import shown_url

_TOO_LATE = 0.05
"""Then a p95 of the gaps between tokens is touched."""


def told_after(plan: MeasurePlan, loader: Loader, llm: LlmResult | None) -> list[str]:
    """What to know of the load when reading its figures."""
    notes = []
    if plan.prompts and llm and llm.n > len(plan.prompts):
        notes.append(f"{len(plan.prompts)} prompts for {llm.n} requests: repeated ones may come from a prefix cache.")
    if plan.rate is None and plan.duration_s is None and plan.requests < plan.concurrency:
        notes.append(f"Never more than {plan.requests} at once: no more requests were asked for.")
    if plan.prompt_tokens is not None and not plan.prompts and plan.wants_llm and not loader.prompts.calibrated:
        notes.append("The server did not tell how it counts tokens: the length of the prompts is an estimate.")
    notes += _of_arrivals(loader.connector)
    unsent = sum(outcomes.errors["not_sent"] for outcomes in loader.seen)
    if unsent:
        notes.append(f"{unsent} requests could not be sent when they were due: the rate is beyond the server.")
    return notes


def _of_arrivals(connector: object) -> list[str]:
    if not isinstance(connector, StampedConnector) or connector.kernel_stamps is False:
        return ["This kernel does not stamp what arrives: the figures hold the client's own lateness."]
    if connector.late_share <= _TOO_LATE:
        return []
    return [
        f"{connector.late_share:.0%} of what arrived was read more than {1000 * LATE_S:.0f} ms late, so busy is this"
        " machine: tokens that came closer together are told as one arrival."
    ]


def generator_of(loader: Loader) -> Generator:
    """What sending the loads cost; nothing known when none was sent."""
    cost = loader.cost
    if cost.wall_s <= 0:
        return Generator()
    each = round(1000 * cost.cpu_s / cost.requests, 3) if cost.requests else None
    return Generator(
        cpu_s=round(cost.cpu_s, 4),
        share=round(cost.cpu_s / cost.wall_s, 4),
        cpu_ms_per_request=each,
        request_share=round(cost.cpu_s / cost.answered_s, 5) if cost.answered_s > 0 else None,
    )


def busy(llm: Endpoint) -> str:
    """The sentence about live traffic."""
    count = llm.metrics.running
    return f"{shown_url(llm.url)} is answering {count} other request{'s' if count != 1 else ''}."


def labelled_simulated(endpoint: Endpoint | None) -> bool:
    """A demo server says so in its model's name: its figures are invented, however its address was come by."""
    return endpoint is not None and endpoint.model is not None and endpoint.model.startswith("SIMULATED")
