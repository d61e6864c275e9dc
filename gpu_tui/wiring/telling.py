"""What a reading brought of deployments, as the lines of `gpu-tui watch --jsonl`."""

from __future__ import annotations

from typing import Any

from gpu_tui.core.races import hands_off, others
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.wire_deployments import deployment_objects, race_object
from gpu_tui.wiring.deploying import News, Shown


def news_objects(news: News, shown: Shown, snapshot: Snapshot) -> list[dict[str, Any]]:
    """One object for each thing, in the order in which they happened."""
    indices = {gpu.key: gpu.index for gpu in snapshot.gpus}
    told: list[dict[str, Any]] = []
    for change in news.changes:
        one = change.deployment
        names = others(one, shown.tenants)
        said = shown.raced.get(one.who, ())
        told += deployment_objects(
            change, shown.at_s, shown.wall_s, indices, off=hands_off(one, names), others=names, races=said
        )
    told += [race_object(race, shown.wall_s, indices, over=True, simulated=shown.simulated) for race in news.over]
    told += [race_object(race, shown.wall_s, indices, over=False, simulated=shown.simulated) for race in news.races]
    return told
