"""Fixtures over the stand-in: compiled once, a machine of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.standin import Built, Sleepers, StandIn, build


@pytest.fixture(scope="session")
def standin_built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The compiled library and sleeper."""
    return build(tmp_path_factory.mktemp("standin"))


@pytest.fixture
def standin(tmp_path: Path, standin_built: Built) -> StandIn:
    """One idle RTX 3060, to be changed by `write`."""
    return StandIn(tmp_path, standin_built)


@pytest.fixture
def sleepers(standin_built: Built) -> Iterator[Sleepers]:
    """Real processes; they end with the test."""
    with Sleepers(standin_built) as started:
        yield started
