"""Servers that stop, start and fail, followed beside the readings: what changed, what races, what is kept.

`see` answers at once. Logs and ports are asked on a thread of its own, and only of servers that are in motion or have
just ended; while nothing moves, nothing is asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from gpu_tui.clock import Clock
from gpu_tui.config import Settings
from gpu_tui.core.books import Books, keep_books
from gpu_tui.core.deployment import Deployment, DeployPhase, Identity
from gpu_tui.core.deployments import Change, Told, Watched, follow, servers_of
from gpu_tui.core.family import family_ports
from gpu_tui.core.races import Race, Tenants, Window, exposed, others, races, tenants_of
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.core.start_log import parse_start_log
from gpu_tui.core.start_values import Phase
from gpu_tui.telemetry.cgroups import Keeper
from gpu_tui.telemetry.start_watch import Ask, Reader, StartReader
from gpu_tui.wiring.asker import Asker
from gpu_tui.wiring.kept_starts import keep
from gpu_tui.wiring.machine import classifier

LOOK_S = 1.0
"""How often a server in motion is asked."""
SETTLED_S = 30.0
"""The same for one that was there before and does not move, while nothing tells how far it is."""
AFTER_S = (0.0, 3.0, 10.0)
"""How long after a server's end its log is looked at for the cause: its wrapper may write late."""
MOST_RACES = 20
"""Sentences about races that are kept of one start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What one reading brought."""

    changes: tuple[Change, ...] = ()
    races: tuple[Race, ...] = ()
    """Those that began with it."""
    over: tuple[Race, ...] = ()
    """Those that ended with it."""

    def __bool__(self) -> bool:
        return bool(self.changes or self.races or self.over)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """All that is known now; immutable, for any thread."""

    watched: Watched = Watched()
    races: tuple[Race, ...] = ()
    """Those that go on."""
    raced: Mapping[Identity, tuple[str, ...]] = field(default_factory=dict)
    """What was said of races of each start, those that are over included."""
    tenants: tuple[Tenants, ...] = ()
    began_s: float | None = None
    """Since when it is watched; None before the first reading."""
    at_s: float = 0.0
    wall_s: float = 0.0
    simulated: bool = False

    @property
    def exposed(self) -> tuple[tuple[Deployment, tuple[str, ...]], ...]:
        """Starts that hands must be kept off now, the latest first, each with the other services on its GPUs."""
        return tuple((one, others(one, self.tenants)) for one in reversed(self.watched.now) if exposed(one))

    @property
    def in_motion(self) -> bool:
        """Whether a server is between its start and serving."""
        return any(one.in_motion for one in self.watched.now)

    def wall_at(self, at_s: float) -> float:
        """A monotonic instant in seconds since the epoch."""
        return self.wall_s - (self.at_s - at_s)


_Begun = tuple[tuple[Race, ...], tuple[Race, ...]]


