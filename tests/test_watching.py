"""A watched machine on a driven clock: rules, faults, settings read again, and a long run of random faults."""

from __future__ import annotations

import contextlib
import gc
import random
import re
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_tui import config, wiring
from gpu_tui.clock import ManualClock
from gpu_tui.core.books import Books
from gpu_tui.core.cache_info import parse_cache_config
from gpu_tui.core.events import Event, EventKind
from gpu_tui.core.snapshot import Fault, FaultKind, Gpu, Snapshot
from gpu_tui.errors import SourceUnavailable
from gpu_tui.telemetry.poller import Reading
from gpu_tui.wiring.evidence import Evidence
from gpu_tui.wiring.latencies import Latencies
from gpu_tui.wiring.prober import CACHE_S, Prober
from gpu_tui.wiring.watching import Watch
from tests.alerting.test_delivery import until
from tests.factories import KLOROS, KLOROS_HOLDS, books_of, kloros

RAISED, CLEARED = EventKind.ALERT_RAISED, EventKind.ALERT_CLEARED


class Watched:
    """A watch whose machine is told reading by reading."""

    def __init__(self, tmp_path: Path, text: str, **parts: object) -> None:
        self.file = tmp_path / "config.toml"
        self.clock = ManualClock()
        self.events: list[Event] = []
        self.said: list[str] = []
        deliver = bool(parts.pop("deliver", False))
        self.watch = Watch(
            self.settings(text),
            self.clock,
            self.events.append,
            self.said.append,
            deliver=deliver,
            **parts,  # type: ignore[arg-type]
        )
        self.seq = 0

    def settings(self, text: str) -> config.Settings:
        self.file.write_text(text)
        return wiring.load_settings(wiring.Options(config=self.file))

    def see(self, machine: Snapshot | SourceUnavailable, after_s: float = 1.0) -> list[EventKind]:
        """One reading; the kinds of events it brought."""
        self.clock.advance(after_s)
        now = self.clock.monotonic()
        snapshot = error = None
        if isinstance(machine, Snapshot):
            snapshot = replace(machine, taken_monotonic=now, taken_at=self.clock.wall())
        else:
            error = machine
        before = len(self.events)
        self.seq += 1
        self.watch.take(Reading(seq=self.seq, snapshot=snapshot, error=error, started=now, finished=now))
        return [event.kind for event in self.events[before:]]


RULES = """
[[alerts]]
when = "plan_invalid"
for_s = 2
[[alerts]]
when = "memory_above"
service = "ollama"
above_mib = 3000
clear_mib = 2000
[[alerts]]
when = "telemetry_lost"
"""

GONE = SourceUnavailable("gone", kind="driver_not_loaded")


def full(mib: float) -> Snapshot:
    return kloros(holds=KLOROS_HOLDS | {2387058: mib})


def test_a_tenant_that_grows_is_told_once(tmp_path: Path) -> None:
    one = Watched(tmp_path, RULES)
    assert one.see(KLOROS) == []
    assert one.see(full(5150)) == [EventKind.GREW, EventKind.VERDICT, RAISED]
    assert one.see(full(5152)) == []
    assert one.see(KLOROS)[-1] is CLEARED


def test_the_verdict_is_told_and_raised_once_it_has_lasted(tmp_path: Path) -> None:
    one = Watched(tmp_path, RULES)
    one.see(KLOROS)
    assert EventKind.VERDICT in one.see(kloros(holds=KLOROS_HOLDS | {2816503: 5000}))
    assert one.see(kloros(holds=KLOROS_HOLDS | {2816503: 5000})) == []
    assert one.see(kloros(holds=KLOROS_HOLDS | {2816503: 5000})) == [RAISED]
    assert "the plan no longer holds" in one.events[-1].words


