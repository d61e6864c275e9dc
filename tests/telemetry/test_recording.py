"""Recordings: what was written is read back; torn, foreign and damaged files are told apart and lose nothing else."""

from __future__ import annotations

import gzip
import json
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_tui.clock import ManualClock
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import ConfigError, GpuTuiError, SourceUnavailable, UsageError
from gpu_tui.telemetry.recording import block_writer
from gpu_tui.telemetry.recording.blocks import HEAD_BYTES, MAGIC, pack_head, unpack_head
from gpu_tui.telemetry.recording.codec import Decoder, Encoder, dump
from gpu_tui.telemetry.recording.events import words
from gpu_tui.telemetry.recording.marks import Kind
from gpu_tui.telemetry.recording.reader import Recording
from gpu_tui.telemetry.recording.replay import ReplaySource
from gpu_tui.telemetry.recording.when import told as told_at
from gpu_tui.telemetry.recording.writer import RecordingWriter
from gpu_tui.view.text import clean
from tests.telemetry.recordings import BEGUN, HEADER, day, masked, real, record, stories

FILES = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def told(path: Path) -> list[Snapshot | str]:
    recording = Recording(path)
    seen = [recording[number] for number in range(len(recording))]
    recording.close()
    return [one.snapshot if one.snapshot is not None else str(one.error) for one in seen]


def wanted(story: list[Snapshot | SourceUnavailable]) -> list[Snapshot | str]:
    return [masked(one) if isinstance(one, Snapshot) else clean(str(one)) for one in story]


@FILES
@given(story=stories())
def test_any_story_is_read_back_with_its_secrets_masked(
    tmp_path: Path, story: list[Snapshot | SourceUnavailable]
) -> None:
    path = tmp_path / "a.rec"
    path.unlink(missing_ok=True)
    assert told(record(path, story)) == wanted(story)


@FILES
@given(story=stories())
def test_a_line_tells_no_more_than_what_changed(story: list[Snapshot | SourceUnavailable]) -> None:
    seen = [one for one in story if isinstance(one, Snapshot)]
    encoder, decoder = Encoder(), Decoder()
    for one in [*seen, *seen[-1:]]:
        line = dump(encoder.snapshot(one, one.taken_at))
        assert decoder.feed(json.loads(line)).snapshot == masked(one)
    if seen:
        assert set(json.loads(line)) == {"at", "mono"}


def test_no_secret_is_in_the_file_and_users_names_are(tmp_path: Path) -> None:
    (one,) = day(1)
    assert isinstance(one, Snapshot)
    pid, info = next(iter(one.processes.items()))
    loud = replace(info, cmdline=("vllm", "serve", "m", "--api-key", "s3cr3t-value"), user="alice")
    text = gzip.decompress(record(tmp_path / "a.rec", [replace(one, processes={pid: loud})]).read_bytes())
    assert b"s3cr3t-value" not in text
    assert b"alice" in text


def test_it_is_json_lines_for_zcat(tmp_path: Path) -> None:
    path = record(tmp_path / "a.rec", day(5))
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert (lines[0]["schema"], lines[0]["type"], lines[0]["host"]) == (1, "gpu-tui recording", "box")
    assert ["full" in line for line in lines[1:]] == [True, False, False, False, False]
    shown = subprocess.run(["gzip", "-dc"], input=path.read_bytes(), capture_output=True, check=True)
    assert (shown.stdout.count(b"\n"), shown.stderr) == (6, b"")


def test_what_a_process_calls_itself_reaches_no_terminal(tmp_path: Path) -> None:
    (one,) = day(1)
    assert isinstance(one, Snapshot)
    pid, info = next(iter(one.processes.items()))
    table = {pid: replace(info, name="\x1b[31m\udcff‮x", cmdline=("\x07" * 9,))}
    text = gzip.decompress(record(tmp_path / "a.rec", [replace(one, processes=table)]).read_bytes())
    assert all(byte == 10 or 32 <= byte < 127 for byte in text)


