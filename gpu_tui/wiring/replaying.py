"""Recordings for the commands: one opened at a time of the user's, and a recorder with what it says of itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from gpu_tui import __version__
from gpu_tui.clock import Clock
from gpu_tui.ports import TelemetrySource
from gpu_tui.telemetry.recording import when
from gpu_tui.telemetry.recording.header import Header
from gpu_tui.telemetry.recording.reader import Recording
from gpu_tui.telemetry.recording.replay import ReplaySource
from gpu_tui.telemetry.recording.writer import KEEP, MAX_BYTES, RecordingWriter

SUFFIX = ".rec"


def open_replay(text: str, clock: Clock, *, playing: bool = False) -> ReplaySource:
    """A recording at ``FILE[@TIME]``.

    Args:
        text: as typed. Without a time its end; where it is to play, its beginning.
        clock: by which it plays.
        playing: play at once where no time is given.

    Raises:
        ConfigError: the file cannot be read, is no recording, or is of a newer gpu-tui.
        UsageError: the time means nothing, or is outside of it.
    """
    path, time = when.split(text)
    recording = Recording(path)
    try:
        number = when.instant(recording, time if time is not None else "start" if playing else "end")
        return ReplaySource(recording, clock, number, playing=playing and time is None)
    except BaseException:
        recording.close()
        raise


def replay_notes(source: TelemetrySource) -> list[str]:
    """What to say before a recording is asked: of when the answer is, and what is wrong with the file."""
    if not isinstance(source, ReplaySource):
        return []
    recording, position = source.recording, source.position()
    host = f" of {recording.header.host}" if recording.header.host is not None else ""
    first = f"REPLAY: {recording.path.name}{host} as of {when.told(position.at)}, not the machine now."
    return [first, *recording.notes]


def recordings_folder() -> Path:
    """Where the explorer puts recordings unless told otherwise: the user's state folder."""
    from platformdirs import user_state_path

    return user_state_path("gpu-tui") / "recordings"


def default_recording(clock: Clock) -> Path:
    """A name for a recording that begins now."""
    stamp = when.told(clock.wall()).replace(" ", "-").replace(":", "")
    return recordings_folder() / f"{os.uname().nodename}-{stamp}{SUFFIX}"


def open_recorder(
    path: Path,
    clock: Clock,
    *,
    interval_s: float,
    host: bool = True,
    max_bytes: int = MAX_BYTES,
    keep: int = KEEP,
    note: Callable[[str], None] | None = None,
) -> RecordingWriter:
    """A recorder into a file; goes on with a recording that is there.

    Raises:
        ConfigError: it cannot be written.
        UsageError: it is something else than a recording, or another recorder has it.
    """
    header = Header(
        version=__version__,
        interval_s=interval_s,
        started_at=clock.wall(),
        host=os.uname().nodename if host else None,
    )
    return RecordingWriter(path.expanduser(), header, max_bytes=max_bytes, keep=keep, note=note)