class DeploymentWatch:
    """Follows the servers of one machine. `see` belongs to one thread; `shown` is for all.

    Args:
        settings: the services' rules, and which journal.
        clock: the time.
        reader: asks logs and ports; None: this machine's.
        tell: takes a sentence when a start was kept in the journal, or could not be; on the asking thread.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        reader: Reader | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings, self._clock, self._tell = settings, clock, tell
        self._reader: Reader = reader if reader is not None else StartReader(clock)
        self._rules = classifier(settings)
        self.shown = Shown()
        self._windows: tuple[Window, ...] = ()
        self._told: dict[Identity, Told] = {}
        self._lock = threading.Lock()
        self._asker = Asker()
        self._asked_s = self._settled_s = float("-inf")
        self._last_seen: dict[Identity, Snapshot] = {}
        self._keepers: dict[Identity, Ask] = {}
        self._looked_after: dict[Identity, int] = {}
        self._raced: dict[Identity, tuple[str, ...]] = {}
        self._scripted: dict[int, tuple[int, Told]] = {}
        self._source = ""

    def see(self, snapshot: Snapshot) -> News:
        """One reading."""
        if self._is_another(snapshot):
            self._forget(snapshot)
        readable = [gpu for gpu in snapshot.gpus if gpu.processes is not None]
        books = [(gpu, keep_books(snapshot, gpu, self._rules, self._settings.restarts)) for gpu in readable]
        blind = frozenset(gpu.key for gpu in snapshot.gpus if gpu.processes is None)
        blind |= {key for one in self.shown.watched.now for key in one.gpus} - {gpu.key for gpu in snapshot.gpus}
        watched, changes = follow(
            self.shown.watched,
            servers_of(snapshot, books),
            self._evidence(snapshot),
            at_s=snapshot.taken_monotonic,
            wall_s=snapshot.taken_at,
            blind=blind,
            simulated=snapshot.simulated,
        )
        begun, over = self._race(watched, snapshot, books)
        if snapshot.here:
            self._remember(watched, snapshot)
            self._ask(watched, snapshot)
            self._keep(changes, snapshot)
        return News(changes=changes, races=begun, over=over)

    def reload(self, settings: Settings) -> None:
        """Other settings from now on; what is followed stays."""
        self._settings, self._rules = settings, classifier(settings)

    def close(self) -> None:
        """Nothing more is asked; a file or server that hangs is left behind."""
        self._asker.close()

    def _is_another(self, snapshot: Snapshot) -> bool:
        """Another machine, a recording that was turned back, or a story that begins anew."""
        anew = any(len(snapshot.logs.get(pid, ())) < count for pid, (count, _) in self._scripted.items())
        back = snapshot.taken_monotonic < self.shown.at_s
        return anew or back or _name_of(snapshot) != self._source

    def _forget(self, snapshot: Snapshot) -> None:
        """What was followed is not of this one."""
        self._source = _name_of(snapshot)
        self.shown, self._windows = Shown(), ()
        with self._lock:
            self._told.clear()
        for known in (self._last_seen, self._keepers, self._looked_after, self._raced, self._scripted):
            known.clear()

    def _race(self, watched: Watched, snapshot: Snapshot, books: list[tuple[Gpu, Books]]) -> _Begun:
        tenants = tuple(tenants_of(gpu.key, book.services, watched.now) for gpu, book in books)
        self._windows, found = races(self._windows, watched.now, tenants)
        going = {race.key for race in self.shown.races}
        begun = tuple(race for race in found if race.key not in going)
        over = tuple(race for race in self.shown.races if race.key not in {each.key for each in found})
        for race in begun:
            said = self._raced.get(race.who, ())
            self._raced[race.who] = (*said, race.words)[:MOST_RACES]
        if begun:
            known = {one.who for one in (*watched.now, *watched.past)}
            self._raced = {who: said for who, said in self._raced.items() if who in known}
        self.shown = Shown(
            watched=watched,
            races=found,
            raced=dict(self._raced),
            tenants=tenants,
            began_s=snapshot.taken_monotonic if self.shown.began_s is None else self.shown.began_s,
            at_s=snapshot.taken_monotonic,
            wall_s=snapshot.taken_at,
            simulated=snapshot.simulated,
        )
        return begun, over

    # What is known beside the memory

    def _evidence(self, snapshot: Snapshot) -> dict[Identity, Told]:
        if snapshot.here:
            with self._lock:
                return dict(self._told)
        return {Identity(pid=pid): self._script(pid, lines) for pid, lines in snapshot.logs.items()}

    def _script(self, pid: int, lines: tuple[str, ...]) -> Told:
        """A scenario's log, parsed once for each of its lengths; a log that says so answers ``/health``."""
        count, told = self._scripted.get(pid, (-1, Told()))
        if count != len(lines):
            log = parse_start_log(lines)
            told = Told(health=any(one.phase is Phase.SERVING for one in log.phases), log=log)
            self._scripted[pid] = (len(lines), told)
        return told

    def _remember(self, watched: Watched, snapshot: Snapshot) -> None:
        """What is needed of a server once it is gone."""
        here = {one.who for one in watched.now}
        for one in watched.now:
            if one.in_motion:
                self._last_seen[one.who] = snapshot
                self._keepers[one.who] = _ask_of(one, snapshot)
        recent = here | {one.who for one in watched.past[-5:]}
        for known in (self._last_seen, self._keepers, self._looked_after, self._raced):
            for who in [who for who in known if who not in recent]:
                del known[who]

    def _ask(self, watched: Watched, snapshot: Snapshot) -> None:
        now = snapshot.taken_monotonic
        if now - self._asked_s < LOOK_S or self._asker.busy:
            return
        with self._lock:
            unasked = {one.who for one in watched.now if one.who not in self._told}
            self._told = {who: told for who, told in self._told.items() if watched.find(who) is not None}
        # One that was there already is asked whether it serves, until something tells.
        wanted = [
            one for one in watched.now if one.in_motion or (one.phase is DeployPhase.RUNNING and one.who in unasked)
        ]
        asks = [_ask_of(one, snapshot) for one in wanted] + self._afterwards(watched, now)
        if asks:
            self._asked_s = now
            self._asker.do(lambda: self._answer(asks))

    def _afterwards(self, watched: Watched, now: float) -> list[Ask]:
        """Those that ended before they served, a few times."""
        asks = []
        for one in watched.past[-5:]:
            times = self._looked_after.get(one.who, 0)
            if one.phase is not DeployPhase.GONE or one.served or times >= len(AFTER_S) or one.who not in self._keepers:
                continue
            if now - one.span.start_s >= AFTER_S[times]:
                self._looked_after[one.who] = times + 1
                asks.append(replace(self._keepers[one.who], alive=False))
        return asks

    def _answer(self, asks: list[Ask]) -> None:
        for ask in asks:
            told = self._reader.look(ask)
            with self._lock:
                self._told[ask.who] = told

    def _keep(self, changes: tuple[Change, ...], snapshot: Snapshot) -> None:
        """Into the journal, once it serves, has failed, or the cause became known."""
        for change in changes:
            one = change.deployment
            last = self._last_seen.get(one.who)
            if one.outcome is None or not one.from_birth or last is None:
                continue
            if one.phase not in (DeployPhase.SERVING, DeployPhase.FAILED) and one.served:
                continue  # it was kept when it began to serve
            said, seen = self._raced.get(one.who, ()), (snapshot if one.phase is DeployPhase.SERVING else last)
            self._asker.do(partial(self._kept, one, seen, said))

    def _kept(self, one: Deployment, seen: Snapshot, said: tuple[str, ...]) -> None:
        words = keep(one, seen, self._settings, said, clock=self._clock, rules=self._rules)
        if words is not None:
            self._tell(words)


def _name_of(snapshot: Snapshot) -> str:
    """Which machine; a replay's instant is no part of it."""
    detail = snapshot.source_detail
    return snapshot.source + (detail.rpartition(" @ ")[0] if snapshot.source == "replay" else detail)


def _ask_of(one: Deployment, snapshot: Snapshot) -> Ask:
    info = snapshot.processes.get(one.who.pid)
    pids = (one.who.pid, *(pid for pid in one.pids if pid != one.who.pid))
    inner = [snapshot.processes[pid].inner_pid for pid in pids if pid in snapshot.processes]
    listening = family_ports(one.who.pid, snapshot.processes)
    in_container = info is not None and info.container is not None
    # A port that the server itself does not listen on is another's; whose ports cannot be read is asked only where
    # it has no network of its own.
    own = one.port in listening if listening is not None else not in_container
    return Ask(
        who=one.who,
        pids=pids,
        inner_pids=frozenset(pid for pid in inner if pid is not None),
        port=one.port if own else None,
        keeper=Keeper(
            unit=info.unit if info is not None else None,
            user=info.unit_uid if info is not None else None,
            container=info.container if info is not None else None,
        ),
    )