def test_a_file_cut_at_any_byte_keeps_every_line_before(tmp_path: Path) -> None:
    whole = record(tmp_path / "a.rec", day(700), end=False).read_bytes()
    blocks = [i for i in range(len(whole)) if whole.startswith(MAGIC, i)]
    assert len(blocks) == 3
    cut, last = tmp_path / "cut.rec", blocks[-1]
    counts = []
    for size in range(last, len(whole) + 1, 7 if len(whole) - last > 3000 else 1):
        cut.write_bytes(whole[:size])
        recording = Recording(cut)
        counts.append(len(recording))
        assert bool(recording.notes) == (size > last)
        assert recording[len(recording) - 1].at == BEGUN + len(recording) - 1
        recording.close()
    assert counts == sorted(counts)
    assert counts[0] == 602
    assert counts[-1] in (699, 700)


def test_every_line_is_in_the_file_as_soon_as_it_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    writer = RecordingWriter(path, HEADER)
    for count, one in enumerate(day(4), start=1):
        assert isinstance(one, Snapshot)
        writer.snapshot(one)
        recording = Recording(path)
        assert (len(recording), recording.writing, recording.notes) == (count, True, [])
        recording.close()
    writer.close()


def test_a_recording_goes_on_behind_a_torn_one(tmp_path: Path) -> None:
    story = day(20)
    path = record(tmp_path / "a.rec", story[:9], end=False)
    path.write_bytes(path.read_bytes()[:-8])
    notes: list[str] = []
    record(path, story[10:], note=notes.append)
    assert told(path) == wanted(story[:8] + story[10:])
    assert len(notes) == 1
    assert "half a line" in notes[0]
    assert gzip.decompress(path.read_bytes()).count(b'"schema"') == 2


def test_a_damaged_block_is_told_and_the_rest_stands(tmp_path: Path) -> None:
    path = record(tmp_path / "a.rec", day(700))
    data = bytearray(path.read_bytes())
    data[HEAD_BYTES + 900] ^= 0xFF
    path.write_bytes(data)
    recording = Recording(path)
    error = recording[5].error
    assert error is not None
    assert "damaged" in str(error)
    assert "damaged" in recording.notes[0]
    assert recording[650].snapshot is not None
    recording.close()


def test_a_broken_head_costs_its_block_alone(tmp_path: Path) -> None:
    path = record(tmp_path / "a.rec", day(700))
    data = bytearray(path.read_bytes())
    data[3] = 0xFF
    second = data.find(MAGIC, 10)
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="not a recording"):
        Recording(path)
    data[3] = 4
    data[second + 20 : second + 24] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    recording = Recording(path)
    assert len(recording) == 301 + 98
    assert len(recording.notes) == 1
    recording.close()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b"hello\n", "not a recording"),
        (gzip.compress(b'{"schema":1}\n'), "not a recording"),
        (MAGIC[:9], "holds no observation"),
        (pack_head(replace(unpack_head(MAGIC.ljust(HEAD_BYTES, b"\0")), schema=2)), "schema 2"),  # type: ignore[type-var]
        (MAGIC + b"\xff" * 4000, "schema 255"),
        (MAGIC + b"\x01" + b"\0" * 4000, "holds no observation"),
    ],
)
def test_what_is_no_recording_is_refused_in_a_sentence(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "a.rec"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=why):
        Recording(path)


def test_a_newer_schema_in_the_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    fd = path.open("wb+")
    writer = block_writer.BlockWriter(fd.fileno(), 0)
    writer.begin(b'{"schema":2,"type":"gpu-tui recording","gpu_tui":"9.9"}\n')
    fd.close()
    with pytest.raises(ConfigError, match=r"written by gpu-tui 9\.9 with schema 2, and this gpu-tui reads up to 1"):
        Recording(path)
    with pytest.raises(UsageError, match="schema 2"):
        RecordingWriter(path, HEADER)


@pytest.mark.parametrize("path", ["/", "/dev/zero", "nowhere/x.rec", "a\0b"])
def test_what_is_no_file_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Recording(tmp_path / path)


def test_a_huge_line_is_read_back(tmp_path: Path) -> None:
    (one,) = day(1)
    assert isinstance(one, Snapshot)
    pid, info = next(iter(one.processes.items()))
    story: list[Snapshot | SourceUnavailable] = [
        replace(one, processes={pid: replace(info, cmdline=("x" * 3_000_000,))})
    ]
    assert told(record(tmp_path / "a.rec", story)) == wanted(story)


