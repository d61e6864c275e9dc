"""The process table on real processes: who they are, what changes, and what is not read twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_tui.clock import ManualClock, SystemClock
from gpu_tui.core.snapshot import ProcessInfo
from gpu_tui.telemetry.exits import ExitWatch
from gpu_tui.telemetry.processes import ProcessTable, clean_argv, full_name
from gpu_tui.telemetry.procfs import NotReadable, parse_stat
from tests.standin import Sleepers

ABSENT = 2**22 - 1
"""PID_MAX_LIMIT - 1: a pid that no test machine has reached."""


class StepClock(SystemClock):
    """The real wall time, with a monotonic time that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ahead = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return super().wall() + self.ahead

    def wait(self, seconds: float, wake: threading.Event) -> bool:
        raise AssertionError("nothing waits here")


@pytest.fixture(params=["watched", "unwatched"])
def table(request: pytest.FixtureRequest) -> Iterator[ProcessTable]:
    """Both ways of noticing that a process ended must tell the same."""
    watch = ExitWatch() if request.param == "watched" else ExitWatch(limit=0)
    made = ProcessTable(StepClock(), watch=watch)
    yield made
    made.close()


def test_an_engine_and_its_server(table: ProcessTable, sleepers: Sleepers) -> None:
    vllm = sleepers.vllm(port=8123)
    rows = table.read([vllm.engine])
    engine, server = rows[vllm.engine], rows[vllm.server]
    assert (engine.name, engine.cmdline, engine.problem) == ("VLLM::EngineCore", ("VLLM::EngineCore",), None)
    assert engine.ppid == vllm.server
    assert server.name == "vllm"
    assert server.cmdline is not None
    assert server.cmdline[1:5] == ("/usr/local/bin/vllm", "serve", "Qwen/Qwen2.5-7B-Instruct-AWQ", "--port")
    assert server.ppid == os.getpid()
    assert os.getpid() in rows


def test_user_and_start_time(table: ProcessTable, sleepers: Sleepers) -> None:
    pid = sleepers.kloros()
    row = table.read([pid])[pid]
    assert row.user
    assert row.started_at == pytest.approx(SystemClock().wall(), abs=30)


def test_an_engine_that_lost_its_server_has_another_parent_at_once(table: ProcessTable, sleepers: Sleepers) -> None:
    vllm = sleepers.vllm()
    table.read([vllm.engine])
    sleepers.kill(vllm.server)
    table.read([vllm.engine])
    rows = table.read([vllm.engine])
    assert rows[vllm.engine].ppid not in (vllm.server, None)
    assert rows[vllm.engine].problem is None
    assert vllm.server not in rows


def test_a_watched_orphan_is_noticed_in_the_same_reading(sleepers: Sleepers) -> None:
    table = ProcessTable(StepClock())
    vllm = sleepers.vllm()
    table.read([vllm.engine])
    sleepers.kill(vllm.server)
    assert table.read([vllm.engine])[vllm.engine].ppid != vllm.server
    table.close()


def test_a_watched_orphan_of_an_unwatched_server_is_noticed_one_reading_later(sleepers: Sleepers) -> None:
    table = ProcessTable(StepClock(), watch=ExitWatch(limit=1))
    vllm = sleepers.vllm()
    table.read([vllm.engine])
    sleepers.kill(vllm.server)
    table.read([vllm.engine])
    assert table.read([vllm.engine])[vllm.engine].ppid != vllm.server
    table.close()


def test_a_server_that_is_a_zombie_is_no_parent(table: ProcessTable, sleepers: Sleepers) -> None:
    vllm = sleepers.vllm()
    table.read([vllm.engine])
    os.kill(vllm.server, signal.SIGKILL)
    os.waitid(os.P_PID, vllm.server, os.WEXITED | os.WNOWAIT)  # ended, and left a zombie
    table.read([vllm.engine])
    assert table.read([vllm.engine])[vllm.engine].ppid != vllm.server


def test_a_process_that_ends_keeps_its_name_while_the_driver_names_it(table: ProcessTable, sleepers: Sleepers) -> None:
    pid = sleepers.kloros()
    table.read([pid])
    sleepers.kill(pid)
    for _ in range(2):
        row = table.read([pid])[pid]
        assert (row.problem, row.name) == ("gone", "python3")
        assert row.cmdline == ("/usr/bin/python3", "-m", "kloros_voice")
    assert table.read([]) == {}
    assert table.read([pid])[pid] == ProcessInfo(pid=pid, name=None, cmdline=None, problem="gone")


def test_a_zombie_says_so(table: ProcessTable, sleepers: Sleepers) -> None:
    started = sleepers.start(["/usr/local/bin/ollama", "serve"], forks=1, zombies=True)
    (pid,) = started.forks
    table.read([pid])
    sleepers.kill(pid)
    row = table.read([pid])[pid]
    assert (row.problem, row.name, row.ppid) == ("zombie", "ollama", started.pid)


def test_a_zombie_seen_for_the_first_time(table: ProcessTable, sleepers: Sleepers) -> None:
    (pid,) = sleepers.start(["/usr/local/bin/ollama", "serve"], forks=1, zombies=True).forks
    sleepers.kill(pid)
    row = table.read([pid])[pid]
    assert (row.problem, row.name, row.cmdline) == ("zombie", "ollama", None)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("pid", [ABSENT, 2**32 - 1, 0])
def test_a_pid_that_does_not_exist_is_a_row(pid: int, *, own: bool) -> None:
    table = ProcessTable(ManualClock(), own_namespace=own)
    problem = "gone" if own else "not in this pid namespace"
    assert table.read([pid]) == {pid: ProcessInfo(pid=pid, name=None, cmdline=None, problem=problem)}


