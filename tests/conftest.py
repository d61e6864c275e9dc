"""What every test may rely on: no user's configuration, no surprising environment."""

from __future__ import annotations

import importlib.util
import os

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.standin.fixtures"] if importlib.util.find_spec("tests.standin") else []

# A shared machine may stall for a second at any time; how long an example takes is no property of the product.
settings.register_profile("gpu-tui", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("gpu-tui")

_ASKED_FOR = {"real": "real vLLM and Whisper", "soak": "a whole day"}
_left_out = pytest.StashKey[dict[str, int]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of real services install some 3 GB, those of a day take minutes: they run where `-m` asks for them."""
    for mark in _ASKED_FOR:
        left_out = [item for item in items if item.get_closest_marker(mark)]
        if left_out and mark not in config.option.markexpr:
            items[:] = [item for item in items if item not in left_out]
            config.hook.pytest_deselected(items=left_out)
            config.stash[_left_out] = {**config.stash.get(_left_out, {}), mark: len(left_out)}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What was left out is told, so that nobody takes a green run for more than it is."""
    for mark, count in config.stash.get(_left_out, {}).items():
        terminalreporter.line(f"Left out: {count} tests of {_ASKED_FOR[mark]}; -m {mark} runs them.", yellow=True)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in list(os.environ):
        if name.startswith("GPU_TUI_"):
            monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "LINES", "VLLM_PROCESS_NAME_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm-256color")
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        folder = home / name.lower()
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    for name in ("XDG_CONFIG_DIRS", "XDG_DATA_DIRS"):
        monkeypatch.setenv(name, str(home / "none"))
