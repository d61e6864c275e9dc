"""Attribution: which rows a machine has, and which instance restarts."""

from __future__ import annotations

import pytest

from gpu_tui.core.books import Books, keep_books
from gpu_tui.core.services import DEFAULT_RULES, Classifier, Role, ServiceRule
from gpu_tui.core.snapshot import ProcessInfo
from gpu_tui.units import MIB
from tests.factories import KLOROS, SERVE, books_of, gpu, info, judged, snapshot

INIT = info(1, "systemd", "/sbin/init", ppid=0)


def _server(pid: int, port: int | None, model: str = "m") -> ProcessInfo:
    return info(pid, "vllm", f"vllm serve {model}" + (f" --port {port}" if port else ""), ppid=1)


def _engine(pid: int, ppid: int) -> ProcessInfo:
    return info(pid, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=ppid)


def _rows(books: Books) -> list[tuple[str, str, int | None, tuple[int, ...]]]:
    return [
        (row.name, row.role.value, None if row.used_bytes is None else row.used_bytes // MIB, row.pids)
        for row in books.services
    ]


TWO = snapshot(
    gpu({110: 3000, 210: 5000, 300: 100}, total=24000),
    [INIT, _server(100, None), _engine(110, 100), _server(200, 8001), _engine(210, 200), info(300, "Xorg", "Xorg")],
)


def test_the_known_machine() -> None:
    books = books_of(KLOROS)
    assert _rows(books) == [
        ("kloros", "persistent", 952, (2816503,)),
        ("judge", "restarts", 6134, (2839331,)),
        ("ollama", "persistent", 1068, (2387058,)),
        ("other", "persistent", 242, (1893,)),
    ]
    assert not books.ambiguous
    assert books.chosen is not None
    assert (books.chosen.owner_pid, books.chosen.label, books.chosen.port) == (2838977, "vllm:8001", 8001)
    judge = books.service("judge")
    assert judge is not None
    assert (judge.pid, judge.instance_pid, judge.running) == (2839331, 2838977, True)
    assert books.service("nobody") is None


def test_services_that_do_not_run_are_rows_too() -> None:
    books = books_of(snapshot(gpu({})))
    assert _rows(books) == [(name, "persistent", 0, ()) for name in ("kloros", "judge", "ollama", "other")]
    assert [row.pid for row in books.services] == [None] * 4
    assert (books.chosen, books.restarting_bytes) == (None, 0)


def test_a_service_sums_its_processes_and_is_named_by_its_largest() -> None:
    seen = snapshot(
        gpu({5: 100, 6: 900, 7: 900, 8: None}, free=1),
        [info(pid, "ollama", "ollama runner") for pid in (5, 6, 7, 8)],
    )
    row = books_of(seen).service("ollama")
    assert row is not None
    assert row.pids == (6, 7, 5, 8)
    assert row.used_bytes is None


def test_several_instances_the_largest_is_taken_and_it_is_said() -> None:
    books = books_of(TWO)
    assert books.ambiguous
    assert [each.label for each in books.instances] == ["vllm:8001", "vllm:8000"]
    assert _rows(books) == [
        ("kloros", "persistent", 0, ()),
        ("judge", "restarts", 5000, (210,)),
        ("ollama", "persistent", 0, ()),
        ("vllm:8000", "persistent", 3000, (110,)),
        ("other", "persistent", 100, (300,)),
    ]
    assert books.restarting_bytes == 5000 * MIB
    assert books.persistent_bytes == 3100 * MIB


@pytest.mark.parametrize(("key", "owner"), [(100, 100), (110, 100), (8000, 100), (200, 200), (210, 200), (8001, 200)])
def test_restarts_chooses_by_pid_of_server_or_engine_or_by_port(key: int, owner: int) -> None:
    books = books_of(TWO, restarts=key)
    assert not books.ambiguous
    assert books.chosen is not None
    assert books.chosen.owner_pid == owner
    other = 3000 if owner == 200 else 5000
    assert books.persistent_bytes == (other + 100) * MIB


@pytest.mark.parametrize("key", [300, 9000])
def test_restarts_that_names_no_instance_frees_nothing(key: int) -> None:
    books = books_of(TWO, restarts=key)
    assert (books.chosen, books.ambiguous, books.restarting_bytes) == (None, False, 0)
    assert [name for name, *_ in _rows(books)] == ["kloros", "ollama", "vllm:8001", "vllm:8000", "other"]


def test_instances_on_the_same_port_keep_rows_of_their_own() -> None:
    seen = snapshot(
        gpu({110: 3000, 210: 2000, 310: 1000}, total=24000),
        [
            _server(100, 8000),
            _engine(110, 100),
            _server(200, 8000, "b"),
            _engine(210, 200),
            _server(300, 8000, "c"),
            _engine(310, 300),
        ],
    )
    names = [name for name, *_ in _rows(books_of(seen))]
    assert names == ["kloros", "judge", "ollama", "vllm:8000", "vllm:8000#300", "other"]


def test_tensor_parallel_workers_are_one_instance() -> None:
    workers = [info(120 + i, "VLLM::Worker_TP", [f"VLLM::Worker_TP{i}"], ppid=110) for i in range(3)]
    seen = snapshot(
        gpu({120: 900, 121: 1000, 122: 800, 110: 50}, total=24000),
        [_server(100, 8005), _engine(110, 100), *workers],
    )
    books = books_of(seen)
    assert len(books.instances) == 1
    assert books.service("judge") == books.services[1]
    assert books.services[1].pids == (121, 120, 122, 110)
    assert books.restarting_bytes == 2750 * MIB


def test_v0_workers_with_their_servers_argv_are_one_instance() -> None:
    forked = [info(pid, "vllm", SERVE, ppid=ppid) for pid, ppid in ((100, 1), (101, 100), (102, 100))]
    books = books_of(snapshot(gpu({100: 500, 101: 2000, 102: 2000}), [INIT, *forked]))
    assert [(each.owner_pid, each.pids) for each in books.instances] == [(100, (101, 102, 100))]


def test_an_untitled_spawned_engine_is_found_by_its_server() -> None:
    spawned = info(101, "python3", "/usr/bin/python3 -c spawn_main", ppid=100)
    books = books_of(snapshot(gpu({101: 4000}), [INIT, _server(100, 8001), spawned]))
    assert books.chosen is not None
    assert (books.chosen.pids, books.chosen.port) == ((101,), 8001)


def test_an_orphan_is_flagged_and_its_memory_never_counts_as_free() -> None:
    seen = snapshot(
        gpu({110: 3000, 210: 5000, 120: 500}, total=24000),
        [
            INIT,
            _engine(110, 1),
            info(120, "VLLM::Worker_TP", ["VLLM::Worker_TP0"], ppid=110),
            _server(200, 8001),
            _engine(210, 200),
        ],
    )
    books = books_of(seen)
    assert not books.ambiguous
    row = books.service("orphan")
    assert row is not None
    assert (row.role, row.used_bytes, row.pids) == (Role.ORPHAN, 3500 * MIB, (110, 120))
    assert "without a server" in row.note
    assert books.restarting_bytes == 5000 * MIB
    assert books.persistent_bytes == 3500 * MIB
    assert books_of(seen, restarts=110).chosen is None


def test_an_orphan_alone_leaves_the_judge_a_row_of_its_own() -> None:
    books = books_of(snapshot(gpu({110: 3000}), [INIT, _engine(110, 1)]))
    assert _rows(books) == [
        ("kloros", "persistent", 0, ()),
        ("judge", "persistent", 0, ()),
        ("ollama", "persistent", 0, ()),
        ("orphan", "orphan", 3000, (110,)),
        ("other", "persistent", 0, ()),
    ]
    assert books.available_bytes == 9288 * MIB


def test_vllm_offline_in_a_script_is_an_instance_without_a_port() -> None:
    script = info(50, "python", "python eval.py", ppid=1)
    books = books_of(snapshot(gpu({51: 3000}), [INIT, script, _engine(51, 50)]))
    assert books.chosen is not None
    assert (books.chosen.owner_pid, books.chosen.port, books.chosen.args) == (50, None, None)
    assert books.chosen.label == "judge#50"
    assert books_of(snapshot(gpu({51: 3000}), [INIT, script, _engine(51, 50)]), restarts=50).chosen is not None


@pytest.mark.parametrize(
    ("known", "note"),
    [
        ([info(9, "python3", None, problem="permission denied")], "permission denied"),
        ([], "not found"),
        ([info(9, "x", "x")], ""),
    ],
)
def test_a_process_that_cannot_be_read_is_a_row_and_says_so(known: list[ProcessInfo], note: str) -> None:
    row = books_of(snapshot(gpu({9: 700}), known)).service("other")
    assert row is not None
    assert (row.used_bytes, row.pids, row.note) == (700 * MIB, (9,), note)


def test_several_reasons_are_told_once_each() -> None:
    known = [info(9, None, None, problem="gone"), info(10, None, None, problem="gone")]
    row = books_of(snapshot(gpu({9: 1, 10: 1, 11: 1}), known)).service("other")
    assert row is not None
    assert row.note == "gone, not found"


def test_overlap_is_a_negative_unattributed() -> None:
    books = books_of(snapshot(gpu({9: 700, 10: 700}, unattributed=-600)))
    assert books.unattributed_bytes == -600 * MIB
    assert books.processes_bytes == 1400 * MIB


# --- a user's own rules ---------------------------------------------------------------------------------------------


def test_another_service_can_be_the_one_that_restarts() -> None:
    rules = (ServiceRule(name="whisper", match="whisper", field="cmdline", restarts=True),)
    seen = snapshot(
        gpu({9: 700, 10: 300, 11: 100}),
        [info(9, "w", "whisper-server -a"), info(10, "w", "whisper-server -b"), info(11, "x", "x")],
    )
    books = keep_books(seen, seen.gpus[0], Classifier(rules))
    assert books.chosen is not None
    assert (books.chosen.owner_pid, books.chosen.pids, books.chosen.label) == (9, (9, 10), "whisper#9")
    assert [(row.name, row.role.value) for row in books.services] == [("whisper", "restarts"), ("other", "persistent")]
    assert books.restarting_bytes == 1000 * MIB


def test_a_vllm_rule_that_does_not_restart_is_persistent() -> None:
    rules = (ServiceRule(name="embed", match="embed-", field="vllm"), *DEFAULT_RULES)
    named = info(9, "embed-1", "embed-1")
    seen = snapshot(gpu({9: 700}), [named])
    books = keep_books(seen, seen.gpus[0], Classifier(rules))
    assert (books.chosen, books.instances) == (None, ())
    assert [(row.name, row.used_bytes) for row in books.services if row.running] == [("embed#9", 700 * MIB)]


def test_rules_of_one_name_make_one_row() -> None:
    rules = (
        ServiceRule(name="voice", match="whisper"),
        ServiceRule(name="voice", match="piper"),
        ServiceRule(name="voice", match="vllm", field="vllm", restarts=True),
    )
    seen = snapshot(
        gpu({9: 10, 10: 20, 210: 500}),
        [info(9, "whisper"), info(10, "piper"), _server(200, 8001), _engine(210, 200)],
    )
    books = keep_books(seen, seen.gpus[0], Classifier(rules))
    assert _rows(books) == [
        ("voice", "restarts", 500, (210,)),
        ("voice (rest)", "persistent", 30, (10, 9)),
        ("other", "persistent", 0, ()),
    ]


def test_a_users_rule_on_the_servers_command_line_groups_by_server() -> None:
    rules = (ServiceRule(name="draft", match="--port 8001", field="cmdline", restarts=True), *DEFAULT_RULES)
    books = keep_books(TWO, TWO.gpus[0], Classifier(rules))
    assert [(each.rule.name, each.owner_pid) for each in books.instances] == [("draft", 200), ("judge", 100)]
    assert books.ambiguous


def test_one_snapshot_two_devices() -> None:
    seen = snapshot(
        [gpu({110: 3000}), gpu({111: 4000, 9: 5}, index=1, uuid="GPU-1")],
        [_server(100, 8001), _engine(110, 100), info(111, "VLLM::Worker_TP", ["VLLM::Worker_TP1"], ppid=110)],
    )
    assert [books_of(seen, index=i).restarting_bytes for i in (0, 1)] == [3000 * MIB, 4000 * MIB]
    assert seen.gpu(1) is seen.gpus[1] is seen.gpu("GPU-1")
    assert seen.gpu("GPU-9") is None
    assert judged(0.5, seen).valid
