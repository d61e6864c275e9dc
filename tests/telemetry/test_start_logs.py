"""Where a server's start-up log is found, on a machine laid out in a folder, and that reading it is bounded."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.clock import ManualClock, SystemClock
from gpu_tui.core.log_text import lines_of
from gpu_tui.core.start_log import GAP, parse_start_log
from gpu_tui.telemetry import log_reader
from gpu_tui.telemetry.cgroups import Keeper, keeper
from gpu_tui.telemetry.journal_reader import run_bounded
from gpu_tui.telemetry.log_reader import read_log
from gpu_tui.telemetry.start_logs import FoundLog, StartLogs

START = (
    "(APIServer pid=1) INFO 11-23 20:00:00 [api_server.py:1] vLLM API server version 0.14.1\n"
    "(EngineCore pid=2) INFO 11-23 20:00:09 [core.py:96] Initializing a V1 LLM engine (v0.14.1) with config: x=1\n"
    "(EngineCore pid=2) INFO 11-23 20:00:19 [gpu_worker.py:375] Available KV cache memory: 6.9 GiB\n"
    "(APIServer pid=1) INFO:     Application startup complete.\n"
)
HEX = "0123456789ab" + "c" * 52
DOCKER = f"var/lib/docker/containers/{HEX}/{HEX}-json.log"
PID = 4242


class Journal:
    """Stands for journalctl: says the same to every question, and keeps the questions."""

    def __init__(self, says: str | OSError = "") -> None:
        self.says = says
        self.asked: list[Sequence[str]] = []

    def __call__(self, command: Sequence[str], *, seconds: float, most_bytes: int) -> bytes:
        self.asked.append(command)
        if isinstance(self.says, OSError):
            raise self.says
        return self.says.encode()[:most_bytes]


class Machine:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = ManualClock()
        self.journal = Journal()
        (root / "home").mkdir()

    def put(self, path: str, text: str = START, age_s: float = 0) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        os.utime(file, (self.clock.wall() - age_s,) * 2)
        return file

    def output(self, target: Path | str, pid: int = PID, descriptor: int = 1) -> None:
        link = self.root / "proc" / str(pid) / "fd" / str(descriptor)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)

    def cgroup(self, path: str, pid: int = PID) -> None:
        self.put(f"proc/{pid}/cgroup", f"0::{path}\n")

    def find(self, pids: Sequence[int] = (PID,), **how: object) -> FoundLog:
        logs = StartLogs(root=self.root, home=self.root / "home", clock=self.clock, journal=self.journal)
        return logs.find(pids, **how)  # type: ignore[arg-type]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def kv_gib(found: FoundLog) -> float | None:
    kv = found.log.available_kv if found.log else None
    return None if kv is None else round(kv.size_bytes / 2**30, 2)


def test_a_path_of_the_users_is_read_and_nothing_else(machine: Machine) -> None:
    path = machine.put("somewhere/vllm.log", age_s=90)
    machine.output(machine.put("other.log", START.replace("6.9", "1.1")))
    found = machine.find(path=path)
    assert (kv_gib(found), found.source, found.age_s) == (6.9, f"log file {path}", 90)
    assert found.missing == ()
    assert machine.journal.asked == []


@pytest.mark.parametrize("kind", ["absent", "folder", "fifo", "unreadable", "empty"])
def test_a_path_that_cannot_be_read_is_told_and_waited_for_by_nobody(machine: Machine, kind: str) -> None:
    path = machine.root / "x"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind in ("unreadable", "empty"):
        machine.put("x", START if kind == "unreadable" else "")
        if kind == "unreadable":
            path.chmod(0)
    if kind == "unreadable" and os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    found = machine.find(path=path)
    assert (found.log, found.source) == (None, None)
    assert len(found.missing) == 1
    assert str(path) in found.missing[0]
    assert found.remedy


@pytest.mark.parametrize("descriptor", [1, 2])
def test_a_file_that_is_the_servers_output(machine: Machine, descriptor: int) -> None:
    machine.output("pipe:[4711]", descriptor=3 - descriptor)
    machine.output(machine.put("var/log/vllm.log", age_s=7), descriptor=descriptor)
    found = machine.find()
    assert (kv_gib(found), found.age_s) == (6.9, 7)
    assert found.source == f"log file {machine.root}/var/log/vllm.log"


def test_an_output_without_a_start_does_not_end_the_search(machine: Machine) -> None:
    machine.output(machine.put("var/log/wrapper.log", "INFO:     Application startup complete.\nhello\n"))
    machine.output(machine.put("var/log/engine.log"), pid=77)
    found = machine.find((PID, 77))
    assert found.source == f"log file {machine.root}/var/log/engine.log"
    assert found.missing == (f"The log file {machine.root}/var/log/wrapper.log holds no start of vLLM.",)


def test_a_rotated_log_is_read_where_its_beginning_went(machine: Machine) -> None:
    name = machine.put("var/log/vllm.log", NOISE)
    machine.output(name)
    assert machine.find().log is None
    machine.put("var/log/vllm.log.1", age_s=3600)
    found = machine.find()
    assert (kv_gib(found), found.source, found.age_s) == (6.9, f"log file {name}.1", 3600)
    assert machine.find(path=name).source == f"log file {name}.1"


@pytest.mark.parametrize(
    ("cgroup", "path", "source"),
    [
        (f"/system.slice/docker-{HEX}.scope", DOCKER, "docker container 0123456789ab"),
        (f"/docker/{HEX}", DOCKER, "docker container 0123456789ab"),
        (
            f"/machine.slice/libpod-{HEX}.scope/container",
            f"var/lib/containers/storage/overlay-containers/{HEX}/userdata/ctr.log",
            "podman container 0123456789ab",
        ),
        (
            f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{HEX}.scope",
            f"home/.local/share/containers/storage/overlay-containers/{HEX}/userdata/ctr.log",
            "podman container 0123456789ab",
        ),
        (
            f"/kubepods.slice/kubepods-pod0a1b2c3d_0000_1111_2222_333344445555.slice/cri-containerd-{HEX}.scope",
            f"var/log/containers/vllm-0_default_vllm-{HEX}.log",
            f"Kubernetes log vllm-0_default_vllm-{HEX}.log",
        ),
        (
            f"/kubepods/besteffort/pod0a1b2c3d-0000-1111-2222-333344445555/{HEX}",
            "var/log/pods/default_vllm-0_0a1b2c3d-0000-1111-2222-333344445555/vllm/0.log",
            "Kubernetes log 0.log",
        ),
    ],
)
def test_a_containers_log(machine: Machine, cgroup: str, path: str, source: str) -> None:
    machine.output("pipe:[4711]")
    machine.cgroup(cgroup)
    machine.put(path, age_s=3)
    found = machine.find()
    assert (kv_gib(found), found.source, found.age_s) == (6.9, source, 3)
    assert machine.journal.asked == []


def test_a_restarted_pod_is_read_by_its_newest_log(machine: Machine) -> None:
    pod = "0a1b2c3d-0000-1111-2222-333344445555"
    machine.cgroup(f"/kubepods/pod{pod}/{HEX}")
    machine.put(f"var/log/pods/d_v_{pod}/vllm/0.log", START.replace("6.9", "1.1"), age_s=600)
    machine.put(f"var/log/pods/d_v_{pod}/vllm/1.log", age_s=6)
    assert kv_gib(machine.find()) == 6.9


@pytest.mark.parametrize(
    ("cgroup", "option", "source"),
    [
        ("/system.slice/vllm.service", "--unit=vllm.service", "journald unit vllm.service"),
        ("/system.slice/system-vllm.slice/vllm@a.service", "--unit=vllm@a.service", "journald unit vllm@a.service"),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/vllm.service",
            "--user-unit=vllm.service",
            "journald user unit vllm.service",
        ),
        (f"/system.slice/docker-{HEX}.scope", f"CONTAINER_ID_FULL={HEX}", "journal of container 0123456789ab"),
    ],
)
def test_a_units_journal(machine: Machine, cgroup: str, option: str, source: str) -> None:
    machine.output("socket:[815]")
    machine.cgroup(cgroup)
    machine.journal.says = "".join(f"2026-11-23T20:00:00+0000 gpu vllm[1]: {line}\n" for line in START.splitlines())
    found = machine.find(started_at=1_700_000_005.4)
    assert (kv_gib(found), found.source, found.age_s) == (6.9, source, None)
    assert found.log is not None
    assert found.log.phases[0].timestamp == "2026-11-23T20:00:00+0000"
    ((program, match, when, *rest),) = machine.journal.asked
    assert (program, match, when) == ("journalctl", option, "--since=@1700000000")
    assert "--no-pager" in rest


def test_a_journal_without_a_known_start_is_asked_for_its_last_lines(machine: Machine) -> None:
    machine.cgroup("/system.slice/vllm.service")
    machine.find()
    assert machine.journal.asked[0][2] == "--lines=20000"


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("", "The journald unit vllm.service holds no start of vLLM that this user may read."),
        (FileNotFoundError(2, "No such file or directory"), "journalctl cannot be run: No such file or directory."),
    ],
)
def test_a_journal_that_says_nothing_is_told(machine: Machine, says: str | OSError, told: str) -> None:
    machine.cgroup("/system.slice/vllm.service")
    machine.journal.says = says
    found = machine.find()
    assert found.log is None
    assert found.missing == ("The server's standard output and error are no files that can be read.", told)


@pytest.mark.parametrize(
    "cgroup", ["/", "/user.slice/user-0.slice/session-3.scope", "/user.slice/user@0.service", None]
)
def test_a_server_in_a_terminal_has_no_log_and_that_is_told(machine: Machine, cgroup: str | None) -> None:
    machine.output("/dev/pts/3")
    if cgroup is not None:
        machine.cgroup(cgroup)
    found = machine.find()
    assert found == FoundLog(
        missing=(
            "The server's standard output and error are no files that can be read.",
            "The server is no systemd unit and in no container that is known here.",
        ),
        remedy="Give the log's path, or run gpu-tui as a user who may read it.",
    )
    assert machine.journal.asked == []


def test_a_process_that_is_gone_has_no_log(machine: Machine) -> None:
    assert machine.find((999,)).log is None
    assert machine.find(()).log is None


@given(st.text(max_size=300))
def test_any_cgroup_is_read(text: str) -> None:
    found = keeper(text)
    assert found.unit is None or "/" not in found.unit


def test_the_unit_is_the_innermost_and_a_users_manager_is_none() -> None:
    hybrid = "12:pids:/system.slice/vllm.service\n1:name=systemd:/system.slice/vllm.service/run\n0::/\n"
    assert keeper(hybrid) == Keeper(unit="vllm.service")
    assert keeper("0::/system.slice/outer.service/inner.service\n") == Keeper(unit="inner.service")
    assert keeper("0::/user.slice/user@1000.service/init.scope\n") == Keeper()


NOISE = '(APIServer pid=1) INFO:     10.0.0.1:5 - "POST /v1/chat/completions HTTP/1.1" 200 OK\n'


def never() -> bool:
    return False


def big(path: Path, *pieces: str | int) -> Path:
    """A file of texts and of so many MiB of a server's daily lines."""
    with path.open("w", encoding="utf-8") as file:
        for piece in pieces:
            file.write(piece if isinstance(piece, str) else NOISE * (piece * 1024 * 1024 // len(NOISE)))
    return path


@pytest.mark.parametrize("before", [0, 10])
@pytest.mark.parametrize("after", [0, 3, 10])
def test_the_last_start_is_found_in_a_huge_log(tmp_path: Path, before: int, after: int) -> None:
    end = "ERROR the end\n"
    path = big(tmp_path / "log", START.replace("6.9", "1.1"), before, START, after, end)
    read = read_log(path, never)
    log = parse_start_log(lines_of(read.text))
    assert log.available_kv is not None
    assert log.available_kv.excerpt.endswith("6.9 GiB")
    assert read.text.endswith(end)
    assert len(read.text) <= 8.6 * 1024 * 1024
    assert log.incomplete == (after == 10)
    assert set(read.text.splitlines()) <= {NOISE.rstrip("\n"), *START.splitlines(), end.rstrip("\n"), GAP, ""} | set(
        START.replace("6.9", "1.1").splitlines()
    )


def test_a_start_across_two_chunks_is_found(tmp_path: Path) -> None:
    size, mark = log_reader._CHUNK, log_reader._MARK.decode()
    behind = len(START) - START.index(mark)
    path = tmp_path / "log"
    for inside in range(1, len(mark)):
        # So many characters of the mark lie in the last chunk, the others before it.
        path.write_text("y" * (2 * size) + "\n" + START + "x" * (size - behind + len(mark) - inside), encoding="utf-8")
        assert "6.9 GiB" in read_log(path, never).text, inside


def test_a_huge_log_without_a_start_gives_its_ends(tmp_path: Path) -> None:
    read = read_log(big(tmp_path / "log", "first\n", 12, "last\n"), never)
    assert (read.text[:5], read.text[-5:], GAP in read.text) == ("first", "last\n", True)


def test_out_of_time_the_search_stops(tmp_path: Path) -> None:
    calls = iter([False] + [True] * 1000)
    read = read_log(big(tmp_path / "log", START, 20), lambda: next(calls))
    assert "6.9 GiB" in read.text  # at the beginning, which is read anyway
    assert next(calls, None) is True


def test_bytes_that_are_no_utf8_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\xff\xfe\x00" + START.encode() + b"\xc3")
    assert parse_start_log(lines_of(read_log(path, never).text)).available_kv is not None


def timed(work: Callable[[], bytes]) -> tuple[bytes, float]:
    begin = time.monotonic()
    return work(), time.monotonic() - begin


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_program_that_says_too_much_is_stopped() -> None:
    data, _ = timed(lambda: run_bounded(python("while True: print('x' * 1000)"), seconds=20, most_bytes=100_000))
    assert len(data) == 100_000


def test_a_program_that_hangs_is_given_up() -> None:
    code = "import sys, time; print('one'); sys.stdout.flush(); time.sleep(60)"
    data, took = timed(lambda: run_bounded(python(code), seconds=2, most_bytes=100, clock=SystemClock()))
    assert data in (b"one\n", b"")
    assert 1.5 <= took < 20


def test_a_program_that_ends_is_read_whole() -> None:
    assert run_bounded(python("print('a\\nb')"), seconds=20, most_bytes=100) == b"a\nb\n"
    with pytest.raises(FileNotFoundError):
        run_bounded(("journalctl-that-is-not-there",), seconds=1, most_bytes=1)


def test_this_process_own_output_through_the_real_proc(tmp_path: Path) -> None:
    """A real child whose standard output is a file: found through /proc, read though it was deleted."""
    path = tmp_path / "vllm.log"
    path.write_text(START, encoding="utf-8")
    reader, writer = os.pipe()
    with path.open("a", encoding="utf-8") as out:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", "import sys; sys.stdin.read()"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, reader, 0),
                (os.POSIX_SPAWN_DUP2, out.fileno(), 1),
                (os.POSIX_SPAWN_CLOSE, writer),
            ],
        )
    try:
        path.unlink()
        found = StartLogs(journal=Journal()).find((pid,))
        assert kv_gib(found) == 6.9
        assert found.source == f"log file {path} (deleted)"
        assert found.age_s is not None
        assert found.age_s < 120
    finally:
        os.close(writer)
        os.close(reader)
        os.waitpid(pid, 0)
