"""The JSON shapes of `gpu-tui watch --jsonl`, of alert logs, commands and webhooks (schema 1).

One object a line. MiB are numbers with one decimal, instants ISO 8601 in UTC, unknown is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from gpu_tui.core.alerts import Alert
from gpu_tui.core.checks import Status
from gpu_tui.core.events import Event
from gpu_tui.core.observation import GpuSeen, Observation
from gpu_tui.units import wire_mib
from gpu_tui.view.text import clean
from gpu_tui.wire import SCHEMA

MOST_WORDS = 400


def stamp(wall_s: float) -> str:
    """An instant as ``2026-01-01T00:00:00.000Z``."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_object(event: Event) -> dict[str, Any]:
    """One thing that happened; `type` is its kind."""
    return {
        "schema": SCHEMA,
        "type": event.kind.value,
        "at": stamp(event.wall_s),
        "simulated": event.simulated,
        "message": clean(event.words, MOST_WORDS),
        "gpu": None if event.gpu_index is None else {"index": event.gpu_index, "uuid": clean(event.gpu or "", 64)},
        "service": None if event.service is None else clean(event.service, 64),
        "before_mib": wire_mib(event.before_bytes),
        "after_mib": wire_mib(event.after_bytes),
        "status": None if event.status is None else event.status.value,
        "fault": None if event.fault is None else event.fault.value,
        "alert": None if event.alert is None else clean(event.alert, 80),
    }


def state_object(now: Observation, alerts: Sequence[Alert] = ()) -> dict[str, Any]:
    """How the machine is: told at the start and now and then; `type` is ``state``."""
    return {
        "schema": SCHEMA,
        "type": "state",
        "at": stamp(now.wall_s),
        "simulated": now.simulated,
        "fault": None if now.fault is None else now.fault.kind.value,
        "message": None if now.fault is None else clean(now.fault.message, MOST_WORDS),
        "gpus": [_gpu(gpu) for gpu in now.gpus],
        "alerts": [_alert(alert) for alert in alerts],
    }


def note_object(kind: str, wall_s: float, message: str, *, simulated: bool) -> dict[str, Any]:
    """A line about the watch itself: ``reloaded``, ``reload_failed``, ``delivery_failed``, ``stopped``."""
    return {
        "schema": SCHEMA,
        "type": kind,
        "at": stamp(wall_s),
        "simulated": simulated,
        "message": clean(message, MOST_WORDS),
    }


def _gpu(gpu: GpuSeen) -> dict[str, Any]:
    status = gpu.status
    return {
        "index": gpu.index,
        "uuid": clean(gpu.key, 64),
        "name": clean(gpu.name, 64),
        "total_mib": wire_mib(gpu.total_bytes),
        "used_mib": wire_mib(gpu.used_bytes),
        "temperature_c": gpu.temperature_c,
        "gpu_memory_utilization": gpu.utilization,
        "status": None if status is None else status.value,
        "valid": None if status in (None, Status.UNKNOWN) else status is Status.VALID,
        "reason": clean(gpu.reason, MOST_WORDS) or None,
        "services": None
        if gpu.services is None
        else {
            clean(one.name, 64): {"running": one.running, "memory_mib": wire_mib(one.used_bytes)}
            for one in gpu.services
        },
        "faults": [fault.kind.value for fault in gpu.faults],
    }


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "alert": clean(alert.rule.name, 80),
        "phase": alert.phase.value,
        "since": None if alert.raised_wall_s is None else stamp(alert.raised_wall_s),
        "gpu": alert.gpu_index,
        "message": clean(alert.words, MOST_WORDS),
        "acknowledged": alert.acknowledged,
    }
