"""From the machine to a measurement: which endpoints, with what load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_tui.config import Settings
from gpu_tui.core.books import Books
from gpu_tui.core.origins import OriginKind
from gpu_tui.core.services import Role
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import UsageError
from gpu_tui.ports import BenchResult
from gpu_tui.wiring.machine import Options, choose_gpus, classifier, running_utilization

if TYPE_CHECKING:
    from gpu_tui.bench.demo import DemoAddresses, DemoServers
    from gpu_tui.bench.events import LlmResult, SttResult, Summary
    from gpu_tui.bench.plan import Candidate, MeasurePlan

_LAYERS = ("default", "file", "environment", "flag")
"""Of settings, the weakest first."""
_MOST_ASKED = 16
"""Processes of one service whose ports are looked up; each costs a walk through its open files."""


def demo_servers(snapshot: Snapshot | None = None) -> DemoServers:
    """The simulated endpoints that go with a simulated machine: not started, to be used as a context manager."""
    from gpu_tui.bench.demo import DemoServers

    utilization = snapshot.gpu_memory_utilization if snapshot is not None else None
    return DemoServers() if utilization is None else DemoServers(utilization=utilization)


def measure_plan(
    settings: Settings,
    options: Options,
    snapshot: Snapshot | None,
    books: Books | None,
    planned_utilization: float | None,
    *,
    demo: DemoAddresses | None = None,
) -> MeasurePlan:
    """What a run would measure, and with what load.

    Endpoints named by the user come first, else the services' listening ports: for the LLM the server of the instance
    that restarts, for speech-to-text every other service. With a simulated machine it is its own loopback endpoints.

    Args:
        settings: endpoints and load.
        options: whether the machine is simulated.
        snapshot, books: the machine; None when it cannot be read, and then only named endpoints are measured.
        planned_utilization: where the plan stands, for the record.
        demo: where the simulated endpoints answer, from `demo_servers`; None while they are not started.

    Raises:
        UsageError: an address is none.
    """
    from gpu_tui.bench.plan import MeasurePlan

    simulated = options.simulated or (snapshot is not None and snapshot.simulated)
    return MeasurePlan(
        **_places(settings, books, demo, simulated=simulated),
        requests=settings.measure.requests,
        concurrency=settings.measure.concurrency,
        warmup=settings.measure.warmup,
        timeout_s=settings.measure.timeout_s,
        prompt_tokens=settings.measure.prompt_tokens,
        output_tokens=settings.measure.output_tokens,
        voice_budget_ms=settings.measure.voice_budget_ms,
        api_key_env=settings.endpoints.api_key_env,
        planned_utilization=planned_utilization,
        actual_utilization=None if books is None else running_utilization(books),
        log_paths=() if simulated or books is None else _logs(books),
        machine=_machine(settings, snapshot),
        stt_gpu=None if simulated else _gpu_uuid(settings, snapshot),
        simulated=simulated,
    )


def _places(settings: Settings, books: Books | None, demo: DemoAddresses | None, *, simulated: bool) -> dict[str, Any]:
    """The plan's addresses and models, by its fields."""
    places: dict[str, Any] = {}
    for kind in ("llm", "stt"):
        places[f"{kind}_urls"], by_demo = _endpoints(settings, kind, books, demo, simulated=simulated)
        model = f"endpoints.{kind}_model"
        places[f"{kind}_model"] = None if by_demo else settings.at(model)
        places[f"strict_{kind}_model"] = not by_demo and settings.origin(model).kind == "flag"
        if kind == "stt" and not by_demo:
            places |= _whisper(settings)
    return places


def _whisper(settings: Settings) -> dict[str, Any]:
    """The plan's fields about a local model and a label."""
    named = settings.endpoints
    fields: dict[str, Any] = {"stt_size": named.stt_size, "stt_size_origin": _named_by(settings, "endpoints.stt_size")}
    if named.stt_local is None or _outranked(settings):
        return fields
    folder = Path(named.stt_local).expanduser().absolute()
    return fields | {
        "stt_local": str(folder),
        "stt_local_origin": _named_by(settings, "endpoints.stt_local"),
        "stt_device": named.stt_device,
    }


def _outranked(settings: Settings) -> bool:
    """Whether a server is named by a layer above that of the local model.

    Raises:
        UsageError: both are named by the same layer.
    """
    server, local = (settings.origin(f"endpoints.{key}") for key in ("stt", "stt_local"))
    if server.kind == local.kind:
        raise UsageError(f"endpoints.stt and endpoints.stt_local are both set ({local}).", "Leave one of them out.")
    return _LAYERS.index(server.kind) > _LAYERS.index(local.kind)


def _named_by(settings: Settings, key: str) -> str:
    origin = settings.origin(key)
    return origin.where if origin.kind == "flag" else f"{origin.where}: {key}"


