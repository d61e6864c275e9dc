"""``gpu-tui watch`` as a process: over the stand-in driver and simulated machines, with signals and carriers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpu_tui.errors import SourceUnavailable
from gpu_tui.telemetry.scenario import load_scenario, snapshot_at
from tests.alerting.test_delivery import hook, raw, until
from tests.factories import KLOROS, KLOROS_HOLDS, kloros
from tests.standin import HANG, Process, Sleepers, StandIn, known_machine
from tests.telemetry.recordings import BEGUN, record
from tests.test_deploying import lines_of

PATIENCE_S = 30.0


class Running:
    """A watch whose lines are read."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    def next(self, kind: str, holds: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told: dict[str, Any] = json.loads(line)
            self.lines.append(told)
            if told["type"] == kind and holds(told):
                return told
        raise AssertionError(f"it ended with {self.process.wait()}: {self.lines}")

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


@contextlib.contextmanager
def watch(*words: str, env: dict[str, str] | None = None, journal: bool = False) -> Iterator[Running]:
    none = [] if journal else ["--no-journal"]
    command = [sys.executable, "-m", "gpu_tui", "watch", "--jsonl", "--interval", "0.1", *none, *words]
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    killer = threading.Timer(60, process.kill)
    killer.start()
    try:
        yield Running(process)
    finally:
        killer.cancel()
        process.kill()
        process.communicate()


def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gpu_tui", "watch", "--interval", "0.1", *words]
    return subprocess.run(command, env=os.environ | env, capture_output=True, text=True, timeout=90, check=False)


def configured(tmp_path: Path, text: str) -> tuple[str, ...]:
    file = tmp_path / "watch.toml"
    file.write_text(text)
    return "--config", str(file)


def test_a_service_that_goes_is_told_and_raised(standin: StandIn, sleepers: Sleepers, tmp_path: Path) -> None:
    pids = known_machine(standin, sleepers)
    log, rule = tmp_path / "a.log", '[[alerts]]\nwhen = "service_gone"\nservice = "ollama"\n'
    with watch(*configured(tmp_path, f'{rule}[alerting]\nlog = "{log}"\n'), env=standin.env()) as running:
        state = running.next("state")
        assert state["gpus"][0]["services"]["judge"] == {"running": True, "memory_mib": 6134.0}
        assert (state["gpus"][0]["valid"], state["simulated"], state["schema"]) == (True, False, 1)
        device = standin.state.devices[0]
        device.processes = [row for row in device.processes if row.pid != pids["ollama"]]
        standin.write()
        gone = running.next("service_gone")
        assert (gone["service"], gone["before_mib"], gone["gpu"]["index"]) == ("ollama", 1068.0, 0)
        assert "ollama holds no GPU memory: it is gone" in running.next("alert_raised")["message"]
        until(lambda: log.exists() and "alert_raised" in log.read_text())
        device.processes.append(Process(pids["ollama"], 1068))
        standin.write()
        running.next("service_appeared")
        running.next("alert_cleared")
        assert running.end() == 0


def test_a_driver_that_hangs_is_told_and_the_watch_goes_on(standin: StandIn, sleepers: Sleepers) -> None:
    known_machine(standin, sleepers)
    with watch(env=standin.env()) as running:
        running.next("state")
        standin.state.devices[0].calls = {"nvmlDeviceGetMemoryInfo*": HANG}
        standin.write()
        assert running.next("fault")["fault"] == "timeout"
        standin.state.devices[0].calls = {}
        standin.write()
        running.next("fault_over")
        assert running.end() == 0


def test_sighup_reads_the_configuration_again_and_a_mistaken_one_is_told(tmp_path: Path) -> None:
    rule = '[[alerts]]\nwhen = "memory_above"\nabove_mib = 100\n'
    words = configured(tmp_path, "")
    with watch("--demo", *words) as running:
        running.next("state")
        configured(tmp_path, rule)
        running.process.send_signal(signal.SIGHUP)
        assert "1 alert rules" in running.next("reloaded")["message"]
        running.next("alert_raised")
        configured(tmp_path, rule + "x = [")
        running.process.send_signal(signal.SIGHUP)
        assert "The old configuration stays" in running.next("reload_failed")["message"]
        configured(tmp_path, "")
        running.process.send_signal(signal.SIGHUP)
        running.next("alert_cleared")
        assert running.end() == 0
        assert running.next("stopped")["simulated"] is True


