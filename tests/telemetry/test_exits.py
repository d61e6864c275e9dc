"""Watching processes end: exact, and within the files a process may open."""

from __future__ import annotations

import subprocess
import sys

from gpu_tui.telemetry.exits import ExitWatch
from tests.standin import Sleepers

LIMITED = """
import resource, sys
from gpu_tui.telemetry.exits import ExitWatch
soft, hard, *pids = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
watch = ExitWatch()
print(sum(watch.watch(pid) for pid in pids), resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def watched(soft: int, hard: int, pids: list[int]) -> str:
    command = [sys.executable, "-c", LIMITED, *map(str, [soft, hard, *pids])]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_soft_limit_is_raised_when_half_of_it_is_used(sleepers: Sleepers) -> None:
    pids = sleepers.crowd(60)
    assert watched(64, 256, pids) == "60 (128, 256)"
    assert watched(64, 256, pids[:30]) == "30 (64, 256)"


def test_the_hard_limit_is_kept_to(sleepers: Sleepers) -> None:
    assert watched(64, 64, sleepers.crowd(60)) == "32 (64, 64)"


def test_who_ended_is_told_until_forgotten(sleepers: Sleepers) -> None:
    watch = ExitWatch()
    first, second = sleepers.kloros(), sleepers.ollama()
    assert watch.ended() == set()
    assert watch.watch(first)
    assert watch.watch(first)
    assert watch.watch(second)
    assert watch.ended() == set()
    sleepers.kill(first)
    assert watch.ended() == {first}
    assert watch.ended() == {first}
    watch.forget([first, 1])
    assert watch.ended() == set()
    assert len(watch) == 1
    watch.close()
    assert len(watch) == 0
    assert watch.watch(second)
    watch.close()


def test_who_does_not_exist_cannot_be_watched() -> None:
    assert not ExitWatch().watch(2**22 - 1)
