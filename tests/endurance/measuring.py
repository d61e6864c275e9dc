"""What a process holds: memory, objects, threads, descriptors; and whether that stays."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Taken at one instant, after a full collection."""

    at_s: float
    rss: int
    objects: int
    threads: int
    descriptors: int

    def line(self) -> str:
        return (
            f"{self.at_s / 3600:6.2f} h   RSS {self.rss / 2**20:7.1f} MiB   {self.objects:8d} objects"
            f"   {self.threads:3d} threads   {self.descriptors:3d} descriptors"
        )


@contextmanager
def alone() -> Iterator[None]:
    """No other thread runs meanwhile, unless this one waits for something.

    Whoever lists all objects also holds the tuple that another thread is just building from an iterator, and CPython
    then refuses to finish it (SystemError, python/cpython#59313).
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(60)
    time.sleep(2 * before)  # who waits for its turn already has asked for it
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def held(at_s: float) -> Held:
    """What this process holds now."""
    gc.collect()
    with alone():
        objects = len(gc.get_objects())
    return Held(
        at_s=at_s,
        rss=psutil.Process().memory_info().rss,
        objects=objects,
        threads=threading.active_count(),
        descriptors=len(list(Path("/proc/self/fd").iterdir())),
    )


def kinds() -> Counter[str]:
    """Live objects by type, to name what leaks."""
    with alone():
        return Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())


def grown(before: Counter[str], after: Counter[str], most: int = 8) -> str:
    """Which types grew most between two countings."""
    return ", ".join(f"{name} +{count}" for name, count in (after - before).most_common(most))


def flat(figures: Sequence[Held], most_mib: float, most_objects: int) -> str:
    """What has grown between the first and the last figures; empty where nothing did."""
    first, last = figures[0], figures[-1]
    wrong = []
    if last.rss - first.rss > most_mib * 2**20:
        wrong.append(f"RSS grew by {(last.rss - first.rss) / 2**20:.1f} MiB")
    if last.objects - first.objects > most_objects:
        wrong.append(f"{last.objects - first.objects} more objects")
    if last.threads > first.threads:
        wrong.append(f"{last.threads - first.threads} more threads")
    if last.descriptors > first.descriptors:
        wrong.append(f"{last.descriptors - first.descriptors} more descriptors")
    return "; ".join(wrong)


def tell(capsys: pytest.CaptureFixture[str], *lines: str, figures: Sequence[Held] = ()) -> None:
    """Print figures, whether or not the test passes."""
    with capsys.disabled():
        sys.stdout.write("\n" + "\n  ".join([*lines, *(one.line() for one in figures)]) + "\n")
