"""Where files of the user's lie where nobody says otherwise, by the XDG rules as platformdirs applies them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def journal_file(environ: Mapping[str, str] = os.environ) -> Path:
    """``gpu-tui/journal.db`` in the user's data folder."""
    base = environ.get("XDG_DATA_HOME", "").strip()
    return (Path(base) if base else Path.home() / ".local" / "share") / "gpu-tui" / "journal.db"
