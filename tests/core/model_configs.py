"""The public configs of many models, as the tests read them."""

from __future__ import annotations

import json
from pathlib import Path

from gpu_tui.core.model_config import facts_from_config
from gpu_tui.core.model_facts import ModelFacts

DATA = Path(__file__).parent / "data"
CONFIGS = {path.stem: json.loads(path.read_text()) for path in sorted((DATA / "configs").glob("*.json"))}


def facts(name: str) -> ModelFacts:
    """What the config of this name tells."""
    return facts_from_config(CONFIGS[name], name=name)
