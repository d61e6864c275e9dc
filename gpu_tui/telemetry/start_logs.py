"""Finds the start-up log of a running vLLM server and reads it, wherever its output goes.

In this order: a path the user gives; a file that is the server's standard output or error; its container's log (docker,
podman, Kubernetes); its systemd unit's journal. Whatever cannot be read is told, and the next is tried.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gpu_tui.clock import Clock, SystemClock
from gpu_tui.core.log_text import lines_of
from gpu_tui.core.start_log import parse_start_log
from gpu_tui.core.start_values import Phase, StartLog
from gpu_tui.telemetry.cgroups import Keeper, keeper
from gpu_tui.telemetry.journal_reader import JournalRunner, run_bounded
from gpu_tui.telemetry.log_reader import START, read_log
from gpu_tui.view.text import clean

SECONDS = 5.0
"""For one search through all sources."""
_JOURNAL_LINES = 20_000
"""Asked for when the start's time is unknown."""
_EARLIER = 5
"""Seconds before the process's start from which the journal is asked: its wrapper may have logged first."""
_REMEDY = "Give the log's path, or run gpu-tui as a user who may read it."


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLog:
    """The start of one server, and where it was read; or what was missing."""

    log: StartLog | None = None
    source: str | None = None
    """In words: ``log file /var/log/vllm.log``, ``journald unit vllm.service``, ``docker container 0123456789ab``."""
    age_s: float | None = None
    """Seconds since the file was last written to; None for the journal, which does not say."""
    missing: tuple[str, ...] = ()
    """What was looked for and did not help, a sentence each, in the order tried."""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A file that may hold the log: `path` is opened, `source` is told."""

    path: Path
    source: str
    rotated: Path | None = None
    """Where its beginning went when the log was rotated."""


class StartLogs:
    """A machine's logs. Everything is read when `find` is called, and nothing is kept."""

    def __init__(
        self,
        *,
        root: Path = Path("/"),
        home: Path | None = None,
        clock: Clock | None = None,
        journal: JournalRunner = run_bounded,
    ) -> None:
        """Look below `root`, and in `home` for a user's own containers (None: this user's)."""
        self._root = root
        self._home = home
        self._clock = clock if clock is not None else SystemClock()
        self._journal = journal

    def find(
        self,
        pids: Sequence[int],
        *,
        path: Path | None = None,
        started_at: float | None = None,
        who: Keeper | None = None,
    ) -> FoundLog:
        """The last start that a server's log tells of.

        Args:
            pids: the server's pid first, then those of its engine and workers.
            path: where the user says it is; nothing else is looked at then.
            started_at: when the server was started, in seconds since the epoch.
            who: its unit or container, of a server that is gone; None: found by the pids.
        """
        deadline = self._clock.monotonic() + SECONDS

        def out_of_time() -> bool:
            return self._clock.monotonic() >= deadline

        missing: list[str] = []
        if path is not None:
            place = _Place(path=path, source=f"log file {clean(str(path))}", rotated=_rotated(path))
            found = self._file(place, missing, out_of_time)
            return replace(found or FoundLog(remedy=_REMEDY), missing=tuple(missing))
        found = self._anywhere(pids, who or self._keeper(pids), started_at, missing, out_of_time)
        if found is None:
            found = FoundLog(remedy=_REMEDY)
        return replace(found, missing=tuple(dict.fromkeys(missing)))

    def _anywhere(
        self,
        pids: Sequence[int],
        who: Keeper,
        started_at: float | None,
        missing: list[str],
        out_of_time: Callable[[], bool],
    ) -> FoundLog | None:
        outputs = self._outputs(pids)
        if not outputs:
            missing.append("The server's standard output and error are no files that can be read.")
        for place in (*outputs, *self._container_logs(who, missing)):
            if out_of_time():
                missing.append(f"Looking took longer than {SECONDS:.0f} s and was given up.")
                return None
            found = self._file(place, missing, out_of_time)
            if found is not None:
                return found
        return self._from_journal(who, started_at, missing)

    def _file(self, place: _Place, missing: list[str], out_of_time: Callable[[], bool]) -> FoundLog | None:
        try:
            read = read_log(place.path, out_of_time)
        except OSError as error:
            missing.append(f"The {place.source} cannot be read: {error.strerror or 'it is no regular file'}.")
            return None
        log = parse_start_log(lines_of(read.text))
        if not _tells(log):
            missing.append(f"The {place.source} holds no start of vLLM.")
            if place.rotated is None or not os.access(place.rotated, os.R_OK):
                return None
            return self._file(_Place(path=place.rotated, source=f"{place.source}.1"), missing, out_of_time)
        return FoundLog(log=log, source=place.source, age_s=max(0.0, self._clock.wall() - read.modified_at))

    def _outputs(self, pids: Sequence[int]) -> tuple[_Place, ...]:
        """Regular files among the processes' standard outputs, each once.

        They are opened through /proc, which also reaches a file that was renamed or deleted, or is in a container.
        """
        found: dict[tuple[int, int], _Place] = {}
        for pid in pids:
            for descriptor in ("1", "2"):
                path = self._root / "proc" / str(pid) / "fd" / descriptor
                try:
                    status, name = path.stat(), os.readlink(path)  # noqa: PTH115 - the link may name no path
                except OSError:
                    continue
                if stat.S_ISREG(status.st_mode):
                    place = _Place(path=path, source=f"log file {clean(name)}", rotated=_rotated(Path(name)))
                    found.setdefault((status.st_dev, status.st_ino), place)
        return tuple(found.values())

    def _keeper(self, pids: Sequence[int]) -> Keeper:
        for pid in pids:
            try:
                with (self._root / "proc" / str(pid) / "cgroup").open(encoding="utf-8", errors="replace") as file:
                    found = keeper(file.read(65536))
            except OSError:
                continue
            if found != Keeper():
                return found
        return Keeper()

    def _container_logs(self, who: Keeper, missing: list[str]) -> Iterator[_Place]:
        if who.container is None:
            return
        name = who.container[:12]
        docker = self._root / "var/lib/docker/containers" / who.container / f"{who.container}-json.log"
        if self._exists(docker, f"docker's log of container {name}", missing):
            yield _Place(path=docker, source=f"docker container {name}", rotated=_rotated(docker))
        for storage in self._podman_storages():
            path = storage / who.container / "userdata/ctr.log"
            if self._exists(path, f"podman's log of container {name}", missing):
                yield _Place(path=path, source=f"podman container {name}")
        for path in self._pod_logs(who):
            yield _Place(path=path, source=f"Kubernetes log {clean(path.name)}")

    def _podman_storages(self) -> tuple[Path, ...]:
        system = self._root / "var/lib/containers/storage/overlay-containers"
        try:
            home = self._home if self._home is not None else Path.home()
        except RuntimeError:  # a user without a home, as in a container
            return (system,)
        return (system, home / ".local/share/containers/storage/overlay-containers")

    def _pod_logs(self, who: Keeper) -> Iterator[Path]:
        yield from sorted((self._root / "var/log/containers").glob(f"*-{who.container}.log"))
        if who.pod is not None:
            logs = (self._root / "var/log/pods").glob(f"*_{who.pod}/*/*.log")
            yield from sorted(logs, key=lambda path: path.stat().st_mtime if path.exists() else 0.0, reverse=True)

    def _exists(self, path: Path, what: str, missing: list[str]) -> bool:
        try:
            path.stat()
        except PermissionError:
            missing.append(f"This user may not read {what}.")
            return False
        except OSError:
            return False
        return True

    def _from_journal(self, who: Keeper, started_at: float | None, missing: list[str]) -> FoundLog | None:
        chosen = _journal_match(who)
        if chosen is None:
            missing.append("The server is no systemd unit and in no container that is known here.")
            return None
        match, source = chosen
        when = f"--lines={_JOURNAL_LINES}" if started_at is None else f"--since=@{started_at - _EARLIER:.0f}"
        # With stamps, so that the phases of the start have times.
        command = ("journalctl", match, when, "--output=short-iso", "--no-pager", "--quiet", "--all")
        try:
            data = self._journal(command, seconds=SECONDS, most_bytes=START)
        except OSError as error:
            missing.append(f"journalctl cannot be run: {error.strerror or error}.")
            return None
        log = parse_start_log(lines_of(data.decode("utf-8", "replace")))
        if not _tells(log):
            missing.append(f"The {source} holds no start of vLLM that this user may read.")
            return None
        return FoundLog(log=log, source=source)


def _journal_match(who: Keeper) -> tuple[str, str] | None:
    """journalctl's argument, and the source in words."""
    if who.container is not None:
        # docker's journald driver.
        return f"CONTAINER_ID_FULL={who.container}", f"journal of container {who.container[:12]}"
    if who.unit is None:
        return None
    option = "--unit" if who.user is None else "--user-unit"
    return f"{option}={who.unit}", f"journald {'unit' if who.user is None else 'user unit'} {clean(who.unit)}"


def _rotated(path: Path) -> Path:
    """The name logrotate and docker give to what was written before."""
    return path.with_name(path.name + ".1") if path.name else path


def _tells(log: StartLog) -> bool:
    """Whether a start was read, and not only that something serves (any uvicorn says so)."""
    beyond = [one for one in log.phases if one.phase is not Phase.SERVING]
    return bool(beyond or log.ranks or log.failures or log.version)