def _endpoints(
    settings: Settings, kind: str, books: Books | None, demo: DemoAddresses | None, *, simulated: bool
) -> tuple[tuple[Candidate, ...], bool]:
    """Where a kind of service may answer, and whether that is the demo's."""
    from gpu_tui.bench.plan import candidates

    key = f"endpoints.{kind}"
    if kind == "stt" and settings.endpoints.stt_local is not None and not _outranked(settings):
        return (), False
    if settings.origin(key).kind != "default":
        return candidates(settings.at(key), origin=_named_by(settings, key), chosen=True), False
    if simulated:
        url = None if demo is None else demo.llm if kind == "llm" else demo.stt
        return candidates(url, origin="demo (simulated)", chosen=True), True
    if books is None:
        return (), False
    return (_llm_listeners(books) if kind == "llm" else _stt_listeners(books)), False


def _llm_listeners(books: Books) -> tuple[Candidate, ...]:
    from gpu_tui.bench.plan import candidates
    from gpu_tui.telemetry.listeners import listening_ports

    chosen = books.chosen
    if chosen is None:
        return ()
    found = listening_ports([chosen.owner_pid])[chosen.owner_pid] or ()
    # The port of its command line is its API; an engine also listens for its workers.
    urls = [one.url for one in sorted(found, key=lambda one: one.port != chosen.port)]
    if not urls and chosen.port is not None:
        urls = [f"http://127.0.0.1:{chosen.port}"]
    return candidates(*urls, origin=f"port of {chosen.rule.name} (pid {chosen.owner_pid})")


def _stt_listeners(books: Books) -> tuple[Candidate, ...]:
    from gpu_tui.bench.plan import candidates
    from gpu_tui.telemetry.listeners import listening_ports

    found: list[Candidate] = []
    for service in books.services:
        if service.role is Role.PERSISTENT and service.instance_pid is None:
            for pid, listeners in listening_ports(service.pids[:_MOST_ASKED]).items():
                urls = [one.url for one in listeners or ()]
                found += candidates(*urls, origin=f"port of {service.name} (pid {pid})")
    return tuple({one.url: one for one in reversed(found)}.values())[::-1]


def _logs(books: Books) -> tuple[str, ...]:
    from gpu_tui.telemetry.service_log import log_files

    chosen = books.chosen
    return () if chosen is None else log_files((chosen.owner_pid, *chosen.pids))


def _machine(settings: Settings, snapshot: Snapshot | None) -> str:
    if snapshot is None:
        return ""
    gpus = [gpu for gpu in snapshot.gpus if settings.gpu is None or settings.gpu in (gpu.label, gpu.uuid)]
    return gpus[0].name if len(gpus) == 1 else f"{len(snapshot.gpus)} GPUs"


def _gpu_uuid(settings: Settings, snapshot: Snapshot | None) -> str | None:
    """Of the one GPU that is measured on: a local model runs there, and not on whichever CUDA calls its first."""
    try:
        gpus = () if snapshot is None else choose_gpus(snapshot, settings, classifier(settings))
    except UsageError:
        return None  # it is open which, and whoever needs to know has said so
    return gpus[0].uuid if len(gpus) == 1 else None


def bench_result(summary: Summary) -> BenchResult:
    """A run as the evaluator needs it: medians, in ms.

    Where as many requests failed as went well, the median of those that did is none of all that were sent.
    """
    stt = summary.stt.latency_ms if summary.stt else None
    llm = summary.llm.e2e_ms if summary.llm else None
    results = {"llm": summary.llm, "stt": summary.stt}
    failed = {kind: result.errors for kind, result in results.items() if result is not None and result.errors}
    lost = {kind: why for kind, result in results.items() if (why := _mostly_failed(result))}
    reasons = {**summary.reason, **lost}
    return BenchResult(
        stt_ms=None if stt is None or "stt" in lost else stt.p50,
        llm_ms=None if llm is None or "llm" in lost else llm.p50,
        **_cache(summary.llm),
        oom_events=summary.oom_events,
        measured_at_utilization=summary.gpu_memory_utilization.actual,
        whisper_size=_told_size(summary.stt),
        failed=failed,
        reason="; ".join(f"{kind}: {why}" for kind, why in reasons.items()),
    )


def _mostly_failed(result: LlmResult | SttResult | None) -> str:
    """Why its median is none, "" where it is one."""
    if result is None or not result.n or sum(result.errors.values()) < result.n:
        return ""
    told = ", ".join(f"{kind} {count}" for kind, count in result.errors.items())
    return f"unmeasured: of {result.n + sum(result.errors.values())} requests only {result.n} went well ({told})"


def _told_size(stt: SttResult | None) -> str | None:
    """The size of Whisper that was measured, unless that is but a label."""
    size = None if stt is None else stt.size
    return None if size is None or size.origin == OriginKind.ASSUMED else size.name


def _cache(llm: LlmResult | None) -> dict[str, Any]:
    """The fields of a `BenchResult` about the server's KV cache."""
    if llm is None:
        return {}
    prompt, answer = llm.prompt_tokens_mean, llm.output_tokens_mean
    return {
        "kv_cache_tokens": llm.kv_cache_tokens,
        "kv_cache_origin": llm.kv_cache_tokens_origin,
        "kv_cache_source": llm.kv_cache_tokens_source,
        "tokens_per_request": None if prompt is None or answer is None else round(prompt + answer, 1),
    }
