"""The settings in effect, as frozen values with their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gpu_tui.core.checks import DEFAULT_MIN_KV_CACHE_BYTES, DEFAULT_MODEL_BYTES
from gpu_tui.core.fitness import DEFAULT_TARGETS, DEFAULT_WEIGHTS, Targets, Weights
from gpu_tui.core.services import DEFAULT_RULES, ServiceRule
from gpu_tui.units import bytes_to_mib

if TYPE_CHECKING:
    from gpu_tui.core.alert_rules import Rule


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """``[model]``: what the planned model takes, per GPU."""

    name: str | None = None
    model_mib: float = bytes_to_mib(DEFAULT_MODEL_BYTES)
    min_kv_cache_mib: float = bytes_to_mib(DEFAULT_MIN_KV_CACHE_BYTES)
    startup_overhead_mib: float = 0.0
    headroom_mib: float = 0.0
    """Kept free of everything; with `headroom_pct` the larger of the two counts."""
    headroom_pct: float = 0.0
    """The same as a share of the GPU's total, in percent."""
    gpu_memory_utilization: float = 0.50


@dataclass(frozen=True, kw_only=True)
class EvaluatorSettings:
    """``[evaluator]``: the optimizer's bounds of gpu_memory_utilization, and its fitness."""

    min: float = 0.30
    max: float = 0.70
    weights: Weights = DEFAULT_WEIGHTS
    targets: Targets = DEFAULT_TARGETS


@dataclass(frozen=True, kw_only=True)
class EndpointSettings:
    """``[endpoints]``: what is measured; None is looked for."""

    llm: str | None = None
    llm_model: str | None = None
    stt: str | None = None
    stt_model: str | None = None
    stt_local: str | None = None
    """Folder of a Whisper model for CTranslate2, measured instead of a server."""
    stt_device: str = "auto"
    """Of `stt_local`: ``auto``, ``cpu`` or ``cuda``."""
    stt_size: str | None = None
    """Label: the size of Whisper, where neither server nor model tell."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; the key itself never stands in a file."""


@dataclass(frozen=True, kw_only=True)
class MeasureSettings:
    """``[measure]``: the load of one run; see `gpu_tui.bench.plan.MeasurePlan`."""

    requests: int = 20
    concurrency: int = 1
    warmup: int = 2
    timeout_s: float = 60.0
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    voice_budget_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class AlertingSettings:
    """``[alerting]``: where alerts go beside the screen."""

    bell: bool = True
    """The terminal's, in the explorer."""
    log: str | None = None
    """A file that gets a line for each."""
    command: tuple[str, ...] | None = None
    """Started for each, with the alert as JSON on its standard input; no shell."""
    webhook: str | None = None
    """Gets each as a POST with JSON."""
    timeout_s: float = 10.0
    """Longest a command or a webhook may take."""


@dataclass(frozen=True, kw_only=True)
class ValueOrigin:
    """Where one setting comes from."""

    kind: str = "default"
    """``default``, ``file``, ``environment`` or ``flag``."""
    where: str = ""
    """The file's path, the variable's or the flag's name."""

    def __str__(self) -> str:
        return f"{self.kind} {self.where}".rstrip()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be configured, as it is in effect."""

    gpu: str | None = None
    """NVML's index, a UUID, or ``all``."""
    interval_s: float = 1.0
    restarts: int | None = None
    """Pid or port of the vLLM instance that restarts with the plan."""
    theme: str | None = None
    journal: str | None = None
    """Where runs are kept instead of in the user's data folder; ``off``: nowhere."""
    peaks: str | None = None
    """Where the explorer keeps the peaks it saw instead of in the user's state folder; ``off``: nowhere."""
    model: ModelSettings = ModelSettings()
    services: tuple[ServiceRule, ...] = DEFAULT_RULES
    """In the order in which they are tried: the user's, then the built-in ones that none of them replaces."""
    evaluator: EvaluatorSettings = EvaluatorSettings()
    endpoints: EndpointSettings = EndpointSettings()
    measure: MeasureSettings = MeasureSettings()
    alerting: AlertingSettings = AlertingSettings()
    alerts: tuple[Rule, ...] = ()
    origins: Mapping[str, ValueOrigin] = field(default_factory=dict)
    """By key path (``model.model_mib``); what is not in it is a default."""

    def origin(self, key: str) -> ValueOrigin:
        """Where the value of ``model.model_mib`` and the like comes from."""
        return self.origins.get(key, ValueOrigin())

    def at(self, key: str) -> Any:
        """The value of a key path."""
        found: Any = self
        for part in key.split("."):
            found = getattr(found, part)
        return found
