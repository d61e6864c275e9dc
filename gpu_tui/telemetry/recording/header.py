"""The first line of every block: what this file is, who wrote it, and about which machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from gpu_tui.errors import ConfigError
from gpu_tui.telemetry.recording.blocks import SCHEMA
from gpu_tui.telemetry.recording.values import Json
from gpu_tui.view.text import clean

TYPE = "gpu-tui recording"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a recorder says of itself."""

    version: str
    """Of gpu-tui."""
    interval_s: float
    started_at: float
    """Wall clock of the recorder's first observation, seconds since the epoch."""
    host: str | None = None
    """None: left out by the user's wish."""
    driver_version: str | None = None

    def line(self) -> Json:
        """As it is written."""
        told: Json = {"schema": SCHEMA, "type": TYPE, "gpu_tui": self.version, "interval_s": self.interval_s}
        told["started_at"] = round(self.started_at, 3)
        if self.host is not None:
            told["host"] = self.host
        if self.driver_version is not None:
            told["driver_version"] = self.driver_version
        return told


def newer(path: Path, schema: object, version: object = None) -> ConfigError:
    """The error of a recording by a later gpu-tui."""
    by = f" by gpu-tui {clean(str(version), 40)}" if version is not None else ""
    told = clean(str(schema), 20)
    return ConfigError(
        f"{clean(str(path))} was written{by} with schema {told}, and this gpu-tui reads up to {SCHEMA}.",
        "Replay it with a newer gpu-tui.",
    )


def parse_header(line: bytes, path: Path) -> Header:
    """The header in a block's first line.

    Raises:
        ConfigError: of a newer schema.
        ValueError: it is no header.
    """
    told = json.loads(line)
    if not isinstance(told, dict) or told.get("type") != TYPE:
        raise ValueError("no header")
    schema = told.get("schema")
    if not isinstance(schema, int) or schema < 1:
        raise ValueError("no schema")
    if schema > SCHEMA:
        raise newer(path, schema, told.get("gpu_tui"))
    host, driver = told.get("host"), told.get("driver_version")
    return Header(
        version=clean(str(told.get("gpu_tui"))),
        interval_s=float(told.get("interval_s", 1.0)),
        started_at=float(told.get("started_at", 0.0)),
        host=clean(host) if isinstance(host, str) else None,
        driver_version=clean(driver) if isinstance(driver, str) else None,
    )
