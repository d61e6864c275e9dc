"""``gpu-tui watch``: what happens on the machine, a line for each thing, until it is ended."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpu_tui.cli import exit_codes, output
from gpu_tui.config import Settings

if TYPE_CHECKING:
    from gpu_tui.core.events import Event
    from gpu_tui.core.observation import Observation

_EPILOG = """\
Events: services that appear, are gone or restarted, memory that grew or shrank by 256 MiB, the plan's verdict, faults,
and alerts ([[alerts]] in the configuration), which also go to [alerting]'s log, command and webhook; deployments: every
vLLM server that starts, its phases, its outcome with the cause, and races for memory meanwhile. Each start that was
watched goes into the journal with its outcome, never a simulated one.

signals: SIGHUP reads the configuration again (a mistaken one is told, and the old one stays), SIGUSR1 acknowledges the
alerts that stand, SIGTERM ends.

exit codes: 0 ended by SIGTERM, or after --for with no alert standing, 1 after --for with an alert standing,
2 wrong usage or configuration, 3 after --for if the machine cannot be read
"""

STATE_MINUTES = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.epilog = _EPILOG
    parser.add_argument("--jsonl", action="store_true", help="JSON lines for a program (schema 1)")
    parser.add_argument("--interval", type=float, metavar="S", help="seconds between readings (default 1)")
    parser.add_argument(
        "--state-every",
        type=_minutes,
        metavar="MIN",
        default=STATE_MINUTES,
        help="minutes between lines about the state as it is (default 60; 0: at the start alone)",
    )
    parser.add_argument("--for", dest="for_s", type=_seconds, metavar="S", help="end after so many seconds")
    parser.add_argument(
        "--send-simulated", action="store_true", help="let a simulated machine's alerts go to log, command and webhook"
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Watch until it is ended.

    Raises:
        ConfigError: the settings or the scenario do not mean anything.
    """
    from gpu_tui.cli.watcher import Watcher

    told = _Lines(jsonl=args.jsonl)
    return Watcher(args.options, settings, told, send_simulated=args.send_simulated).run(
        state_every_s=args.state_every * 60, for_s=args.for_s
    )


class _Lines:
    """Prints what is told, as text or as JSON lines."""

    def __init__(self, *, jsonl: bool) -> None:
        self._jsonl = jsonl
        self._told = ""

    def event(self, event: Event) -> None:
        """One thing that happened."""
        from gpu_tui.wire_events import event_object

        self._line(event_object(event))

    def state(self, now: Observation, alerts: Sequence[Any]) -> None:
        """How it is."""
        from gpu_tui.wire_events import state_object

        told = state_object(now, alerts)
        if self._jsonl:
            output.write_json(told, line=True)
            return
        for gpu in told["gpus"]:
            self._line({**told, "message": _gpu_words(gpu), "gpu": gpu})
        if not told["gpus"]:
            self._line({**told, "message": told["message"] or "no GPU"})
        for alert in told["alerts"]:
            self._line({**told, "message": f"alert {alert['phase']}: {alert['alert']}: {alert['message']}"})

    def deployment(self, told: dict[str, Any]) -> None:
        """A server that went on, or a race. For people an outcome that tells what its phase told is left out."""
        if self._jsonl or told["message"] != self._told:
            self._line(told)
        self._told = told["message"]

    def note(self, kind: str, wall_s: float, message: str, *, simulated: bool) -> None:
        """Something about the watch itself."""
        from gpu_tui.wire_events import note_object

        self._line(note_object(kind, wall_s, message, simulated=simulated))

    def _line(self, told: dict[str, Any]) -> None:
        if self._jsonl:
            output.write_json(told, line=True)
            return
        mark = "SIMULATED  " if told["simulated"] else ""
        where = "" if told.get("gpu") is None else f"GPU {told['gpu']['index']}  "
        output.write(f"{told['at']}  {mark}{told['type']:<17}  {where}{told['message']}")
        output.flush()


def _gpu_words(gpu: dict[str, Any]) -> str:
    held = gpu["services"] or {}
    services = ", ".join(
        f"{name} {'unknown' if one['memory_mib'] is None else round(one['memory_mib'])}"
        for name, one in held.items()
        if one["running"]
    )
    plan = "no plan" if gpu["status"] is None else f"{gpu['status']}: {gpu['reason']}"
    return f"{services or 'services unknown' if gpu['services'] is None else services or 'idle'} (MiB); {plan}"


def _seconds(text: str) -> float:
    return _number(text, 0.01, "seconds above 0")


def _minutes(text: str) -> float:
    return _number(text, 0.0, "minutes, 0 or more")


def _number(text: str, low: float, allowed: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= 1e7:  # refuses NaN as well
        raise argparse.ArgumentTypeError(f"{text!r}: give {allowed}")
    return value


__all__ = ["configure", "exit_codes", "run"]
