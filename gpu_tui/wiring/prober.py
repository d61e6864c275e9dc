"""What the running vLLM tells of itself, kept fresh beside the readings.

Its model, flags and log are asked for now and then, its KV cache more often. Files may hang and servers drip, so a
thread of its own asks them, and whoever reads takes what there is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from gpu_tui.clock import Clock
from gpu_tui.core.books import Books
from gpu_tui.core.cache_info import parse_cache_config
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.wiring.evidence import Evidence, Seeker

EVIDENCE_S = 300.0
"""How often model, flags and log of one instance are looked at again; they do not change. Ours to choose."""
RETRY_S = 30.0
"""The same while nothing was found: a server that loads tells more when it serves."""
CACHE_S = 15.0
"""How often ``/metrics`` is asked, as Prometheus would."""
MOST_AGE_S = 60.0
"""An older KV cache figure is unknown."""

MOST_WANTED = 64
"""Instances waiting to be asked while a file hangs; they are asked for again at the next reading."""

_Key = tuple[int, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    evidence: Evidence
    sought_at: float
    kv_usage: float | None = None
    cache_at: float = float("-inf")


class Prober:
    """Call `known` and `kv_usage` at every reading; they answer at once.

    Args:
        clock: the time.
        seek: what is asked of the instance; None: this machine's files and servers.
        get: asks a local port; None: over HTTP.
        watch_cache: whether the KV cache is asked for again and again.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        seek: Callable[[Snapshot, Books], Evidence] | None = None,
        get: Callable[[int, str], str | None] | None = None,
        watch_cache: bool = False,
    ) -> None:
        self._clock = clock
        self._seek = seek or Seeker(clock).running
        self._get = get or _get
        self.watch_cache = watch_cache
        self._told: dict[_Key, _Told] = {}
        self._wanted: dict[_Key, tuple[Snapshot, Books]] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False
        self.error: Exception | None = None
        """What asking last raised unexpectedly; the next round tries again."""

    def known(self, snapshot: Snapshot, books: Books) -> StartInputs | None:
        """What is known of the instance that restarts; None until it was asked, and of a simulated machine."""
        key = _key(snapshot, books)
        if key is None:
            return None
        with self._lock:
            told = self._told.get(key)
            if told is None or self._due(told):
                if len(self._wanted) >= MOST_WANTED:
                    self._wanted.clear()
                self._wanted[key] = (snapshot, books)
                self._start()
                self._wake.set()
        return None if told is None else told.evidence.inputs

    def kv_usage(self, snapshot: Snapshot, books: Books) -> float | None:
        """Share 0..1 of the KV cache in use; None: not told lately, or not watched."""
        key = _key(snapshot, books)
        with self._lock:
            told = self._told.get(key) if key is not None else None
        if told is None or self._clock.monotonic() - told.cache_at > MOST_AGE_S:
            return None
        return told.kv_usage

    def close(self) -> None:
        """End the thread; a file or server that hangs is left behind."""
        self._closed = True
        self._wake.set()

    def _due(self, told: _Told) -> bool:
        now = self._clock.monotonic()
        if self.watch_cache and now - told.cache_at >= CACHE_S:
            return True
        return now - told.sought_at >= (EVIDENCE_S if told.evidence.inputs is not None else RETRY_S)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="gpu-tui-prober", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait()
            self._wake.clear()
            with self._lock:
                wanted, self._wanted = self._wanted, {}
                # Only what runs now is worth keeping.
                self._told = {key: told for key, told in self._told.items() if key in wanted or not self._due(told)}
            for key, (snapshot, books) in wanted.items():
                try:
                    told = self._ask(key, snapshot, books)
                except Exception as error:  # noqa: BLE001 - a mistake here must not end the readings
                    self.error = error
                    told = _Told(evidence=Evidence(), sought_at=self._clock.monotonic())
                with self._lock:
                    self._told[key] = told

    def _ask(self, key: _Key, snapshot: Snapshot, books: Books) -> _Told:
        now = self._clock.monotonic()
        told = self._told.get(key)
        lasts = EVIDENCE_S if told is not None and told.evidence.inputs is not None else RETRY_S
        if told is None or now - told.sought_at >= lasts:
            told = _Told(evidence=self._seek(snapshot, books), sought_at=now)
        port = books.chosen.port if books.chosen is not None else None
        if not self.watch_cache or port is None:
            return told
        page = self._get(port, "/metrics")
        shares = [one.kv_usage for one in parse_cache_config(page or "").engines if one.kv_usage is not None]
        return replace(told, kv_usage=max(shares, default=None), cache_at=self._clock.monotonic())


def _key(snapshot: Snapshot, books: Books) -> _Key | None:
    if not snapshot.here or books.chosen is None:
        return None
    info = snapshot.processes.get(books.chosen.owner_pid)
    return books.chosen.owner_pid, info.started_at if info is not None else None


def _get(port: int, path: str) -> str | None:
    from gpu_tui.telemetry.local_http import get

    return get(port, path)
