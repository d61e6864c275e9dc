"""What the process says on leaving. Scripts rely on these numbers."""

from __future__ import annotations

from gpu_tui.errors import ConfigError, GpuTuiError, UsageError

OK = 0
INVALID = 1
"""`check` alone: the plan does not hold."""
USAGE = 2
"""Wrong usage or configuration, or a bad line of candidates."""
UNAVAILABLE = 3
"""Telemetry or a service cannot be reached, or what was asked cannot be told."""
INTERNAL = 70
"""A mistake of ours (EX_SOFTWARE of sysexits.h): never to be taken for a verdict."""
OUTPUT = 74
"""The result could not be written (EX_IOERR)."""
INTERRUPTED = 130
"""Ctrl-C."""
BROKEN_PIPE = 141
"""Whoever read the output went away; what a shell says of a program that SIGPIPE ended."""


def of(error: GpuTuiError) -> int:
    """The exit code of an expected error."""
    return USAGE if isinstance(error, (ConfigError, UsageError)) else UNAVAILABLE
