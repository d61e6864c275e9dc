"""How a start was set up, and which of its measured terms still hold for a start that is set up otherwise.

Pure rules: a term that was measured with other flags is no measurement of the planned start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gpu_tui.core.cards import default_batch
from gpu_tui.core.vllm_version import accounting_of

_MODEL = ("model", "quantization", "dtype", "tensor_parallel_size", "pipeline_parallel_size")
MATTERS: dict[str, tuple[str, ...]] = {
    "weights": (*_MODEL, "speculative_tokens"),
    "activation": (
        *_MODEL,
        "engine",
        "max_num_seqs",
        "max_num_batched_tokens",
        "max_model_len",
        "enforce_eager",
        "speculative_tokens",
    ),
    "non_torch": (*_MODEL, "engine"),
    "cuda_graphs": (*_MODEL, "release", "max_num_seqs", "enforce_eager", "speculative_tokens"),
}
"""What each term depends on. The KV cache's dtype and the utilization change none: they come after the profile run.
`max_model_len` counts for V0 alone, whose profile run is a batch of whole prompts; V1's is `max_num_batched_tokens`."""

NOT_QUANTIZED = "none"
"""What the model's files say where they say nothing of it."""

_SAME = {"half": "float16", "float": "float32", "auto": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Flags and model of one start. None: not told, or vLLM's default."""

    model: str | None = None
    """As `--model` names it."""
    quantization: str | None = None
    """As the files say, else as asked for; None: neither is known."""
    dtype: str | None = None
    version: str | None = None
    tensor_parallel_size: int | None = None
    pipeline_parallel_size: int | None = None
    max_model_len: int | None = None
    """The model's own where no flag was given."""
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    enforce_eager: bool | None = None
    speculative_tokens: int | None = None

    @property
    def engine(self) -> str:
        """``V0`` or ``V1``."""
        return "V0" if accounting_of(self.version).v0 else "V1"

    @property
    def release(self) -> str:
        """``0.19``: between two of these the estimate of CUDA graphs may be another; ``V0`` or ``V1`` if not told."""
        told = accounting_of(self.version).release
        return self.engine if told is None else f"{told[0]}.{told[1]}"

    def resolved(self, gpu_name: str | None, total_bytes: int | None) -> Setup:
        """With vLLM's defaults for this release and card where nothing is told."""
        tokens, rows = default_batch(gpu_name, total_bytes, self.max_model_len, accounting_of(self.version))
        tokens = self.max_num_batched_tokens or tokens
        return replace(
            self,
            tensor_parallel_size=self.tensor_parallel_size or 1,
            pipeline_parallel_size=self.pipeline_parallel_size or 1,
            max_num_batched_tokens=tokens,
            max_num_seqs=min(self.max_num_seqs or rows, tokens),
            enforce_eager=bool(self.enforce_eager),
            speculative_tokens=self.speculative_tokens or 0,
        )


def differences(term: str, measured: Setup, planned: Setup) -> tuple[str, ...]:
    """What keeps a measured term from holding for the planned start, in words; empty: it holds.

    Args:
        term: a name of `MATTERS`; a term that is not there holds always.
        measured, planned: both `resolved` for the same card.
    """
    told = []
    for name in MATTERS.get(term, ()):
        if name == "max_model_len" and planned.engine == "V1":
            continue
        was, is_now = getattr(measured, name), getattr(planned, name)
        if not _alike(name, was, is_now):
            told.append(f"{name} {_word(was)}, planned {_word(is_now)}")
    return tuple(told)


def _alike(name: str, was: object, is_now: object) -> bool:
    if name in ("model", "quantization", "dtype"):
        was, is_now = _plain(name, was), _plain(name, is_now)
        # What nobody asks for otherwise is as it was.
        return is_now is None or was == is_now or (was is None and (name == "model" or is_now == NOT_QUANTIZED))
    return was == is_now


def _plain(name: str, value: object) -> str | None:
    if not isinstance(value, str):
        return None
    text = value.strip().lower()
    if name == "model":
        # The folder and the name of the same model end alike.
        return text.rstrip("/").rsplit("/", 1)[-1] or None
    text = text.removeprefix("torch.")
    # vLLM turns `awq` into `awq_marlin` where the card can do that: the same weights.
    return _SAME.get(text, text.removesuffix("_marlin")) or None


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "not told" if value is None else str(value)
