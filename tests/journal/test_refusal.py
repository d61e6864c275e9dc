"""A file that is not ours, damaged or newer is refused with a sentence; one that cannot be written says why."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gpu_tui.journal import Journal, JournalError, JournalRefused, schema
from tests.journal.runs import VERSION_1, llm_samples, run, written


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "j.db"


def full(path: Path) -> Path:
    with Journal(path, writable=True) as journal:
        for _ in range(30):
            journal.add(run(samples=llm_samples([float(x) for x in range(50)])))
    return path


def refused(path: Path) -> str:
    """The one sentence of both ways to open it; not a byte has changed, and nothing lies beside it."""
    before, beside = path.read_bytes(), sorted(path.parent.iterdir())
    said = set()
    for writable in (False, True):
        with pytest.raises(JournalRefused) as caught:
            Journal(path, writable=writable)
        said.add(str(caught.value))
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == beside
    (sentence,) = said
    assert "left as it is" in sentence
    return sentence


def test_a_newer_file(path: Path) -> None:
    written(path, VERSION_1.replace("user_version = 1", "user_version = 99"))
    assert f"is of a newer gpu-tui (schema 99, this one knows {schema.VERSION})" in refused(path)


def test_a_newer_file_whose_writer_was_killed(path: Path) -> None:
    # What the killed writer has left beside it is not tidied up either.
    connection = sqlite3.connect(written(path.with_name("open.db"), VERSION_1), isolation_level=None)
    connection.execute("PRAGMA user_version = 99")
    for tail in ("", "-wal"):
        shutil.copy(f"{path.with_name('open.db')}{tail}", f"{path}{tail}")
    connection.close()
    kept = [Path(f"{path}{tail}").read_bytes() for tail in ("", "-wal")]
    assert kept[1]
    for writable in (False, True):
        with pytest.raises(JournalRefused, match="newer gpu-tui"):
            Journal(path, writable=writable)
    assert [Path(f"{path}{tail}").read_bytes() for tail in ("", "-wal")] == kept


@pytest.mark.parametrize("data", [b"not a database\n" * 100, b"x", b"SQLite format 2\x00" * 10, b"\x00" * 4096])
def test_a_file_that_is_something_else(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    assert "is no journal: it is no SQLite file" in refused(path)


@pytest.mark.parametrize("script", ["CREATE TABLE runs (id)", "PRAGMA user_version = 1", "PRAGMA application_id = 7"])
def test_another_program_s_database(path: Path, script: str) -> None:
    written(path, script)
    assert "another program's SQLite file" in refused(path)


def test_a_file_cut_short(path: Path) -> None:
    whole = full(path).read_bytes()
    for size in (len(whole) // 2, 4096, 100, 20):
        path.write_bytes(whole[:size])
        assert "is damaged" in refused(path)


def test_a_page_of_rubbish(path: Path) -> None:
    whole = full(path).read_bytes()
    pages = len(whole) // 4096
    assert pages > 20
    for page in (1, pages // 2, pages - 1):
        path.write_bytes(whole[: page * 4096] + os.urandom(4096) + whole[(page + 1) * 4096 :])
        assert "is damaged" in refused(path)


def test_a_document_that_is_none_is_told_when_it_is_read(path: Path) -> None:
    connection = sqlite3.connect(full(path))
    connection.execute("UPDATE runs SET services = '{' WHERE id = 7")
    connection.commit()
    connection.close()
    with Journal(path) as journal:
        assert len(journal.entries()) == 30
        journal.get(6)
        with pytest.raises(JournalRefused, match="damaged: run 7 cannot be read"):
            journal.get(7)


def test_a_folder_and_a_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    for path, why in ((tmp_path, "is a directory"), (tmp_path / "f" / "j.db", "not a directory")):
        for writable in (False, True):
            with pytest.raises(JournalError, match=why) as caught:
                Journal(path, writable=writable)
            assert not isinstance(caught.value, JournalRefused)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_without_permission_it_can_still_be_read(path: Path) -> None:
    full(path).chmod(0o400)
    path.parent.chmod(0o500)
    try:
        with Journal(path) as journal:
            assert len(journal.entries()) == 30
        with pytest.raises(JournalError, match="could not be written: permission denied"):
            Journal(path, writable=True)
    finally:
        path.parent.chmod(0o700)


KEEP = """
import sys
from pathlib import Path
from gpu_tui.errors import GpuTuiError
from gpu_tui.journal import Journal
from tests.journal.runs import llm_samples, run
path = Path(sys.argv[1])
try:
    with Journal(path, writable=True) as journal:
        journal.add(run(samples=llm_samples([1.0] * 20000)))
except GpuTuiError as error:
    print("told:", error)
try:
    with Journal(path) as journal:
        print("runs:", len(journal.entries()))
except GpuTuiError as error:
    print("told:", error)
"""


def kept_by(*command: str, path: Path, limit: int | None = None) -> str:
    def hold() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [*command, sys.executable, "-c", KEEP, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=hold,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert "Traceback" not in done.stderr
    return done.stdout


def test_a_disk_that_takes_no_more_costs_that_run_only(path: Path) -> None:
    full(path)
    told = kept_by(path=path, limit=path.stat().st_size + 100_000)
    assert "could not be written: the disk" in told
    assert "runs: 30" in told
    with Journal(path) as journal:
        assert len(journal.entries()) == 30


IN_A_NAMESPACE = ("unshare", "--map-root-user", "--mount", "sh", "-c")


def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run([*IN_A_NAMESPACE, "mount -t tmpfs none /mnt"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.skipif(not _can_mount(), reason="needs a mount namespace of one's own")
def test_a_full_and_a_read_only_file_system(path: Path) -> None:
    full(path)
    small = f'mount -t tmpfs -o size=400k none /mnt && cp {path} /mnt/j.db && exec "$@"'
    told = kept_by(*IN_A_NAMESPACE, small, "sh", path=Path("/mnt/j.db"))
    assert told.splitlines()[0].startswith("told: The journal /mnt/j.db could not be written: the disk is full.")
    assert "runs: 30" in told
    frozen = f'mount -t tmpfs none /mnt && cp {path} /mnt/j.db && mount -o remount,ro /mnt && exec "$@"'
    told = kept_by(*IN_A_NAMESPACE, frozen, "sh", path=Path("/mnt/j.db"))
    assert "could not be written: read-only file system" in told
    assert "runs: 30" in told
