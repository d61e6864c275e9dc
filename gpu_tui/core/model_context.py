"""The context length and the dtype a model is served with, as vLLM derives them from `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from gpu_tui.core.config_reader import ConfigReader

_LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_target_positions",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
_ALREADY_SCALED = {"su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling", "default", "mrope"}
"""Kinds of rotary scaling whose factor the config's length contains already."""
DEFAULT_LENGTH = 2048
"""What vLLM takes where the config names no length (`_get_and_verify_max_len`)."""


def context_length(config: ConfigReader) -> tuple[int | None, tuple[str, ...]]:
    """Tokens, and what was assumed (`_get_and_verify_max_len` of vLLM 0.32).

    None for an extract that names no model either: it is no whole config.json, so its silence says nothing.
    """
    found = [n for name in _LENGTHS if (n := config.integer(name)) is not None]
    length: float = config.integer("model_max_length") or min(found, default=0)
    if not length and config.text("model_type") is None and not config.texts("architectures"):
        return None, ("the config names no context length",)
    if not length:
        return DEFAULT_LENGTH, (f"the config names no context length: vLLM takes {DEFAULT_LENGTH}",)
    scalings = _scalings(config)
    kinds = {kind for kind, _ in scalings}
    if "longrope" in kinds and (original := config.integer("original_max_position_embeddings")) is not None:
        return original, ()
    notes: tuple[str, ...] = ()
    if "gemma3" not in (config.text("model_type") or ""):
        factor = next((f for kind, f in scalings if kind not in _ALREADY_SCALED and f is not None), 1.0)
        length *= factor
        original = next((o for o in _originals(config) if o), None)
        if "yarn" in kinds and original == length:
            notes = (
                "max_position_embeddings is taken to contain the yarn factor, as by vLLM 0.32; older ones multiply",
            )
    return int(length), notes


def _tables(config: ConfigReader) -> list[ConfigReader]:
    outer = [table for name in ("rope_parameters", "rope_scaling") if (table := config.table(name)) is not None]
    nested = [inner for table in outer for key in islice(table.names(), 8) if (inner := table.table(key)) is not None]
    return outer + nested


def _scalings(config: ConfigReader) -> list[tuple[str, float | None]]:
    found = [(table.text("rope_type", "type"), table.number("factor")) for table in _tables(config)]
    return [(kind, factor) for kind, factor in found if kind is not None]


def _originals(config: ConfigReader) -> list[int | None]:
    return [table.integer("original_max_position_embeddings") for table in _tables(config)]


def served_dtype(config: Mapping[str, object], language: ConfigReader) -> tuple[str, tuple[str, ...]]:
    """The dtype `--dtype auto` picks, and what was assumed."""
    outer = ConfigReader(config)
    nested = [outer.table(name) for name in ("vision_config", "encoder_config")]
    places = [outer, language, *(table for table in nested if table is not None)]
    given = next((text for place in places if (text := place.text("dtype", "torch_dtype")) is not None), None)
    name = (given or "").removeprefix("torch.")
    if name in {"bfloat16", "float16"}:
        return name, ()
    if name in {"half", "fp16"}:
        return "float16", ()
    if name == "float32":
        return "bfloat16", (
            "a float32 checkpoint is served as bfloat16 (float16 by vLLM up to 0.8 and on GPUs before Ampere)",
        )
    return "bfloat16", ("the config names no dtype: taken as bfloat16",)
