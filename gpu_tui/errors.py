"""The errors a user can cause or meet. Each says what happened and what to do; none knows an exit code."""

from __future__ import annotations

import shlex
import sys


class GpuTuiError(Exception):
    """Root of every expected error.

    Args:
        message: one sentence, what happened.
        remedy: one sentence, what to do about it; empty when there is nothing to do.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()


class SourceUnavailable(GpuTuiError):
    """The machine cannot be read now: driver missing, not loaded, hanging, or the GPU lost.

    Args:
        kind: a stable word for the cause, such as ``driver_missing`` (see `gpu_tui.core.snapshot.FaultKind`).
    """

    def __init__(self, message: str, remedy: str = "", kind: str = "other") -> None:
        super().__init__(message, remedy)
        self.kind = kind


class ConfigError(GpuTuiError):
    """A configuration or scenario file, environment variable or flag does not mean anything."""


class UsageError(GpuTuiError):
    """The command asks for something ambiguous or absent: which GPU, which vLLM instance."""


class EndpointError(GpuTuiError):
    """A service to be measured does not answer, or not as the protocol says."""


class ModelError(GpuTuiError):
    """A model cannot be found here, or its files do not mean anything."""


def how_to_install(package: str) -> str:
    """What to type to have a package beside gpu-tui; also where its environment was made without pip."""
    return f"Install it beside gpu-tui: python3 -m pip --python {shlex.quote(sys.executable)} install {package}"