def test_sigusr1_acknowledges(tmp_path: Path) -> None:
    rules = '[[alerts]]\nwhen = "memory_above"\nabove_mib = {}\nlatch = true\n'
    with watch("--demo", *configured(tmp_path, rules.format(100)), "--state-every", "0.001") as running:
        running.next("alert_raised")
        running.process.send_signal(signal.SIGUSR1)
        running.next("state", lambda told: told["alerts"] and told["alerts"][0]["acknowledged"])


def test_a_webhook_that_hangs_keeps_no_reading_waiting(standin: StandIn, sleepers: Sleepers, tmp_path: Path) -> None:
    known_machine(standin, sleepers)

    def hang(connection: Any) -> None:
        while connection.recv(65536):
            pass

    with raw(hang) as port:
        text = f'[alerting]\nwebhook = "http://127.0.0.1:{port}/s3cret"\ntimeout_s = 2\n'
        text += '[[alerts]]\nwhen = "memory_above"\nabove_mib = 100\n'
        with watch(*configured(tmp_path, text), "--state-every", "0.002", env=standin.env()) as running:
            running.next("alert_raised")
            running.next("state")
            assert running.next("delivery_failed")["message"] == (
                f"webhook http://127.0.0.1:{port}/*** has not taken an alert: no answer within 2 s."
            )
            kinds = [line["type"] for line in running.lines]
            assert kinds.count("state") > 3, "told on while the webhook hung"
            assert "s3cret" not in json.dumps(running.lines)


def test_nothing_is_sent_of_a_simulated_machine_unless_it_is_asked_for(tmp_path: Path) -> None:
    with hook() as server:
        text = f'[alerting]\nwebhook = "http://127.0.0.1:{server.server_port}/"\n'
        words = configured(tmp_path, text + '[[alerts]]\nwhen = "memory_above"\nabove_mib = 100\n')
        done = run("--demo", *words, "--for", "1")
        assert (done.returncode, server.got) == (1, []), done.stderr  # type: ignore[attr-defined]
        run("--demo", *words, "--for", "1", "--send-simulated")
        ((_, _, body),) = server.got  # type: ignore[attr-defined]
        assert json.loads(body)["simulated"] is True


def test_a_full_disk_under_the_log_is_told_and_costs_nothing(tmp_path: Path) -> None:
    text = '[alerting]\nlog = "/dev/full"\n[[alerts]]\nwhen = "memory_above"\nabove_mib = 100\n'
    done = run("--demo", *configured(tmp_path, text), "--for", "1", "--send-simulated")
    assert "log /dev/full has not taken an alert: No space left on device." in done.stdout
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


def test_what_happened_in_a_recording(tmp_path: Path) -> None:
    gone = kloros(holds={pid: mib for pid, mib in KLOROS_HOLDS.items() if pid != 2387058})
    story = [KLOROS, KLOROS, gone, SourceUnavailable("silent", kind="timeout"), KLOROS]
    shown = [
        one if isinstance(one, SourceUnavailable) else replace(one, taken_at=BEGUN + n, taken_monotonic=float(n))
        for n, one in enumerate(story)
    ]
    file = record(tmp_path / "a.rec", shown)
    done = run("--jsonl", "--replay", str(file))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert [(line["type"], line["at"][14:19]) for line in lines[:-1]] == [
        ("state", "00:00"),
        ("service_gone", "00:02"),
        ("fault", "00:03"),
        ("fault_over", "00:04"),
        ("service_appeared", "00:04"),
    ]
    later = run("--jsonl", "--replay", f"{file}@+3s")
    assert "service_gone" not in later.stdout
    assert run("--replay", str(tmp_path / "none.rec")).returncode == 2


