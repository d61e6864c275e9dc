"""The exporter put together: a source, the poller that reads it, and the server that tells what was read last."""

from __future__ import annotations

from collections.abc import Callable

from gpu_tui.clock import Clock
from gpu_tui.config import Settings
from gpu_tui.core.assessment import Assessed
from gpu_tui.core.peaks import PeakKeeper, series_of
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import GpuTuiError, how_to_install
from gpu_tui.ports import TelemetrySource
from gpu_tui.telemetry.poller import Poller, Reading
from gpu_tui.wiring.assessing import Assessor
from gpu_tui.wiring.machine import Options, classifier, open_source
from gpu_tui.wiring.peak_log import PeakLog
from gpu_tui.wiring.prober import Prober

PATIENCE_S = 2.0
"""How long the peaks may still take to be written at the end."""


class Exporter:
    """Reads and serves from `start` until `close`.

    Args:
        options: which machine.
        settings: the plan and how often to read.
        clock: the time.
        host: where to listen; port: 0 takes a free one.
        tell: called on the poller's thread with a sentence when readings begin to fail, fail otherwise, or go on.
        source: read instead of what `options` name; for tests.

    Raises:
        GpuTuiError: prometheus-client is missing, or the address cannot be listened on.
    """

    def __init__(
        self,
        options: Options,
        settings: Settings,
        clock: Clock,
        host: str,
        port: int,
        *,
        tell: Callable[[str], None],
        source: TelemetrySource | None = None,
    ) -> None:
        try:
            import prometheus_client  # noqa: F401 - an extra: told when it is missing, before anything begins
        except ImportError:
            raise GpuTuiError(
                "The exporter needs the package prometheus-client, which is not installed.",
                how_to_install("prometheus-client"),
            ) from None
        from gpu_tui.exporter.latest import Latest
        from gpu_tui.exporter.server import Server

        self._tell = tell
        self._prober = Prober(clock)
        self._assessor = Assessor(settings, classifier(settings), self._prober.known)
        self._keepers: dict[str, PeakKeeper] = {}
        self._peaks: dict[tuple[str, str], int] = {}
        self._log = PeakLog(settings, clock, tell)
        self._poller = Poller(
            source or open_source(options, settings, clock), self._take, interval_s=settings.interval_s, clock=clock
        )
        self.latest = Latest(
            self._assess,
            clock,
            lambda: self._poller.stalled_for(clock.monotonic()),
            settings.interval_s,
            peaks=lambda: self._peaks,
            simulated=options.simulated,
        )
        self._server = Server(host, port, self.latest.families)
        self.url = self._server.url

    def _assess(self, snapshot: Snapshot) -> Assessed:
        """Judge, and note what each service holds; on the poller's thread."""
        seen = self._assessor.assess(snapshot)
        self._log.see(snapshot)
        peaks: dict[tuple[str, str], int] = {}
        for one in seen.gpus:
            keeper = self._keepers.setdefault(one.gpu.key, PeakKeeper())
            keeper.add(snapshot.taken_at, one.books)
            alone = keeper.peaks().alone
            for service in one.books.services:
                most = alone.get(series_of(service, one.books))
                if most is not None:
                    peaks[one.gpu.key, service.name] = most.size
        self._peaks = peaks  # at one stroke: a scrape reads it meanwhile
        return seen

    def _take(self, reading: Reading) -> None:
        before = self.latest.state.trouble
        try:
            self.latest.take(reading)
        finally:
            now = self.latest.state.trouble
            if now != before:
                self._tell(now or "The machine is read again.")

    def start(self) -> None:
        """Begin; returns at once."""
        self._poller.start()
        self._server.start()

    def close(self) -> None:
        """Stop listening and reading; a driver call that hangs is left behind."""
        self._server.close()
        self._poller.close()
        self._prober.close()
        self._log.close(PATIENCE_S)
