"""Races are said while they happen, name the tenants, and say what (not) to do."""

from __future__ import annotations

from gpu_tui.core.books import Service
from gpu_tui.core.deployment import Deployment, DeployPhase, Evidence, Identity, Span
from gpu_tui.core.races import MOVED_BYTES, Race, RaceKind, Tenants, Window, hands_off, others, races, tenants_of
from gpu_tui.core.services import OTHER, Role
from gpu_tui.core.start_log import parse_start_log
from gpu_tui.units import MIB

D = DeployPhase


def engine(phase: DeployPhase, pid: int = 42, name: str = "judge", used: int = 3000, version: str = "") -> Deployment:
    lines = [f"vLLM API server version {version}"] if version else []
    return Deployment(
        slot=f"{name}:8001",
        name=name,
        who=Identity(pid=pid),
        pids=(pid + 1,),
        gpus=("GPU-0",),
        spans=(Span(phase=phase, start_s=0, evidence=Evidence.LOG),),
        from_birth=True,
        used_bytes=used * MIB,
        log=parse_start_log(lines) if lines else None,
    )


def tenants(**held: int) -> Tenants:
    services = tuple(
        Service(name=name, role=Role.PERSISTENT, used_bytes=mib * MIB, pids=(900 + i,))
        for i, (name, mib) in enumerate(held.items())
    )
    return Tenants(gpu="GPU-0", services=services)


def between(phase: DeployPhase, before: Tenants, after: Tenants, used: int = 3000) -> tuple[Race, ...]:
    one = engine(phase, used=used)
    windows, first = races((), [one], [before])
    assert first == ()
    return races(windows, [one], [after])[1]


def test_a_tenant_that_grows_is_charged_to_the_engine() -> None:
    (race,) = between(D.PROFILING, tenants(whisper=900, ollama=500), tenants(whisper=1900, ollama=500))
    assert (race.kind, race.tenant, race.moved_bytes) == (RaceKind.TENANT_GREW, "whisper", 1000 * MIB)
    assert race.words == (
        "whisper grew by 1000 MiB while judge profiles its memory: its KV cache will be 1000 MiB smaller."
    )
    assert race.advice == "Do not restart whisper now; wait until judge serves."


def test_a_tenant_that_frees_can_end_the_start() -> None:
    (race,) = between(D.LOADING, tenants(ollama=5000), tenants(ollama=4000))
    assert race.kind is RaceKind.TENANT_FREED
    assert "too large" in race.words
    (race,) = between(D.LOADING, tenants(ollama=5000), tenants(), used=3000)
    assert "can end with" in race.words
    assert "more is free now than when it looked" in race.words
    assert "start it again" in race.advice


def test_small_movements_and_a_sized_cache_are_no_race() -> None:
    step = MOVED_BYTES // MIB
    assert between(D.PROFILING, tenants(a=900), tenants(a=900 + step)) == ()
    assert between(D.PROFILING, tenants(a=900), tenants(a=901 + step)) != ()
    for phase in (D.CAPTURING, D.SERVING, D.FAILED, D.GONE, D.RUNNING):
        assert between(phase, tenants(a=900), tenants(a=5000)) == ()


def test_two_engines_at_once() -> None:
    first, second = engine(D.LOADING), engine(D.STARTING, 77, "vllm:8002", used=400)
    _, (race,) = races((), [first, second], [tenants()])
    assert (race.kind, race.tenant) == (RaceKind.TWO_ENGINES, "vllm:8002")
    assert "judge and vllm:8002 (pid 77) load at once" in race.words
    assert "one to one" in race.words
    assert race.advice == "Stop vllm:8002 (pid 77) and start it when judge serves."
    assert races((), [first, engine(D.CAPTURING, 77, "vllm:8002")], [tenants()])[1] == ()


def test_an_old_release_counts_all_that_others_hold() -> None:
    first, second = engine(D.LOADING, version="0.8.5"), engine(D.LOADING, 77, "b")
    (race,) = races((), [first, second], [tenants()])[1]
    assert "takes all memory of others off its KV cache" in race.words


def test_an_engine_that_begins_to_serve_is_no_tenant_that_grew_from_nothing() -> None:
    first, second = engine(D.LOADING), engine(D.PROFILING, 77, "b", used=4000)
    held = Tenants(
        gpu="GPU-0",
        services=(Service(name="b", role=Role.PERSISTENT, used_bytes=4000 * MIB, pids=(78,)),),
    )
    windows, _ = races((), [first, second], [held])
    assert races(windows, [first, engine(D.SERVING, 77, "b", used=4000)], [held])[1] == ()


def test_a_gpu_that_cannot_be_read_keeps_its_window() -> None:
    one = engine(D.PROFILING)
    windows, _ = races((), [one], [tenants(a=900)])
    kept, found = races(windows, [one], [])
    assert (kept, found) == (windows, ())
    assert len(races(kept, [one], [tenants(a=2000)])[1]) == 1
    assert races(kept, [engine(D.SERVING)], [])[0] == ()
    assert kept == (Window(who=one.who, gpu="GPU-0", held={"a": 900 * MIB}),)


def test_what_not_to_do_is_said_before_anybody_does_it() -> None:
    words = hands_off(engine(D.PROFILING), ["whisper", "ollama"])
    assert words is not None
    assert words.startswith("Do not start, stop or restart whisper or ollama now: judge profiles its memory")
    assert (hands_off(engine(D.LOADING), []) or "").startswith("Start nothing else on this GPU now")
    assert hands_off(engine(D.SERVING), ["whisper"]) is None


def test_a_server_goes_by_the_name_of_its_start_whatever_the_books_call_it() -> None:
    one, other = engine(D.LOADING, pid=10, name="judge"), engine(D.SERVING, pid=20, name="vllm:8002")
    crowd = Service(name=OTHER, role=Role.PERSISTENT, used_bytes=MIB, pids=(77,))
    gone = Service(name="ollama", role=Role.PERSISTENT, used_bytes=0, pids=())
    rows = [
        Service(name=name, role=Role.PERSISTENT, used_bytes=MIB, pids=(pid,))
        for name, pid in (("vllm:8001", 11), ("judge", 21), ("whisper", 31))
    ]
    named = tenants_of("GPU-0", [*rows, crowd, gone], [one, other])
    assert [row.name for row in named.services] == ["judge", "vllm:8002", "whisper", OTHER, "ollama"]
    assert others(one, [named]) == ("vllm:8002", "whisper")
    assert others(one, [tenants_of("GPU-1", rows, [one, other])]) == (), "it holds nothing there"