def test_a_steady_reading_reads_no_process_again(table: ProcessTable, sleepers: Sleepers) -> None:
    pids = sleepers.crowd(50)
    first = table.read(pids)
    before = table.full_reads
    for _ in range(5):
        again = table.read(pids)
    assert table.full_reads == before
    assert all(again[pid] is first[pid] for pid in pids)


def test_a_new_title_of_a_young_process_is_seen_within_seconds(table: ProcessTable, sleepers: Sleepers) -> None:
    title = "VLLM::EngineCore_DP0"
    started = sleepers.start(["VLLM::EngineCore", "and a long command line behind it"], rename=title)
    assert table.read([started.pid])[started.pid].name == "VLLM::EngineCore"
    sleepers.rename(started)
    clock: StepClock = table._clock  # type: ignore[assignment]
    clock.now += 2.0
    row = table.read([started.pid])[started.pid]
    assert (row.name, row.cmdline) == (title, (title,))


def test_a_new_title_of_an_old_process_is_seen_in_turn(sleepers: Sleepers) -> None:
    clock = StepClock()
    table = ProcessTable(clock)
    started = sleepers.start(["VLLM::Worker", "and a long command line behind it"], rename="VLLM::Worker_TP0")
    clock.ahead = 3600.0
    table.read([started.pid])
    sleepers.rename(started)
    clock.now += 2.0
    for _ in range(20):  # 4 rows a reading; the ancestors take their turn too
        name = table.read([started.pid])[started.pid].name
    assert name == "VLLM::Worker_TP0"
    table.close()


def test_old_rows_take_turns(sleepers: Sleepers) -> None:
    clock = StepClock()
    clock.ahead = 3600.0
    table = ProcessTable(clock)
    pids = sleepers.crowd(60)
    table.read(pids)
    clock.now += 2.0
    for _ in range(10):
        table.read(pids)
        clock.now += 1.0
    for _ in range(20):  # every row has had a turn by now, so that each is compared with a turn before
        table.read(pids)
    rechecks, full_reads = table.rechecks, table.full_reads
    table.read(pids)
    assert (table.rechecks - rechecks, table.full_reads - full_reads) == (4, 0)
    table.close()


def test_changed_name_is_seen_at_once_where_the_stat_line_is_read(sleepers: Sleepers) -> None:
    table = ProcessTable(StepClock(), watch=ExitWatch(limit=0))
    started = sleepers.start(["python3", "-m", "something.long.enough"], rename="VLLM::Worker")
    table.read([started.pid])
    sleepers.rename(started)
    assert table.read([started.pid])[started.pid].name == "VLLM::Worker"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_descriptors_are_given_back(sleepers: Sleepers) -> None:
    before = open_files()
    table = ProcessTable(StepClock())
    pids = sleepers.crowd(20)
    table.read(pids)
    assert open_files() > before + 20
    table.read([])
    assert open_files() <= before + 4  # sleepers' own pipes and the epoll
    table.close()


def test_argv_is_trimmed_and_printable() -> None:
    assert clean_argv(["VLLM::EngineCore", "", "", ""]) == ("VLLM::EngineCore",)
    assert clean_argv(["vllm", "", "serve", ""]) == ("vllm", "", "serve")
    assert clean_argv([]) == ()
    assert clean_argv(["caf\udcc3"]) == ("caf�",)


@pytest.mark.parametrize(
    ("comm", "argv", "name"),
    [
        ("VLLM::EngineCor", ("VLLM::EngineCore",), "VLLM::EngineCore"),
        ("gnome-keyring-d", ("/usr/bin/gnome-keyring-daemon", "-d"), "gnome-keyring-daemon"),
        ("VLLM::EngineCor", ("/usr/bin/python3",), "VLLM::EngineCor"),
        ("python3", ("python3.11",), "python3"),
        ("VLLM::EngineCor", None, "VLLM::EngineCor"),
    ],
)
def test_full_name(comm: str, argv: tuple[str, ...] | None, name: str) -> None:
    assert full_name(comm, argv) == name


def test_stat_line_with_brackets_in_the_name() -> None:
    fields = " ".join(str(number) for number in range(5, 40))
    stat = parse_stat(f"12 (a) b (c) S 4 {fields}".encode())
    assert (stat.comm, stat.state, stat.ppid, stat.start_ticks) == ("a) b (c", "S", 4, 22)


@pytest.mark.parametrize("line", [b"", b"12 (a", b"12 (a) S 4 5"])
def test_a_torn_stat_line_is_a_process_that_ended(line: bytes) -> None:
    with pytest.raises(NotReadable) as caught:
        parse_stat(line)
    assert caught.value.problem == "gone"


HIDDEN = """
import os, sys
from gpu_tui.clock import SystemClock
from gpu_tui.telemetry.processes import ProcessTable
os.setgroups([]); os.setgid(65534); os.setuid(65534)
pid = int(sys.argv[1])
print(ProcessTable(SystemClock()).read([pid])[pid])
"""


def test_a_process_of_another_user_where_proc_hides_those(sleepers: Sleepers) -> None:
    pid = sleepers.kloros()
    hide = ["unshare", "--mount", "sh", "-c", 'mount -t proc -o hidepid=2 proc /proc && exec "$0" "$@"']
    if not shutil.which("unshare") or subprocess.run([*hide, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    done = subprocess.run([*hide, sys.executable, "-c", HIDDEN, str(pid)], capture_output=True, text=True, check=True)
    row = ProcessInfo(pid=pid, name=None, cmdline=None, problem="permission denied")
    assert done.stdout.strip() == repr(row)
