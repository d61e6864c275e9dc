from __future__ import annotations

import asyncio
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from gpu_tui.bench.child import MeasureFailed, MeasureRun, default_command, measure_blocking
from gpu_tui.bench.demo import DemoServers
from gpu_tui.bench.events import Preview, Progress, RequestDone, Summary
from gpu_tui.bench.plan import MeasurePlan, Mode, candidates, dump_plan
from tests.bench.servers import CHAT, Server, models, serving, streaming

LAUNCH = str(Path(__file__).with_name("launch.py"))
COMMAND = (sys.executable, LAUNCH, "--plan", "-", "--jsonl")
ENDLESS = {"/v1/models": models("m"), CHAT: streaming(itl=0.02, chunks=5000)}


def child(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", textwrap.dedent(code))


def plan_for(url: str, **more: object) -> MeasurePlan:
    found = candidates(url, origin="test", chosen=True)
    return MeasurePlan(llm_urls=found, mode=Mode.LLM, warmup=0, **more)  # type: ignore[arg-type]


async def until(what: object, seconds: float = 10) -> None:
    for _ in range(int(seconds / 0.02)):
        if what():  # type: ignore[operator]
            return
        await asyncio.sleep(0.02)
    pytest.fail("it did not happen in time")


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_a_run_for_the_tui() -> None:
    handlers = {"/v1/models": models("m"), CHAT: streaming(ttft=0.02, itl=0.005)}
    async with (
        serving(handlers) as server,
        MeasureRun(plan_for(server.url, requests=3), command=COMMAND) as run,
    ):
        pid = run.pid
        events = [event async for event in run.events()]
    assert isinstance(events[0], Progress)
    assert sum(isinstance(event, RequestDone) for event in events) == 3
    summary = events[-1]
    assert isinstance(summary, Summary)
    assert summary.llm is not None
    assert (summary.llm.n, summary.llm.model) == (3, "m")
    assert pid is not None
    assert gone(pid)


async def test_a_run_for_the_evaluator_and_a_preview() -> None:
    async with serving({"/v1/models": models("m"), CHAT: streaming()}) as server:
        plan = plan_for(server.url, requests=2)
        summary = await asyncio.to_thread(measure_blocking, plan, command=COMMAND)
        preview = await asyncio.to_thread(measure_blocking, plan, command=(*COMMAND, "--dry-run"))
        assert len(server.asked(CHAT)) == 2
    assert isinstance(summary, Summary)
    assert summary.measured
    assert isinstance(preview, Preview)
    assert preview.llm is not None


async def test_the_cost_told_is_the_childs_own() -> None:
    """No more than the kernel charged it in all, and as a share of the time the load took."""
    async with serving({"/v1/models": models("m"), CHAT: streaming(ttft=0.02, chunks=20)}) as server:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        plan = plan_for(server.url, requests=20, concurrency=4)
        summary = await asyncio.to_thread(measure_blocking, plan, command=COMMAND)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert isinstance(summary, Summary)
    cost = summary.generator
    assert cost.cpu_s is not None
    assert cost.share is not None
    assert 0 < cost.cpu_s < after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert cost.cpu_ms_per_request == pytest.approx(1000 * cost.cpu_s / 20, abs=0.01)
    assert cost.cpu_s / cost.share >= 5 * 0.02 * 0.99  # five rounds of four, each of at least 20 ms


async def under_way(server: Server) -> None:
    await until(lambda: any(reply.sent for reply in server.replies if reply.sent and server.asked(CHAT)))


async def test_cancelling_leaves_no_process_and_no_socket() -> None:
    async with serving(ENDLESS) as server:
        async with MeasureRun(plan_for(server.url, concurrency=3), command=COMMAND) as run:
            reading = asyncio.create_task(_drain(run))
            await under_way(server)
            await run.cancel()
            assert run.pid is not None
            assert gone(run.pid)
            assert await reading is None
            await run.cancel()
        await until(lambda: server.open_now == 0)


async def _drain(run: MeasureRun) -> Summary | None:
    last = None
    async for event in run.events():
        last = event
    return last if isinstance(last, Summary) else None


async def test_leaving_the_block_by_an_exception_ends_the_child() -> None:
    async with serving(ENDLESS) as server:
        run = MeasureRun(plan_for(server.url), command=COMMAND)

        async def failing() -> None:
            async with run:
                async for _event in run.events():
                    raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await failing()
        assert run.pid is not None
        assert gone(run.pid)


async def test_cancelling_the_task_ends_the_child() -> None:
    runs: list[MeasureRun] = []

    async def worker(url: str) -> None:
        async with MeasureRun(plan_for(url), command=COMMAND) as run:
            runs.append(run)
            await _drain(run)

    async with serving(ENDLESS) as server:
        task = asyncio.create_task(worker(server.url))
        await under_way(server)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert runs[0].pid is not None
        assert gone(runs[0].pid)


async def test_a_child_that_does_not_listen_is_killed_with_its_own_children() -> None:
    code = """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=subprocess.DEVNULL)
        print('{"type":"progress","phase":"load","message":"%d"}' % other.pid, flush=True)
        time.sleep(60)
    """
    async with MeasureRun(MeasurePlan(), command=child(code), grace_s=0.2) as run:
        async for event in run.events():
            assert isinstance(event, Progress)
            grandchild = int(event.message)
            await run.cancel()
    assert run.pid is not None
    assert gone(run.pid)
    await until(lambda: gone(grandchild))


async def test_the_child_dies_when_its_parent_is_killed() -> None:
    async with serving(ENDLESS) as server:
        code = f"""
            import sys
            from gpu_tui.bench.child import measure_blocking
            from gpu_tui.bench.plan import load_plan
            measure_blocking(load_plan({dump_plan(plan_for(server.url))!r}), command={COMMAND!r})
        """
        parent = await asyncio.create_subprocess_exec(*child(code))
        try:
            await under_way(server)
            (orphan,) = psutil.Process(parent.pid).children()
            parent.kill()
            await until(lambda: gone(orphan.pid))
            await until(lambda: server.open_now == 0)
        finally:
            if parent.returncode is None:
                parent.kill()
            await parent.wait()


CRASH = 'import sys; sys.stdin.readline(); sys.exit("It broke: api_key=sesame-sesame \\x1b[31m")'


async def test_a_child_that_breaks_is_reported_with_its_last_words() -> None:
    with pytest.raises(MeasureFailed, match=r"exit code 1.*It broke") as caught:
        async with MeasureRun(MeasurePlan(), command=child(CRASH)) as run:
            await _drain(run)
    assert "sesame" not in str(caught.value)
    assert str(caught.value).isprintable()
    with pytest.raises(MeasureFailed, match=r"exit code 1.*It broke"):
        measure_blocking(MeasurePlan(), command=child(CRASH))


@pytest.mark.parametrize("line", ["nonsense", '{"type":"surprise"}', '{"type":"summary"}', "[]"])
async def test_a_child_that_says_something_else(line: str) -> None:
    command = child(f"print({line!r})")
    with pytest.raises(MeasureFailed, match="unreadable"):
        async with MeasureRun(MeasurePlan(), command=command) as run:
            await _drain(run)
    with pytest.raises(MeasureFailed, match="unreadable"):
        measure_blocking(MeasurePlan(), command=command)


@pytest.mark.parametrize("code", ["", "import os; os.close(0)", "import os, signal; os.kill(os.getpid(), 9)"])
async def test_a_child_that_says_nothing(code: str) -> None:
    with pytest.raises(MeasureFailed, match="without a result"):
        async with MeasureRun(MeasurePlan(), command=child(code)) as run:
            await _drain(run)
    with pytest.raises(MeasureFailed, match="without a result"):
        measure_blocking(MeasurePlan(), command=child(code))


async def test_no_child_at_all() -> None:
    with pytest.raises(MeasureFailed, match="could not be started"):
        async with MeasureRun(MeasurePlan(), command=("/nonexistent/python",)):
            pass
    with pytest.raises(MeasureFailed, match="could not be started"):
        measure_blocking(MeasurePlan(), command=("/nonexistent/python",))


def test_an_exception_of_the_caller_ends_the_blocking_child() -> None:
    pids: list[int] = []

    def stop(_event: object) -> None:
        pids.extend(process.pid for process in psutil.Process().children())
        raise KeyboardInterrupt

    code = 'import time; print(\'{"type":"progress","phase":"load"}\', flush=True); time.sleep(60)'
    with pytest.raises(KeyboardInterrupt):
        measure_blocking(MeasurePlan(), stop, command=child(code))
    assert pids
    assert all(map(gone, pids))


def test_the_default_child_is_this_interpreter_and_this_package() -> None:
    assert default_command() == (sys.executable, "-m", "gpu_tui", "measure", "--plan", "-", "--jsonl")
    assert default_command(dry_run=True)[-1] == "--dry-run"


async def test_the_default_child_runs() -> None:
    async with serving({"/v1/models": models("m"), CHAT: streaming()}) as server:
        summary = await asyncio.to_thread(measure_blocking, plan_for(server.url, requests=1))
    assert summary.llm is not None


def test_no_parent_loads_the_http_client() -> None:
    code = """
        import sys
        import gpu_tui.bench.child, gpu_tui.bench.demo, gpu_tui.bench.plan, gpu_tui.bench.events
        import gpu_tui.cli.commands.measure, gpu_tui.telemetry.listeners
        sys.exit(", ".join(name for name in ("aiohttp", "textual", "pynvml") if name in sys.modules) or 0)
    """
    done = subprocess.run(child(code), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_the_demo_ends_with_its_parent() -> None:
    code = """
        import os, signal
        from gpu_tui.bench.demo import DemoServers
        servers = DemoServers()
        servers.start()
        print(servers.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(child(code), capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    asyncio.run(until(lambda: gone(int(done.stdout))))


def test_stopping_the_demo_leaves_nothing() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    servers = DemoServers()
    with servers:
        pid = servers.pid
        assert pid is not None
        assert servers.start() == servers.start()
    assert gone(pid)
    assert servers.pid is None
    servers.stop()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
