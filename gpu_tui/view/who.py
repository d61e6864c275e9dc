"""Who a service is, in words: where it lives, its ports, its model, on what that rests."""

from __future__ import annotations

from collections.abc import Sequence

from gpu_tui.core.books import Books, Service
from gpu_tui.core.ollama import LoadedModel
from gpu_tui.core.proofs import proofs, unattributed
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.core.whereabouts import Whereabouts, whereabouts
from gpu_tui.units import format_mib
from gpu_tui.view.spans import Line, wrap
from gpu_tui.view.text import clean


def facts(service: Service, snapshot: Snapshot) -> list[tuple[str, str]]:
    """What is known of where it lives, as (what, which); nothing for a service that does not run."""
    where = whereabouts(service, snapshot)
    ports = ", ".join(map(str, where.ports or ()))
    told = [
        ("unit", ", ".join(where.units)),
        ("container", ", ".join(where.containers)),
        ("pod", ", ".join(where.pods)),
        ("user", ", ".join(where.users)),
        ("ports", ports if where.ports is not None else "unknown: they may not be read" if service.running else ""),
        ("parents", " ← ".join(where.parents)),
        ("pid inside", ", ".join(f"{pid} is {inner}" for pid, inner in where.inner_pids)),
        ("model", _model(where)),
    ]
    simulated = snapshot.simulated and not where.ports
    return [(what, clean(words, 400)) for what, words in told if words and not (what == "ports" and simulated)]


def _model(where: Whereabouts) -> str:
    args = where.args
    if args is None or args.model is None:
        return ""
    flags = [
        ("gpu_memory_utilization", args.gpu_memory_utilization),
        ("max_model_len", args.max_model_len),
        ("tensor_parallel_size", args.tensor_parallel_size),
    ]
    told = ", ".join(f"{name} {value}" for name, value in flags if value is not None)
    return f"{args.model} ({told})" if told else args.model


def model_words(models: Sequence[LoadedModel] | None, source: str) -> str:
    """What ollama has loaded, by its own word."""
    if models is None:
        return f"unknown: {source} did not answer"
    if not models:
        return f"none loaded ({source})"
    return f"{', '.join(map(_loaded, models))} ({source})"


def _loaded(model: LoadedModel) -> str:
    told = [model.name]
    if model.vram_bytes is not None:
        told.append(f"{format_mib(model.vram_bytes)} MiB by ollama's reckoning")
    if model.context_length is not None:
        told.append(f"context {model.context_length}")
    if model.expires_at is not None:
        told.append(f"until {model.expires_at[:19].replace('T', ' ')}")
    return clean(", ".join(told), 200)


def short_facts(service: Service, snapshot: Snapshot, loaded: str = "", limit: int = 110) -> str:
    """One line for a list: ``ollama.service · user ollama · ports 11434``; parents and pids stay with the details."""
    words = {"unit": "{}", "container": "container {}", "pod": "pod {}", "user": "user {}", "ports": "ports {}"}
    told = [words[what].format(which) for what, which in facts(service, snapshot) if what in words]
    told = [each for each in told if not each.startswith("ports unknown")]
    return clean(" · ".join([*told, loaded] if loaded else told), limit)


def rest_lines(books: Books, gpu: Gpu, snapshot: Snapshot, width: int) -> list[Line]:
    """What is known of memory that no process explains, where there is any; the evidence, and what is missing."""
    found = proofs(snapshot, gpu)
    about = unattributed(books, gpu, snapshot) if books.unattributed_bytes != 0 else ()
    lines: list[Line] = []
    for title, sentences, tone in (
        ("unattributed", about, ""),
        ("evidence", ("; ".join(found.used),), "dim"),
        ("missing", found.missing, "warn"),
    ):
        for number, words in enumerate(sentences):
            head = f"{'' if number else title:<13}"
            lines += wrap([(head, tone), (clean(words, 400), "" if tone == "warn" else tone)], width, indent=13)
    return lines


def driver_lines(books: Books, gpu: Gpu, snapshot: Snapshot, width: int = 74) -> list[Line]:
    """The same for a dialog of its own."""
    size = books.unattributed_bytes
    told = "unknown" if size is None else f"{format_mib(size)} MiB"
    reserved = "unknown" if books.reserved_bytes is None else f"{format_mib(books.reserved_bytes)} MiB"
    lines: list[Line] = [[(f"unattributed {told}", "strong"), (f", reserved by the driver {reserved}", "")]]
    if size == 0:
        lines += [[(words, "")] for words in unattributed(books, gpu, snapshot)]
    return [*lines, [], *rest_lines(books, gpu, snapshot, width)]
