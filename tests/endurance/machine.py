"""A machine that never rests, and a clock that runs as fast as it is read: a day in minutes, always the same one."""

from __future__ import annotations

import random
import threading
import time

from gpu_tui.core.snapshot import Fault, FaultKind, Gpu, GpuProcess, ProcessInfo, Snapshot
from gpu_tui.errors import SourceUnavailable
from gpu_tui.units import MIB

TOTAL = 81559 * MIB
RESERVED = 539 * MIB
MOST_AT_ONCE = 24
"""Processes per GPU."""
BEGUN = 1_767_225_600.0


class FastClock:
    """Whoever waits on the thread that `drives` it moves it on; others wait until it has moved.

    Args:
        drives: name of the thread that reads.
        until: monotonic seconds at which it stands still for good.
        pause_every: how many steps until the other threads are given a moment.
    """

    def __init__(self, drives: str, until: float, pause_every: int = 1) -> None:
        self._drives, self._until, self._pause_every = drives, until, pause_every
        self._monotonic = 0.0
        self._offset = BEGUN
        self.over = threading.Event()

    def monotonic(self) -> float:
        return self._monotonic

    def wall(self) -> float:
        return self._monotonic + self._offset

    def set_wall(self, by: float) -> None:
        """Somebody sets the machine's clock."""
        self._offset += by

    def wait(self, seconds: float, wake: threading.Event) -> bool:
        if threading.current_thread().name == self._drives:
            if self._monotonic + seconds > self._until:
                self.over.set()
                wake.wait()
            else:
                self._monotonic += seconds
                if int(self._monotonic) % self._pause_every == 0:
                    time.sleep(0.002)
            return wake.is_set()
        deadline = self._monotonic + seconds
        while self._monotonic < deadline and not wake.is_set():
            wake.wait(0.005)
        return wake.is_set()


class Churning:
    """A source: two GPUs whose processes come and go; resets, a driver that goes away, a clock that is set.

    Args:
        clock: stamps the snapshots.
        seconds: how long it will be read, once a second.
        pids: how many processes live meanwhile.
        seed: the same seed, the same day.
    """

    def __init__(self, clock: FastClock, seconds: int, pids: int, seed: int = 7) -> None:
        self._clock, self._dice = clock, random.Random(seed)
        self._births = pids / seconds
        self._pid = 1000
        self._living: list[dict[int, tuple[ProcessInfo, int]]] = [{}, {}]
        self._lost_until = [-1.0, -1.0]
        self._away_until = -1.0
        self.reads = self.snapshots = self.errors = self.born = self.resets = self.jumps = 0
        self.closed = False

    def read(self) -> Snapshot:
        self.reads += 1
        now, dice = self._clock.monotonic(), self._dice
        self._live(now)
        if dice.random() < 1 / 1800:
            self.jumps += 1
            self._clock.set_wall(dice.choice([-3600.0, 3600.0, -1.5, 86400.0 / 4, -86400.0 / 4]))
        if dice.random() < 1 / 3600:
            self._away_until = now + 20
        if now < self._away_until:
            self.errors += 1
            raise SourceUnavailable("The driver is gone.", "Wait.", kind=FaultKind.DRIVER_NOT_LOADED.value)
        self.snapshots += 1
        infos = {pid: info for gpu in self._living for pid, (info, _) in gpu.items()}
        return Snapshot(
            taken_at=self._clock.wall(),
            taken_monotonic=now,
            source="scenario",
            source_detail="endurance",
            simulated=True,
            gpus=tuple(self._gpu(i, now) for i in range(2)),
            processes=infos,
        )

    def close(self) -> None:
        self.closed = True

    def _live(self, now: float) -> None:
        dice = self._dice
        for number, living in enumerate(self._living):
            if dice.random() < 1 / 1800:  # a reset: all that computed there is gone
                self.resets += 1
                self._lost_until[number] = now + 15
                living.clear()
            for pid in [pid for pid in living if dice.random() < self._births / MOST_AT_ONCE]:
                del living[pid]
            for pid in dice.sample(sorted(living), min(2, len(living))):
                info, size = living[pid]
                living[pid] = info, max(2 * MIB, size + dice.randrange(-64, 65) * MIB)
        due = self._births
        while due >= 1 or dice.random() < due:
            self._bear(now)
            due -= 1

    def _bear(self, now: float) -> None:
        living = self._living[self._dice.randrange(2)]
        if len(living) >= MOST_AT_ONCE:
            del living[next(iter(living))]
        self._pid += 1
        self.born += 1
        name, argv = self._who()
        info = ProcessInfo(pid=self._pid, name=name, cmdline=argv, user="ada", ppid=1, started_at=BEGUN + now)
        living[self._pid] = info, self._dice.randrange(64, 3000) * MIB

    def _who(self) -> tuple[str, tuple[str, ...]]:
        kind, pid = self._dice.randrange(6), self._pid
        if kind == 0:
            return "ollama", ("/usr/local/bin/ollama", "runner", "--port", str(20000 + pid % 10000))
        if kind == 1:
            return "vllm", ("vllm", "serve", f"org/model-{pid}", "--port", str(20000 + pid))
        if kind == 2:
            return "VLLM::EngineCor", ("VLLM::EngineCore",)  # its server is nowhere: an orphan, or a row of its own
        if kind == 3:
            return "python", ("python", "-m", "kloros_voice")
        return f"job-{pid}", (f"/opt/job-{pid}", "--step", str(pid))

    def _gpu(self, number: int, now: float) -> Gpu:
        uuid, name = f"GPU-{number}", "NVIDIA H100 80GB HBM3"
        if now < self._lost_until[number]:
            fault = Fault(kind=FaultKind.GPU_LOST, message=f"GPU {number} was lost.", remedy="Wait.")
            gone = dict.fromkeys(("total_bytes", "used_bytes", "free_bytes", "reserved_bytes", "processes"))
            return Gpu(index=number, uuid=uuid, name=name, faults=(fault,), **gone)  # type: ignore[arg-type]
        rows = tuple(GpuProcess(pid=pid, used_bytes=size) for pid, (_, size) in sorted(self._living[number].items()))
        used = sum(row.used_bytes or 0 for row in rows)
        return Gpu(
            index=number,
            uuid=uuid,
            name=name,
            total_bytes=TOTAL,
            used_bytes=used,
            free_bytes=TOTAL - RESERVED - used,
            reserved_bytes=RESERVED,
            utilization_pct=self._dice.randrange(101),
            temperature_c=self._dice.randrange(40, 90),
            power_w=300.0,
            processes=rows,
        )