def test_a_driver_that_is_silent_is_a_fault_although_nothing_comes_back(tmp_path: Path) -> None:
    one = Watched(tmp_path, RULES)
    one.see(KLOROS)
    one.watch.stalled(7.9)
    assert one.events == []
    for _ in range(5):
        one.clock.advance(1)
        one.watch.stalled(9.0)
    assert [e.kind for e in one.events] == [EventKind.FAULT, RAISED]
    assert one.see(KLOROS) == [EventKind.FAULT_OVER, CLEARED]


def test_a_chosen_gpu_that_is_not_there_is_a_fault_and_no_crash(tmp_path: Path) -> None:
    one = Watched(tmp_path, 'gpu = "7"')
    assert one.see(KLOROS) == [EventKind.FAULT]
    assert "There is no GPU '7' here." in one.events[0].words


def test_other_settings_take_effect_and_standing_alerts_stay(tmp_path: Path) -> None:
    one = Watched(tmp_path, RULES)
    one.see(GONE)
    one.watch.reload(one.settings(RULES + '[[alerts]]\nwhen = "temperature"\nabove_c = 80\n'))
    assert [alert.rule.when.value for alert in one.watch.alerts.shown] == ["telemetry_lost"]
    one.watch.reload(one.settings(""))
    assert one.events[-1].kind is CLEARED


def test_nothing_leaves_the_process_for_a_machine_that_is_not_this_one(tmp_path: Path) -> None:
    log = tmp_path / "alerts.log"
    text = f'{RULES}\n[alerting]\nlog = "{log}"\n'
    one = Watched(tmp_path, text)
    one.see(GONE)
    one.watch.close(5.0)
    assert (one.events[-1].kind, log.exists()) == (RAISED, False)
    one = Watched(tmp_path, text, deliver=True)
    one.see(GONE)
    one.watch.close(5.0)
    assert log.read_text().count("alert_raised") == 1


def test_the_kv_cache_is_asked_for_slowly_and_beside_the_readings(tmp_path: Path) -> None:
    clock, asked = ManualClock(), []
    pages = {0: 0.97, 1: 0.5}

    def get(port: int, path: str) -> str:
        asked.append((port, path))
        return f'vllm:kv_cache_usage_perc{{engine="0"}} {pages[min(1, len(asked) - 1)]}\n'

    assert parse_cache_config('vllm:kv_cache_usage_perc{engine="0"} 0.97\n').engines[0].kv_usage == 0.97
    prober = Prober(clock, seek=lambda *_: Evidence(), get=get, watch_cache=True)
    live = replace(KLOROS, simulated=False, source="nvml")
    text = '[[alerts]]\nwhen = "kv_cache_full"\nabove_pct = 95\n'
    one = Watched(tmp_path, text, prober=prober)
    one.clock = clock
    one.see(live)
    until(lambda: prober.kv_usage(live, books_of(live)) == 0.97)
    one.see(live)
    assert [event.kind for event in one.events] == [RAISED]
    assert len(asked) == 1, "not at every reading"
    assert asked[0] == (8001, "/metrics")
    one.see(live, CACHE_S)
    until(lambda: prober.kv_usage(live, books_of(live)) == 0.5)
    one.see(live)
    assert [event.kind for event in one.events] == [RAISED, CLEARED]
    prober.close()


def test_a_server_that_hangs_keeps_no_reading_waiting(tmp_path: Path) -> None:
    never = threading.Event()

    def seek(_seen: Snapshot, _books: Books) -> Evidence:
        never.wait(60)
        return Evidence()

    prober = Prober(ManualClock(), seek=seek, watch_cache=True)
    one = Watched(tmp_path, RULES, prober=prober)
    live = replace(KLOROS, simulated=False, source="nvml")
    for _ in range(50):
        one.see(live)
    assert [t.name for t in threading.enumerate()].count("gpu-tui-prober") == 1
    never.set()
    prober.close()