def test_starts_in_a_recording_are_told_with_their_races(tmp_path: Path) -> None:
    scenario = load_scenario("race")
    shown = [
        replace(snapshot_at(scenario, float(s)), taken_at=BEGUN + s, taken_monotonic=float(s)) for s in range(0, 60, 2)
    ]
    done = run("--jsonl", "--replay", str(record(tmp_path / "a.rec", shown)))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    told = [line for line in lines if line["type"].startswith(("deployment", "race"))]
    assert [(line["type"], line["service"]) for line in told if line["type"].endswith("began")][:3] == [
        ("deployment_began", "judge"),
        ("deployment_began", "vllm:8002"),
        ("race_began", "judge"),
    ]
    assert any(line["type"] == "deployment_outcome" and line["outcome"] == "no_cache_blocks" for line in told)
    text = run("--replay", str(tmp_path / "a.rec")).stdout
    assert len([line for line in text.splitlines() if "judge died after 40 s" in line]) == 1, "told once for people"


@pytest.mark.timeout(120)
def test_a_start_is_told_and_goes_into_the_journal_with_its_outcome(
    standin: StandIn, sleepers: Sleepers, tmp_path: Path
) -> None:
    journal, log = tmp_path / "j.db", tmp_path / "vllm.log"
    known_machine(standin, sleepers)
    with watch("--journal", str(journal), env=standin.env(), journal=True) as running, log.open("w") as file:
        running.next("state")
        server = sleepers.vllm("/models/none", 8077, 0.3, 1, log=file.fileno())
        device = standin.state.devices[0]
        device.processes.append(Process(server.engine, 900))
        standin.write()
        began = running.next("deployment_began", lambda line: line["pid"] == server.server)
        assert (began["simulated"], began["port"], began["hands_off"] is None) == (False, 8077, False)
        file.writelines(f"{line}\n" for line in lines_of("v1_0.30_consumed.txt", server)[:4])
        file.flush()
        running.next("deployment_phase", lambda line: (line["phase"], line["evidence"]) == ("profiling", "log"))
        file.writelines(f"{line}\n" for line in lines_of("failed_0.32_too_long.txt", server)[11:])
        file.flush()
        device.processes = [row for row in device.processes if row.pid != server.engine]
        standin.write()
        sleepers.kill(server.server)
        outcome = running.next("deployment_outcome", lambda line: line["outcome"] == "max_len_too_long")
        assert outcome["remedy"].startswith("Give it ")
        assert "max_len_too_long" in running.next("journal", lambda line: "max_len" in line["message"])["message"]
        assert running.end() == 0
    shown = subprocess.run(
        [sys.executable, "-m", "gpu_tui", "history", "--deployments", "--json", "--journal", str(journal)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    (kept,) = json.loads(shown.stdout)["deployments"]
    assert (kept["outcome"], kept["watched"]["outcome"]) == ("max_len_too_long", "max_len_too_long")


def test_text_for_people() -> None:
    done = run("--demo", "--for", "0.5")
    assert done.returncode == 0
    state = done.stdout.splitlines()[0]
    assert (
        "  SIMULATED  state              GPU 0  kloros 952, judge 6134, ollama 1068, other 242 (MiB); valid: " in state
    )
    assert "SIMULATED: this is not about this machine" in done.stderr


def test_exit_codes(standin: StandIn) -> None:
    def words(*more: str) -> list[str]:
        return [sys.executable, "-m", "gpu_tui", "watch", "--for", "0.5", *more]

    missing = standin.env(driver=False)
    assert subprocess.run(words(), env=missing, capture_output=True, timeout=60, check=False).returncode == 3
    for wrong in (["--for", "-1"], ["--state-every", "x"], ["--scenario", "none"]):
        assert subprocess.run(words(*wrong), capture_output=True, timeout=60, check=False).returncode == 2


def test_a_reader_that_goes_away_ends_it() -> None:
    with watch("--demo", "--state-every", "0.002") as running:
        running.next("state")
        assert running.process.stdout is not None
        running.process.stdout.close()
        deadline = time.monotonic() + PATIENCE_S
        while running.process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert running.process.returncode == 141
        running.process.stdout = open(os.devnull)  # noqa: SIM115, PTH123 - for communicate below


def test_it_is_quiet_about_its_own_end(tmp_path: Path) -> None:
    with watch("--demo", *configured(tmp_path, "")) as running:
        running.next("state")
        assert running.end() == 0
        assert running.next("stopped")["message"] == "The watch has ended."
        with pytest.raises(AssertionError):
            running.next("anything")