@FILES
@given(st.lists(st.integers(0, 1299), min_size=1, max_size=6))
def test_a_seek_shows_what_a_read_from_the_beginning_shows(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "seek.rec"
    if not path.exists():
        record(path, day(1300))
    linear = Recording(path)
    seen = [linear[number] for number in range(len(linear))]
    linear.close()
    sought = Recording(path)
    for number in numbers:
        assert sought[number] == seen[number]
        assert sought.at_axis(BEGUN + number + 0.5) == number
        assert sought.at_wall(BEGUN + number) == number
    sought.close()


def test_a_second_recorder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    first = RecordingWriter(path, HEADER)
    with pytest.raises(UsageError, match="by another gpu-tui"):
        RecordingWriter(path, HEADER)
    first.close()
    RecordingWriter(path, HEADER).close()


def test_another_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine\n")
    with pytest.raises(UsageError, match="not a recording"):
        RecordingWriter(path, HEADER)
    assert path.read_text() == "mine\n"


def test_full_files_are_set_aside_and_replayed_as_one(tmp_path: Path) -> None:
    path = record(tmp_path / "a.rec", day(1600), max_bytes=1, keep=2)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.rec", "a.rec.1", "a.rec.2"]
    assert [one.taken_at - BEGUN for one in told(path) if isinstance(one, Snapshot)][:: 10**6] == [903]
    assert len(told(path)) == 1600 - 903


def test_a_recording_is_nobody_elses_business(tmp_path: Path) -> None:
    assert record(tmp_path / "a.rec", day(1)).stat().st_mode & 0o777 == 0o600


_FULL = """
import resource, signal, sys
from pathlib import Path
from gpu_tui.telemetry.recording.writer import RecordingFailed, RecordingWriter
from tests.telemetry.recordings import HEADER, day
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
writer = RecordingWriter(Path(sys.argv[1]), HEADER)
count = 0
try:
    for one in day(300):
        writer.snapshot(one)
        count += 1
except RecordingFailed as error:
    print(count, error)
writer.close()
"""


def test_a_full_disk_ends_it_with_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    done = subprocess.run([sys.executable, "-c", _FULL, str(path)], capture_output=True, text=True, check=True)
    count, _, words = done.stdout.partition(" ")
    assert words.startswith("The recording has ended: ")
    assert told(path) == wanted(day(int(count)))
    recording = Recording(path)
    assert "half a line" not in recording.notes[0]
    recording.close()
    assert int(count) > 10


def test_a_clock_that_is_set_and_a_gap_are_marked(tmp_path: Path) -> None:
    story = [one for one in day(60) if isinstance(one, Snapshot)]
    gap = [replace(one, taken_at=one.taken_at + 100, taken_monotonic=one.taken_monotonic + 100) for one in story[20:30]]
    back = [
        replace(one, taken_at=one.taken_at - 500, taken_monotonic=one.taken_monotonic + 100) for one in story[30:40]
    ]
    reboot = [replace(one, taken_at=one.taken_at - 900, taken_monotonic=one.taken_monotonic - 40) for one in story[40:]]
    recording = Recording(record(tmp_path / "a.rec", [*story[:20], *gap, *back, *reboot]))
    marks = {mark.number: mark.kinds for mark in recording.marks()}
    assert marks[20] & Kind.GAP
    assert marks[30] & Kind.CLOCK
    assert marks[40] & Kind.CLOCK
    assert not any(kinds & Kind.CLOCK for number, kinds in marks.items() if number not in (30, 40))
    axis = [recording[number].t for number in range(len(recording))]
    assert axis == sorted(axis)
    assert recording[30].at == story[30].taken_at - 500
    recording.close()


def test_a_gap_between_two_recordings_is_marked(tmp_path: Path) -> None:
    story = day(60)
    path = record(record(tmp_path / "a.rec", story[:10]), story[50:])
    recording = Recording(path)
    assert recording.gaps() == [(BEGUN + 9, BEGUN + 50)]
    assert [mark.number for mark in recording.marks() if mark.kinds & Kind.GAP] == [10]
    recording.close()


def test_memory_processes_and_faults_are_marked(tmp_path: Path) -> None:
    (one,) = real(day(1))
    assert isinstance(one, Snapshot)
    gpu = one.gpus[0]
    first, *others = gpu.processes or ()
    assert first.used_bytes is not None
    grown = replace(gpu, processes=(replace(first, used_bytes=first.used_bytes + (300 << 20)), *others))
    jitter = replace(gpu, processes=(replace(first, used_bytes=first.used_bytes + (2 << 20)), *others))
    gone = replace(gpu, processes=tuple(others))
    machines = [gpu, gpu, grown, grown, jitter, gone, gone]
    story: list[Snapshot | SourceUnavailable] = [
        replace(one, gpus=(each,), taken_at=BEGUN + 20 * i, taken_monotonic=20.0 * i) for i, each in enumerate(machines)
    ]
    path = record(tmp_path / "a.rec", story, header=replace(HEADER, interval_s=20.0))
    writer = RecordingWriter(path, replace(HEADER, interval_s=20.0))
    writer.error(SourceUnavailable("Lost.", kind="gpu_lost"), BEGUN + 140, 140.0)
    writer.close()
    recording = Recording(path)
    assert [(mark.number, mark.kinds) for mark in recording.marks()] == [
        (2, Kind.MEMORY),
        (4, Kind.MEMORY),
        (5, Kind.PROCESSES),
        (7, Kind.FAULT),
    ]
    recording.close()


def test_many_events_end_a_block_early_so_that_none_is_lost(tmp_path: Path) -> None:
    (one,) = real(day(1))
    assert isinstance(one, Snapshot)
    gpu = one.gpus[0]
    story: list[Snapshot | SourceUnavailable] = [
        replace(
            one,
            gpus=(replace(gpu, processes=(gpu.processes or ())[i % 2 :]),),
            taken_at=BEGUN + i,
            taken_monotonic=float(i),
        )
        for i in range(250)
    ]
    recording = Recording(record(tmp_path / "a.rec", story))
    assert [mark.number for mark in recording.marks()] == list(range(1, 250))
    recording.close()


def test_a_recorder_that_fails_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    path.write_text("mine")
    for _ in range(2):
        with pytest.raises(UsageError, match="not a recording"):
            RecordingWriter(path, HEADER)


def test_closing_twice_and_recording_after_is_harmless(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "a.rec", HEADER)
    (one,) = day(1)
    assert isinstance(one, Snapshot)
    writer.snapshot(one)
    writer.close()
    writer.close()
    writer.snapshot(one)
    assert writer.progress.observations == 1


def test_a_closed_recording_says_so(tmp_path: Path) -> None:
    recording = Recording(record(tmp_path / "a.rec", day(700)))
    recording.close()
    with pytest.raises(GpuTuiError, match="closed"):
        recording[0]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_a_file_with_any_bytes_changed_never_ends_in_a_mistake(tmp_path: Path, data: st.DataObject) -> None:
    whole = tmp_path / "whole.rec"
    if not whole.exists():
        record(record(whole, day(40)), day(50)[45:], end=False)
    broken = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(broken) - 1))
        broken[place : place + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    path = tmp_path / "broken.rec"
    path.write_bytes(broken)
    try:
        recording = Recording(path)
    except ConfigError:
        return
    try:
        for number in range(min(len(recording), 200)):
            one = recording[number]
            assert (one.snapshot is None) != (one.error is None)
        recording.at_wall(BEGUN)
        recording.at_axis(recording.span[1])
        source = ReplaySource(recording, ManualClock())
        assert [told_at(at) for at in recording.wall_span]
        assert all(words(recording, mark, Classifier()) for mark in source.marks)
        recording.gaps()
    finally:
        recording.close()
    writer = RecordingWriter(path, HEADER)
    (seen,) = day(1)
    assert isinstance(seen, Snapshot)
    writer.snapshot(seen)
    writer.close()


@pytest.mark.parametrize("field", range(4))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e300])
def test_a_head_with_an_impossible_time_is_damaged(tmp_path: Path, field: int, value: float) -> None:
    path = record(tmp_path / "a.rec", day(700))
    data = bytearray(path.read_bytes())
    place = data.find(MAGIC, 10) + len(MAGIC) + 9 + 8 * field
    data[place : place + 8] = struct.pack("<d", value)
    path.write_bytes(data)
    recording = Recording(path)
    assert len(recording) == 301 + 98
    assert "damaged at byte" in recording.notes[0]
    recording.close()
