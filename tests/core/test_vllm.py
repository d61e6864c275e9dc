"""vLLM's process tree: servers, engines, workers, orphans."""

from __future__ import annotations

import pytest

from gpu_tui.core.snapshot import ProcessInfo
from gpu_tui.core.vllm import is_orphan, is_titled, lineage, owner_of, server_of
from tests.factories import SERVE, info, table

INIT = info(1, "systemd", "/sbin/init", ppid=0)
SERVER = info(100, "vllm", SERVE, ppid=1)
ENGINE = info(110, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=100)
WORKERS = [info(120 + i, f"VLLM::Worker_TP{i}"[:15], [f"VLLM::Worker_TP{i}"], ppid=110) for i in range(2)]


def _server_pid(pid: int, *infos: ProcessInfo) -> int | None:
    found = server_of(pid, table(*infos))
    return found.pid if found else None


def test_engine_and_workers_belong_to_their_server() -> None:
    tree = [INIT, SERVER, ENGINE, *WORKERS]
    for pid in (100, 110, 120, 121):
        assert _server_pid(pid, *tree) == 100
        assert owner_of(pid, table(*tree)) == 100
        assert not is_orphan(pid, table(*tree))


def test_workers_forked_by_v0_keep_the_argv_and_still_find_what_was_started() -> None:
    forked = [INIT, SERVER, info(101, "vllm", SERVE, ppid=100), info(102, "vllm", SERVE, ppid=101)]
    assert [_server_pid(pid, *forked) for pid in (100, 101, 102)] == [100, 100, 100]


def test_a_wrapper_above_the_server_is_not_the_server() -> None:
    wrapper = info(99, "timeout", f"timeout 9h {SERVE}", ppid=1)
    assert _server_pid(110, INIT, wrapper, info(100, "vllm", SERVE, ppid=99), ENGINE) == 100


def test_a_server_below_another_server_is_its_own() -> None:
    inner = info(105, "vllm", "vllm serve other --port 9", ppid=100)
    assert _server_pid(105, INIT, SERVER, inner) == 105


def test_a_shell_that_mentions_a_server_is_none() -> None:
    shell = info(98, "bash", ["bash", "-c", f"{SERVE}; echo done"], ppid=1)
    assert _server_pid(98, INIT, shell) is None
    assert _server_pid(110, INIT, shell, info(100, "vllm", SERVE, ppid=98), ENGINE) == 100


@pytest.mark.parametrize(
    "parent",
    [
        None,
        INIT,
        info(1, "tini", "tini -- sleep 1", ppid=0),
        info(1, "sh", "sh -c true", ppid=0),
    ],
)
def test_an_engine_handed_to_pid_1_is_an_orphan(parent: ProcessInfo | None) -> None:
    left = info(110, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=1)
    worker = info(120, "VLLM::Worker_TP", ["VLLM::Worker_TP0"], ppid=110)
    known = table(left, worker, *([parent] if parent else []))
    assert is_orphan(110, known)
    assert is_orphan(120, known)
    assert owner_of(120, known) == owner_of(110, known) == 110


def test_an_engine_handed_to_a_user_manager_is_an_orphan() -> None:
    manager = info(900, "systemd", "/lib/systemd/systemd --user", ppid=1)
    left = info(110, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=900)
    assert is_orphan(110, table(INIT, manager, left))
    assert owner_of(110, table(INIT, manager, left)) == 110


def test_in_a_container_pid_1_may_be_the_server() -> None:
    known = table(info(1, "vllm", SERVE, ppid=0), info(7, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=1))
    assert not is_orphan(7, known)
    assert owner_of(7, known) == 1


def test_an_engine_whose_own_parent_is_the_kernel_is_an_orphan() -> None:
    assert is_orphan(7, table(info(7, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=0)))


def test_vllm_used_offline_belongs_to_its_script() -> None:
    script = info(50, "python", "python train.py", ppid=1)
    engine = info(51, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=50)
    worker = info(52, "VLLM::Worker_TP", ["VLLM::Worker_TP0"], ppid=51)
    known = table(INIT, script, engine, worker)
    assert not is_orphan(51, known)
    assert not is_orphan(52, known)
    assert owner_of(51, known) == owner_of(52, known) == 50
    assert owner_of(50, known) == 50


@pytest.mark.parametrize("ppid", [None, 4711])
def test_an_unknown_parent_proves_nothing(ppid: int | None) -> None:
    alone = table(info(110, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=ppid))
    assert not is_orphan(110, alone)
    assert owner_of(110, alone) == 110


def test_only_titled_processes_can_be_orphans() -> None:
    known = table(INIT, info(5, "python", "python x.py", ppid=1))
    assert not is_orphan(5, known)
    assert not is_orphan(6, known)


def test_a_title_is_seen_in_name_or_argv() -> None:
    assert is_titled(info(1, "VLLM::EngineCor", None))
    assert is_titled(info(1, "python", ["VLLM::EngineCore_DP0"]))
    assert is_titled(info(1, None, ["VLLM::Worker"]))
    assert not is_titled(info(1, "vllm", ["vllm", "serve"]))
    assert not is_titled(info(1, None, None))


def test_a_cycle_of_reused_pids_ends() -> None:
    known = table(info(5, "a", ppid=6), info(6, "b", ppid=5))
    assert [each.pid for each in lineage(5, known)] == [5, 6]
    assert server_of(5, known) is None
    titled = table(info(5, "VLLM::A", ppid=6), info(6, "VLLM::B", ppid=5))
    assert not is_orphan(5, titled)
    assert owner_of(5, titled) in (5, 6)
