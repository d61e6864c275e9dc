"""What past starts teach, in words."""

from dataclasses import replace

from gpu_tui.core.learned import Learned, Seen
from gpu_tui.core.start_terms import Correction, TermName
from gpu_tui.units import GIB, mib_to_bytes
from gpu_tui.view.learned import learned_words

LEARNED = Learned(
    model="Qwen/Qwen3-8B",
    starts=3,
    corrections={
        TermName.WEIGHTS: Correction(size=-1024, spread=0, starts=1),
        TermName.ACTIVATION: Correction(size=round(0.31 * GIB), spread=round(0.05 * GIB), starts=3),
    },
    model_bytes=Seen(size=mib_to_bytes(5712), starts=3),
    min_kv_cache_bytes=Seen(size=mib_to_bytes(444), starts=2),
)


def test_offered_and_applied() -> None:
    assert learned_words(LEARNED, predicted=True, applied=False, how="apply with --learned") == (
        "Learned from 3 starts of Qwen3-8B: weights +0.00 GiB, activation +0.31 GiB ± 0.05; apply with --learned."
    )
    assert learned_words(LEARNED, predicted=True, applied=True, how="x") == (
        "Applied: learned from 3 starts of Qwen3-8B: weights +0.00 GiB, activation +0.31 GiB ± 0.05."
    )


def test_hand_set_figures() -> None:
    told = learned_words(LEARNED, predicted=False, applied=False, how="press L")
    assert told == "Learned from 3 starts of Qwen3-8B: model 5712 MiB, least KV cache 444 MiB; press L."


def test_a_name_that_commands_the_terminal_does_not_reach_it() -> None:
    hostile = Learned(model="a/\x1b[2J", starts=1, corrections={})
    assert "\x1b" not in learned_words(hostile, predicted=True, applied=True, how="x")


def test_what_one_request_took_is_offered_where_the_layers_are_not_known() -> None:
    told = replace(LEARNED, corrections={}, request_bytes=Seen(size=mib_to_bytes(512), starts=3))
    assert learned_words(told, predicted=True, applied=False, how="L applies it") == (
        "Learned from 3 starts of Qwen3-8B: least KV cache 512 MiB; L applies it."
    )