def test_the_journals_last_run_is_held_against_the_slo(tmp_path: Path) -> None:
    figures: dict[str, float] = {"stt": 900.0}
    clock = ManualClock()
    latencies = Latencies(config.Settings(), clock, lambda _settings, _wall: dict(figures))
    one = Watched(
        tmp_path, '[[alerts]]\nwhen = "latency_above_slo"\nfigure = "stt"\nabove_ms = 500\n', latencies=latencies
    )
    one.clock = clock
    one.see(KLOROS)
    until(lambda: latencies.now() == figures)
    one.see(KLOROS)
    assert [event.kind for event in one.events] == [RAISED]
    figures["stt"] = 300.0
    one.see(KLOROS, 40)
    until(lambda: latencies.now() == figures)
    one.see(KLOROS)
    assert [event.kind for event in one.events] == [RAISED, CLEARED]


def descriptors_open() -> Counter[str]:
    """What this process holds open, after what earlier tests left to the garbage collector is gone."""
    gc.collect()
    found: Counter[str] = Counter()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[re.sub(r"\d+", "N", str(entry.readlink()))] += 1
    return found


def odd(dice: random.Random) -> Snapshot | SourceUnavailable:
    """A machine as it may come: tenants that come, go, grow; figures that are missing; a driver that fails."""
    roll = dice.random()
    if roll < 0.08:
        return SourceUnavailable("fault", kind=dice.choice([kind.value for kind in FaultKind] + ["new_kind"]))
    holds: dict[int, float | None] = {
        pid: dice.choice([mib, mib, (mib or 0) * dice.random() * 3, None]) for pid, mib in KLOROS_HOLDS.items()
    }
    holds[2839331] = dice.choice([None, 2000 * dice.random()])
    holds[2816503] = dice.choice([952, 952, 5800])
    for pid in list(holds):
        if dice.random() < 0.1:
            del holds[pid]
    machine = kloros(holds=holds)
    if roll < 0.16:
        fault = Fault(kind=dice.choice(list(FaultKind)), message="odd")
        blind: Gpu = replace(machine.gpus[0], processes=None, faults=(fault,))
        if roll < 0.12:
            blind = replace(blind, total_bytes=None, used_bytes=None, free_bytes=None)
        machine = replace(machine, gpus=(blind,))
    if roll > 0.98:
        machine = replace(machine, gpus=(), processes={})
    return machine


@pytest.mark.slow
def test_ten_thousand_ticks_of_random_faults_leak_nothing_and_keep_the_order(tmp_path: Path) -> None:
    log = tmp_path / "alerts.log"
    script = tmp_path / "fails.sh"
    script.write_text("#!/bin/sh\nexit 3\n")
    script.chmod(0o700)
    text = f'{RULES}\n[alerting]\nlog = "{log}"\ncommand = ["{script}"]\ntimeout_s = 5\n'
    text += '[[alerts]]\nwhen = "growth"\nabove_mib = 400\nwindow_s = 60\n'
    text += '[[alerts]]\nwhen = "service_gone"\nservice = "kloros"\nfor_s = 3\nlatch = true\n'
    threads = set(threading.enumerate())
    descriptors = descriptors_open()
    one = Watched(tmp_path, text, deliver=True)
    dice = random.Random(5)
    for tick in range(10_000):
        one.see(odd(dice), dice.choice([0.0, 0.1, 1.0, 1.0, 30.0]))
        if tick % 977 == 0:
            one.watch.acknowledge()
        if tick % 1999 == 0:
            one.watch.reload(one.settings(text))
    one.watch.close(20.0)
    until(lambda: set(threading.enumerate()) <= threads)  # what waits is still carried
    assert descriptors_open() - descriptors == Counter()
    by_alert: dict[tuple[str | None, str | None], list[EventKind]] = {}
    for event in one.events:
        if event.kind in (RAISED, CLEARED):
            by_alert.setdefault((event.alert, event.gpu), []).append(event.kind)
    assert len(by_alert) == 5
    for kinds in by_alert.values():
        assert kinds == [RAISED, CLEARED] * (len(kinds) // 2) + [RAISED] * (len(kinds) % 2)
    assert sum(map(len, by_alert.values())) > 500
    assert any("fails.sh has not taken an alert: it ended with 3." in words for words in one.said)
    assert log.read_text().count("\n") > 20
