"""The end of the start sets its objects apart without a pause: a key may be waiting."""

from __future__ import annotations

import gc

from gpu_tui.cli import heap


def test_the_end_of_the_start_looks_for_no_garbage() -> None:
    looked: list[str] = []

    def look(phase: str, told: dict[str, int]) -> None:
        looked.append(phase)

    before, running = gc.get_threshold(), gc.isenabled()
    gc.disable()
    gc.callbacks.append(look)
    try:
        heap.start()
        assert gc.get_threshold()[0] == heap.STARTING
        heap.started()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold()[0] < heap.STARTING
        assert looked == []
        gc.collect()
        assert looked == ["start", "stop"], "a look is seen"
    finally:
        gc.callbacks.remove(look)
        gc.unfreeze()
        gc.set_threshold(*before)
        if running:
            gc.enable()
