"""``check --wait-quiet`` on a driven clock and on a machine; ``--on-unknown``."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gpu_tui import wiring
from gpu_tui.cli.main import main
from gpu_tui.cli.quiet import Waiting
from gpu_tui.clock import ManualClock
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import SourceUnavailable
from gpu_tui.telemetry.scenario import ScenarioSource
from gpu_tui.telemetry.scenario_file import parse
from gpu_tui.telemetry.scenario_machine import expand
from gpu_tui.units import MIB
from tests.standin import DRIVER_NOT_LOADED, Device, Process, Sleepers, StandIn, State

STORY = b"""
[gpu]
nvml_total_mib = 12288
reserved_mib = 0
[[processes]]
pid = 4711
name = "whisper"
used_mib = 1000
[[story.events]]
at_s = 2
pids = [4711]
used_mib = 3000
ramp_s = 10
"""


class Steps(ManualClock):
    """Whoever waits lets the time pass."""

    def wait(self, seconds: float, wake: threading.Event) -> bool:
        if not wake.wait(0.02 if seconds > 5 else 0):
            self.advance(seconds)
        return wake.is_set()


class Reads:
    """A source whose reads are counted, and fail while it is told so."""

    def __init__(self, source: ScenarioSource, fails: int = 0, kind: str = "driver_not_loaded") -> None:
        self.source, self.fails, self.kind, self.count = source, fails, kind, 0

    def read(self) -> Snapshot:
        self.count += 1
        if self.count <= self.fails:
            raise SourceUnavailable("The driver is not there.", kind=self.kind)
        return self.source.read()

    def close(self) -> None:
        """Nothing is held."""


def waits(quiet_s: float, timeout_s: float, clock: ManualClock, **how: Any) -> tuple[Reads, Any]:
    source = Reads(ScenarioSource(expand(parse(STORY, "story"), "story"), clock), **how)
    settings = wiring.load_settings(wiring.Options(demo=True))
    waiting = Waiting(quiet_s=quiet_s, timeout_s=timeout_s, steady_bytes=64 * MIB, settings=settings)
    return source, lambda: waiting(source, clock)


def test_it_judges_once_a_ramp_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Steps()
    _, wait = waits(5, 60, clock)
    seen = wait()
    # The ramp ends at 12 s; the last step of less than 64 MiB before it counts as steady.
    assert 16 <= clock.monotonic() <= 18
    assert seen.gpus[0].free_bytes == (12288 - 3000) * MIB
    err = capsys.readouterr().err
    assert "less than 64 MiB for 5 s (at most 60 s)" in err
    assert "Not yet: GPU 0's free memory moved by" in err
    assert "(other)" in err


def test_it_gives_up_and_says_what_moved() -> None:
    clock = Steps()
    _, wait = waits(5, 8, clock)
    with pytest.raises(SourceUnavailable) as error:
        wait()
    assert error.value.kind == "not_quiet"
    assert "never steady for 5 s within 8 s: GPU 0's free memory moved" in error.value.message
    assert clock.monotonic() == pytest.approx(8, abs=1)


def test_a_driver_that_comes_back_meanwhile_is_waited_for() -> None:
    clock = Steps()
    source, wait = waits(2, 60, clock, fails=3)
    wait()
    assert source.count > 5


def test_a_driver_that_stays_away_is_told_as_that() -> None:
    with pytest.raises(SourceUnavailable, match="The driver is not there"):
        waits(2, 9, Steps(), fails=99)[1]()


def test_a_driver_that_hangs_is_asked_once() -> None:
    source, wait = waits(2, 60, Steps(), fails=99, kind="timeout")
    with pytest.raises(SourceUnavailable):
        wait()
    assert source.count == 1


def test_flags_that_mean_nothing_together_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--demo", "--wait-timeout", "5"]) == 2
    assert "--wait-quiet" in capsys.readouterr().err
    assert main(["check", "--scenario", "-", "--wait-quiet", "5"]) == 2
    assert main(["check", "--demo", "--wait-quiet", "5", "--quiet-mib", "0"]) == 2
    assert main(["check", "--demo", "--util", "0.5", "--wait-quiet", "5", "--wait-timeout", "4"]) == 2
    assert "--wait-timeout 4 ends before" in capsys.readouterr().err
    assert main(["check", "--util", "0.5", "--replay", "x.rec", "--wait-quiet", "5"]) == 2
    assert "no recording" in capsys.readouterr().err
    for wrong in ("0", "-1", "nan", "soon"):
        with pytest.raises(SystemExit):
            main(["check", "--demo", "--wait-quiet", wrong])


def test_the_default_timeout_leaves_time_beside_the_quiet() -> None:
    args = argparse.Namespace(wait_quiet=50.0, wait_timeout=None, quiet_mib=64.0)
    waiting = Waiting.of(args, wiring.load_settings(wiring.Options(demo=True)))
    assert waiting is not None
    assert waiting.timeout_s == 80


STORM = """
[gpu]
nvml_total_mib = 12288
reserved_mib = 0
[[processes]]
pid = 4711
name = "whisper"
used_mib = 1000
[[story.events]]
at_s = 0.2
pids = [4711]
used_mib = 9000
ramp_s = 60
"""


@pytest.mark.parametrize("as_json", [False, True])
def test_a_storm_ends_in_unknown_or_lets_the_start_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    file = tmp_path / "storm.toml"
    file.write_text(STORM)
    words = ["check", "--scenario", str(file), "--util", "0.5", "--wait-quiet", "1", "--wait-timeout", "1.2"]
    assert main([*words, *(["--json"] if as_json else [])]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    # Whose machine it was is told before the wait, which may end without a verdict.
    assert err.index("SIMULATED") < err.index("Waiting until") < err.index("never steady for 1 s within 1.2 s")
    assert main([*words, "--on-unknown", "pass"]) == 0
    assert "NOT CHECKED" in capsys.readouterr().err


def test_a_steady_machine_is_judged_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--demo", "--util", "0.5", "--wait-quiet", "0.5", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "valid"
    assert err.count("SIMULATED") == 1


def test_an_interruption_ends_a_wait_at_once(standin: StandIn) -> None:
    standin.write(State(devices=[Device(processes=[])]))
    waiting = check(standin, "--wait-quiet", "500")
    assert waiting.stderr is not None
    assert "Waiting until" in waiting.stderr.readline()
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, out) == (130, ""), err
    assert "Traceback" not in err


def unknown(tmp_path: Path) -> str:
    file = tmp_path / "unknown.toml"
    file.write_text(
        '[gpu]\nnvml_total_mib = 12288\nfree_mib = 6000\n[[processes]]\npid = 5\nname = "VLLM::EngineCore"\n'
    )
    return str(file)


def test_what_the_unknown_means_for_a_start_is_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["check", "--scenario", unknown(tmp_path), "--util", "0.5"]
    assert main(words) == 3
    assert "NOT CHECKED" not in capsys.readouterr().err
    assert main([*words, "--on-unknown", "pass"]) == 0
    assert "NOT CHECKED: --on-unknown pass" in capsys.readouterr().err
    # Neither a plan that does not hold nor wrong usage is unknown.
    assert main(["check", "--demo", "--util", "0.4", "--on-unknown", "pass"]) == 1
    assert main(["check", "--demo", "--gpu", "7", "--on-unknown", "pass"]) == 2


def check(standin: StandIn, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gpu_tui", "check", "--util", "0.3", *words]
    return subprocess.Popen(command, env=standin.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_broken_driver_fails_a_start_or_lets_it_go_on(standin: StandIn) -> None:
    standin.write(State(init_error=DRIVER_NOT_LOADED))
    for words, code in (((), 3), (("--on-unknown", "pass"), 0)):
        done = check(standin, *words)
        _, err = done.communicate(timeout=60)
        assert done.returncode == code, err
        assert ("NOT CHECKED" in err) == (code == 0)


def test_a_tenant_that_grows_is_waited_for_on_a_machine(standin: StandIn, sleepers: Sleepers) -> None:
    whisper = sleepers.start(["/usr/bin/whisper-server"], comm="whisper-server").pid

    def holds(mib: float) -> None:
        standin.write(State(devices=[Device(processes=[Process(whisper, mib)])]))

    holds(1000)
    waiting = check(standin, "--wait-quiet", "2", "--wait-timeout", "50")
    began = time.monotonic()
    while time.monotonic() - began < 5:
        holds(1000 + 200 * (time.monotonic() - began))
        assert waiting.poll() is None, waiting.communicate()
        time.sleep(0.1)
    out, err = waiting.communicate(timeout=60)
    assert waiting.returncode in (0, 1), err  # a verdict: which, is the three checks' business
    assert "Not yet: GPU 0's free memory moved by" in err
    assert "(other)" in err
    assert "Steady for" in err
    assert out
