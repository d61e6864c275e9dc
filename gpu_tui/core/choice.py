"""Which GPUs a question is about, and which vLLM instance restarts. Ambiguity is answered by a list, never a guess."""

from __future__ import annotations

from collections.abc import Sequence

from gpu_tui.core.books import Books, Instance, keep_books
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Fault, FaultKind, Gpu, Snapshot
from gpu_tui.errors import UsageError
from gpu_tui.units import format_mib

ALL = "all"
"""`--gpu all`: every GPU, each judged by itself."""

HIGHEST_PORT = 65_535


def choose_gpus(
    snapshot: Snapshot, classifier: Classifier, gpu: str | None = None, restarts: int | None = None
) -> tuple[Gpu, ...]:
    """The devices asked about.

    Args:
        snapshot: the machine.
        classifier: tells where the restarting service sits.
        gpu: NVML's index, ``0:1`` for an instance of MIG, a UUID or its unambiguous beginning, or ``all``; None: the
            only GPU, else the one that holds all of the one restarting service.
        restarts: a pid or port that chooses the instance, see `keep_books`.

    Raises:
        UsageError: there is no such GPU, or several and no choice; the message lists them.
    """
    if gpu == ALL:
        return snapshot.gpus
    if gpu is not None:
        return (_named(snapshot, gpu),)
    if len(snapshot.gpus) == 1:
        return snapshot.gpus
    holders = _holders(snapshot, classifier, restarts)
    if len(holders) == 1:
        return (holders[0],)
    raise UsageError(
        f"This machine has {len(snapshot.gpus)} GPUs and none was chosen.",
        f"Choose one with --gpu N or --gpu UUID: {gpu_list(snapshot)}.",
    )


def _named(snapshot: Snapshot, key: str) -> Gpu:
    # An index is digits and nothing else: "0x1", "1.0" or "-1" name no GPU.
    if key.isascii() and key.isdigit():
        found = [gpu for gpu in snapshot.gpus if gpu.index == int(key)]
    else:
        found = [gpu for gpu in snapshot.gpus if key in (gpu.uuid, gpu.label)]
        found = found or [gpu for gpu in snapshot.gpus if len(key) >= 8 and gpu.uuid.startswith(key)]
        found = found or [gpu for gpu in snapshot.gpus if gpu.mig is not None and gpu.mig.parent_uuid == key]
    if len(found) > 1 and all(gpu.mig is not None for gpu in found):
        raise UsageError(f"GPU {found[0].index} is partitioned with MIG.", f"Choose an instance: {gpu_list(snapshot)}.")
    if len(found) != 1:
        raise UsageError(f"There is no GPU {key!r} here.", f"Choose one of: {gpu_list(snapshot)}.")
    return found[0]


def gpu_list(snapshot: Snapshot) -> str:
    """The machine's GPUs for people: ``0 (NAME, UUID), 1 (…)``, an instance of MIG as ``1:0 (…)``."""
    told = ((gpu.label, ", ".join(filter(None, (gpu.name, gpu.uuid)))) for gpu in snapshot.gpus)
    return ", ".join(f"{label} ({words})" for label, words in told) or "none"


def _holders(snapshot: Snapshot, classifier: Classifier, restarts: int | None) -> list[Gpu]:
    """The GPUs that hold memory of what may restart."""
    holders: list[Gpu] = []
    for gpu in snapshot.gpus:
        books = keep_books(snapshot, gpu, classifier, restarts)
        if books.chosen is not None:
            holders.append(gpu)
    return holders


def require_chosen(
    snapshot: Snapshot, classifier: Classifier, asked: Sequence[Books], restarts: int | None = None
) -> None:
    """Refuse to judge while it is open which instance restarts.

    A port at which nothing runs is no mistake: the unit that starts it asks before it is up (``ExecStartPre=``), and
    nothing comes free then. A number beyond the ports can only be a pid, and one that names no instance is a mistake.

    Args:
        snapshot: the machine; the instance named may sit on any of its GPUs.
        classifier: the rules.
        asked: the books of the GPUs asked about.
        restarts: the pid or port asked for.

    Raises:
        UsageError: several instances and no choice, or a pid that names none; the message lists what runs.
    """
    if restarts is None:
        if any(books.ambiguous for books in asked):
            raise UsageError(
                "Several vLLM instances are running and none was chosen to restart.",
                f"Choose one with --restarts PID or --restarts PORT: {instance_list(asked)}.",
            )
        return
    if restarts > HIGHEST_PORT and find_instance(snapshot, classifier, restarts) is None:
        every = [keep_books(snapshot, gpu, classifier) for gpu in snapshot.gpus]
        raise UsageError(f"No vLLM instance has the pid {restarts}.", f"Running now: {instance_list(every) or 'none'}.")


def find_instance(snapshot: Snapshot, classifier: Classifier, restarts: int) -> Instance | None:
    """The instance that `restarts` names, on whichever GPU; None when there is none."""
    for gpu in snapshot.gpus:
        chosen = keep_books(snapshot, gpu, classifier, restarts).chosen
        if chosen is not None:
            return chosen
    return None


def instance_list(asked: Sequence[Books]) -> str:
    """What could restart, for people: ``pid 4711, port 8000, 6134 MiB; …``."""
    return "; ".join(
        f"pid {i.owner_pid}, port {'unknown' if i.port is None else i.port}, "
        f"{'unknown' if i.used_bytes is None else format_mib(i.used_bytes)} MiB"
        for books in asked
        for i in books.instances
    )


def blocking_fault(gpu: Gpu) -> Fault | None:
    """What keeps this GPU from being judged whatever its figures say: MIG, or a device that cannot be read."""
    for fault in gpu.faults:
        if fault.kind is FaultKind.MIG or gpu.total_bytes is None:
            return fault
    if gpu.mig_enabled:
        return Fault(
            kind=FaultKind.MIG,
            message=f"GPU {gpu.index} is partitioned with MIG, and no instance of it can be seen",
            remedy="Make an instance, choose another GPU with --gpu, or switch MIG off.",
        )
    return None
