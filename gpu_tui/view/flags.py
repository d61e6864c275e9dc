"""vLLM's flags as typed in the explorer: texts to `StartInputs` and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gpu_tui.core.kv_options import ELEMENT_BITS
from gpu_tui.core.serve_options import size
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.vllm_version import accounting_of
from gpu_tui.errors import UsageError

_MOST = 2**31
_YES, _NO = ("yes", "y", "on", "true", "1"), ("no", "n", "off", "false", "0")


def parse_flags(texts: Mapping[str, str]) -> StartInputs:
    """What was typed; an empty text is a flag that was not typed.

    Args:
        texts: by name: `FLAGS`.

    Raises:
        UsageError: a text means nothing; says what is allowed.
    """
    told: dict[str, Any] = {}
    for name in FLAGS:
        text = texts.get(name, "").strip()
        if text:
            told |= _READERS[name](name, text)
    return StartInputs(**told)


def flag_texts(inputs: StartInputs | None) -> dict[str, str]:
    """Each flag as it would be typed; empty where it is not told."""
    one = inputs or StartInputs()
    eager = {True: "yes", False: "no", None: ""}[one.enforce_eager]
    length = "auto" if one.fit_max_model_len else _count_text(one.max_model_len)
    return {
        "max_model_len": length,
        "kv_cache_dtype": one.kv_cache_dtype or "",
        "max_num_seqs": _count_text(one.max_num_seqs),
        "tensor_parallel_size": _count_text(one.tensor_parallel_size),
        "version": one.version or "",
        "enforce_eager": eager,
    }


def _count_text(number: int | None) -> str:
    return "" if number is None else str(number)


def _length(name: str, text: str) -> dict[str, Any]:
    if text.lower() in ("auto", "-1"):
        return {"fit_max_model_len": True}
    return {**_count(name, text), "fit_max_model_len": False}


def _count(name: str, text: str) -> dict[str, Any]:
    number = size(text)
    if number is None or not 1 <= number <= _MOST:
        also = ", or auto" if name == "max_model_len" else ""
        raise UsageError(f"{FLAGS[name]}: {text!r} is no count.", f"Type a whole number such as 8192 or 8K{also}.")
    return {name: number}


def _dtype(name: str, text: str) -> dict[str, Any]:
    known = ["auto", *ELEMENT_BITS]
    if text.lower() not in known:
        raise UsageError(f"{FLAGS[name]}: {text!r} is not known.", f"Type one of {', '.join(known)}.")
    return {name: text.lower()}


def _version(name: str, text: str) -> dict[str, Any]:
    if accounting_of(text).release is None:
        raise UsageError(f"{FLAGS[name]}: {text!r} is no release.", "Type one such as 0.19.1.")
    return {name: text}


def _switch(name: str, text: str) -> dict[str, Any]:
    if text.lower() not in (*_YES, *_NO):
        raise UsageError(f"{FLAGS[name]}: {text!r} is neither yes nor no.", "Type yes or no.")
    return {name: text.lower() in _YES}


FLAGS = {
    "max_model_len": "max-model-len",
    "kv_cache_dtype": "kv-cache-dtype",
    "max_num_seqs": "max-num-seqs",
    "tensor_parallel_size": "tensor-parallel",
    "version": "vLLM version",
    "enforce_eager": "eager",
}
"""Fields of `StartInputs` that can be typed, and what they are called."""

_READERS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "max_model_len": _length,
    "kv_cache_dtype": _dtype,
    "max_num_seqs": _count,
    "tensor_parallel_size": _count,
    "version": _version,
    "enforce_eager": _switch,
}
