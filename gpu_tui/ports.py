"""The few Protocols behind which the world sits. Use cases see adapters only through these."""

from __future__ import annotations

from typing import Protocol

from gpu_tui.core.snapshot import Snapshot


class TelemetrySource(Protocol):
    """A machine that can be read: NVML, a scenario, a recording."""

    def read(self) -> Snapshot:
        """The machine now.

        Raises:
            SourceUnavailable: it cannot be read at all; a later call may succeed again.
        """
        ...

    def close(self) -> None:
        """Give back what is held; a second call does nothing."""
        ...
