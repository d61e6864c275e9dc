"""Memory is quiet when no GPU's free memory has moved for long enough."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from gpu_tui.core.quiet import Quiet, see
from gpu_tui.units import MIB


def after(*free: int | None, whisper: tuple[int, ...] = ()) -> Quiet:
    quiet = None
    for second, mib in enumerate(free):
        held = {"whisper": whisper[second] * MIB, "ollama": 7 * MIB} if whisper else {}
        quiet = see(quiet, float(second), {"0": None if mib is None else mib * MIB}, held)
    assert quiet is not None
    return quiet


def test_what_stands_still_is_quiet_since_the_first_reading() -> None:
    assert after(1000, 1000, 1020, 980).lasted_s == 3


def test_a_slow_ramp_is_movement_though_every_step_is_small() -> None:
    assert after(*range(1000, 1300, 20)).lasted_s < 4


def test_who_moved_is_named() -> None:
    quiet = after(1000, 500, whisper=(100, 600))
    assert (quiet.lasted_s, quiet.moved) == (0, "GPU 0's free memory moved by 500 MiB (whisper)")


def test_free_memory_that_is_unknown_is_never_quiet() -> None:
    assert after(1000, 1000, None).unknown == ("0",)
    assert after(1000, None, 1000, 1000).lasted_s == 1
    assert "cannot be read" in after(None, None).moved


def test_a_gpu_that_comes_in_later_begins_anew() -> None:
    quiet = see(None, 0.0, {"0": 1000})
    assert see(quiet, 9.0, {"0": 1000, "1": 5}).lasted_s == 0


@example([0, 1, 64, 1])
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=40))
def test_no_stretch_that_is_called_quiet_holds_a_move(free: list[int]) -> None:
    lasted = int(after(*free).lasted_s)
    stretch = free[len(free) - 1 - lasted :]
    assert max(stretch) - min(stretch) < 64
    before = free[: len(free) - lasted]
    assert len(before) == 1 or max(before) - min(before) >= 64, "it begins with a move, or with the first reading"
