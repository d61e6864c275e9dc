"""The most that a GPU's services were seen to hold: each alone, and together at one instant. Values; no clock.

`PeakKeeper` takes books as they are read. Instants are seconds since the epoch, sizes bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from gpu_tui.core.books import Books, Service
from gpu_tui.units import MIB

WINDOW_S = 300.0
"""The recent while, as long as the explorer's history. Ours to choose."""
MOST_INSTANTS = 32
"""Of more, the two most alike are told as one that holds the larger of each: never less than was seen."""
MOST_SERIES = 256
"""Of more, those gone whose largest was seen longest ago are forgotten: a vLLM is named by its port. Ours to choose."""
STEADY_S = 60.0
"""Free memory must have been watched for so long before a headroom is suggested."""
ROUND_BYTES = 16 * MIB
"""A suggested headroom is rounded up to this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A size and when it was seen last."""

    size: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """What the services held at one instant, by series."""

    at: float
    held: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """What is known of one GPU's peaks."""

    since: float | None = None
    """Instant of the first reading; None: nothing is known."""
    until: float | None = None
    alone: Mapping[str, Seen] = field(default_factory=dict)
    """The largest of each series since the start."""
    window: Mapping[str, int] = field(default_factory=dict)
    """The largest of each in the last `WINDOW_S`."""
    together: tuple[Instant, ...] = ()
    """Instants at which no other held as much of everything: for any set of services the fullest one is among them."""
    reported: Mapping[str, Seen] = field(default_factory=dict)
    """The largest that a service itself said it takes (ollama's ``size_vram``)."""
    jitter_bytes: int | None = None
    """By how much free memory moved in the last `WINDOW_S` that no service's memory explains; None: not yet known."""

    @property
    def known(self) -> bool:
        """Whether anything was seen."""
        return self.since is not None

    @property
    def suggested_headroom_bytes(self) -> int | None:
        """The jitter, rounded up to whole `ROUND_BYTES`."""
        return None if self.jitter_bytes is None else -(-self.jitter_bytes // ROUND_BYTES) * ROUND_BYTES


def series_of(service: Service, books: Books) -> str:
    """Under which name a service's memory is remembered: an instance keeps it whichever of them restarts."""
    instance = next((i for i in books.instances if i.owner_pid == service.instance_pid), None)
    return service.name if instance is None else instance.label


class PeakKeeper:
    """Gathers the peaks of one GPU, in bounded memory. What was known before may be given to begin with."""

    def __init__(self, before: Peaks | None = None, window_s: float = WINDOW_S) -> None:
        self._known = replace(before, window={}, jitter_bytes=None) if before is not None else Peaks()
        self._window_s = window_s
        self._recent: dict[str, deque[tuple[float, int]]] = {}
        self._rest: deque[tuple[float, int]] = deque(maxlen=4096)

    def add(self, at: float, books: Books) -> None:
        """Take one reading. An instant before the last one (a clock that was set) empties the window."""
        held = {series_of(s, books): s.used_bytes for s in books.services if s.used_bytes is not None}
        if not books.listed:
            held = {}
        known = self._known
        if known.until is not None and at < known.until:
            self._recent.clear()
            self._rest.clear()
        alone = dict(known.alone)
        for name, size in held.items():
            if size > 0 and (name not in alone or size >= alone[name].size):
                alone[name] = Seen(size=size, at=at)
            self._slide(name, at, size)
        for name in self._recent.keys() - held.keys():
            self._slide(name, at, None)
        if books.free_bytes is not None:
            self._rest.append((at, books.free_bytes + sum(held.values())))
            while at - self._rest[0][0] > self._window_s:
                self._rest.popleft()
        together = with_instant(known.together, Instant(at=at, held={n: s for n, s in held.items() if s > 0}))
        since = at if known.since is None else min(known.since, at)
        told = replace(known, since=since, until=at, alone=alone, together=together)
        self._known = bounded(told, held)

    def _slide(self, name: str, at: float, size: int | None) -> None:
        """A window's largest by a queue of falling values: each sample enters and leaves once."""
        queue = self._recent.setdefault(name, deque())
        if size is not None:
            while queue and queue[-1][1] <= size:
                queue.pop()
            queue.append((at, size))
        while queue and at - queue[0][0] > self._window_s:
            queue.popleft()
        if not queue:
            del self._recent[name]

    def report(self, name: str, size: int, at: float) -> None:
        """A service told what it takes."""
        before = self._known.reported.get(name)
        if before is None or size >= before.size:
            self._known = replace(self._known, reported={**self._known.reported, name: Seen(size=size, at=at)})

    def peaks(self) -> Peaks:
        """What is known now."""
        window = {name: queue[0][1] for name, queue in self._recent.items()}
        return replace(self._known, window=window, jitter_bytes=self._jitter())

    def _jitter(self) -> int | None:
        if not self._rest or self._rest[-1][0] - self._rest[0][0] < STEADY_S:
            return None
        sizes = [size for _, size in self._rest]
        return max(sizes) - min(sizes)


def bounded(peaks: Peaks, here: Collection[str] = ()) -> Peaks:
    """The same, of `MOST_SERIES` series at most; those that are here go last."""
    if len(peaks.alone) <= MOST_SERIES:
        return peaks
    newest = sorted(peaks.alone, key=lambda name: (name in here, peaks.alone[name].at), reverse=True)[:MOST_SERIES]
    kept: tuple[Instant, ...] = ()
    for one in peaks.together:
        kept = with_instant(kept, replace(one, held={n: one.held[n] for n in newest if n in one.held}))
    return replace(peaks, alone={name: peaks.alone[name] for name in newest}, together=kept)


def with_instant(together: tuple[Instant, ...], new: Instant) -> tuple[Instant, ...]:
    """`together` with one more instant; whatever another holds as much of in everything is left out."""
    if not new.held or any(_covers(one, new) for one in together):
        return together
    kept = (*(one for one in together if not _covers(new, one)), new)
    if len(kept) <= MOST_INSTANTS:
        return kept
    *others, last = kept
    nearest = min(others, key=lambda one: sum(_joined(one, last).held.values()) - sum(one.held.values()))
    both = _joined(nearest, last)
    return (*(one for one in others if not _covers(both, one)), both)


def _covers(a: Instant, b: Instant) -> bool:
    return all(a.held.get(name, 0) >= size for name, size in b.held.items())


def _joined(a: Instant, b: Instant) -> Instant:
    names = dict.fromkeys((*a.held, *b.held))
    return Instant(at=max(a.at, b.at), held={n: max(a.held.get(n, 0), b.held.get(n, 0)) for n in names})


def merged(a: Peaks, b: Peaks) -> Peaks:
    """What two watchers saw of one GPU; the window and the jitter are `b`'s."""
    together = a.together
    for one in b.together:
        together = with_instant(together, one)
    both = replace(
        b,
        since=_least(a.since, b.since),
        until=max((at for at in (a.until, b.until) if at is not None), default=None),
        alone=_largest(a.alone, b.alone),
        reported=_largest(a.reported, b.reported),
        together=together,
    )
    return bounded(both)


def _least(a: float | None, b: float | None) -> float | None:
    return min((at for at in (a, b) if at is not None), default=None)


def _largest(a: Mapping[str, Seen], b: Mapping[str, Seen]) -> dict[str, Seen]:
    both: dict[str, Seen] = dict(a)
    for name, seen in b.items():
        if name not in both or (seen.size, seen.at) > (both[name].size, both[name].at):
            both[name] = seen
    return both


def fullest(together: Iterable[Instant], names: Iterable[str]) -> Instant | None:
    """The instant at which these series held the most together."""
    wanted = tuple(names)
    return max(together, key=lambda one: sum(one.held.get(name, 0) for name in wanted), default=None)
