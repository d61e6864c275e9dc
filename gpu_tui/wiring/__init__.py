"""Puts the product together: configuration -> source, model, choices, measurement plan, evaluator.

The only room that names concrete adapters. They are imported at their first use, so that `gpu-tui check` on a live
machine loads no scenario, no bench, no evaluator, and never the UI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpu_tui.wiring.machine import DEMO as DEMO
from gpu_tui.wiring.machine import READ_TIMEOUT_S as READ_TIMEOUT_S
from gpu_tui.wiring.machine import Options as Options
from gpu_tui.wiring.machine import choose_gpus as choose_gpus
from gpu_tui.wiring.machine import choose_restarts as choose_restarts
from gpu_tui.wiring.machine import classifier as classifier
from gpu_tui.wiring.machine import load_settings as load_settings
from gpu_tui.wiring.machine import model_need as model_need
from gpu_tui.wiring.machine import open_source as open_source
from gpu_tui.wiring.machine import read_once as read_once
from gpu_tui.wiring.machine import running_utilization as running_utilization
from gpu_tui.wiring.machine import setting_origin as setting_origin
from gpu_tui.wiring.machine import start_utilization as start_utilization

if TYPE_CHECKING:
    from gpu_tui.wiring.evaluating import Evaluator as Evaluator
    from gpu_tui.wiring.measuring import demo_servers as demo_servers
    from gpu_tui.wiring.measuring import measure_plan as measure_plan
    from gpu_tui.wiring.recording import journal_path as journal_path
    from gpu_tui.wiring.recording import journal_there as journal_there
    from gpu_tui.wiring.recording import open_journal as open_journal
    from gpu_tui.wiring.recording import record_run as record_run

_LATER = {
    "Evaluator": "evaluating",
    "demo_servers": "measuring",
    "measure_plan": "measuring",
    "journal_path": "recording",
    "journal_there": "recording",
    "open_journal": "recording",
    "record_run": "recording",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
