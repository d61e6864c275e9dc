"""What vLLM itself prints when a start fails, in the words of its release, with the figures of the case.

Wordings were read in the released sources 0.4.2 to 0.33.0 and in logs; where two opened releases differ, the change is
dated to the later one. A figure that is not known reads ``unknown``.
"""

from __future__ import annotations

from gpu_tui.core.checks import allocation_total
from gpu_tui.core.planning import Judgement
from gpu_tui.core.start import Outcome
from gpu_tui.core.vllm_version import NEWEST, Accounting
from gpu_tui.units import GIB

_RAISE = "Try increasing `gpu_memory_utilization` "
_WHEN = "when initializing the engine"
_PAGE = "See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details."
_CPU = " (this flag also controls CPU memory reservation on the CPU backend, despite its name)"
_CPU_SHORT = "(which also controls CPU memory on the CPU backend) "

_ESTIMATE_SINCE = (0, 9, 0)
"""0.8.5 computes the longest length and forgets to print it."""
_ROUNDED_SINCE = (0, 14, 0)
"""``24.0 GiB`` where there was ``24.00 GiB``; also the device, and the page to read."""
_ONE_MODEL_SINCE = (0, 20, 0)
"""``the models's`` until 0.19.1, ``the model's`` from 0.22.1."""
_CPU_SINCE = (0, 22, 0)


def error_text(judgement: Judgement, rules: Accounting) -> str | None:
    """The line of the log that would tell this outcome; None for a start, and where the outcome is not known.

    Args:
        judgement: the case.
        rules: its release; one that is not told speaks as the newest.
    """
    release = rules.release or ((0, 8, 5) if rules.v0 else NEWEST)
    match judgement.prediction.outcome:
        case Outcome.NOT_ENOUGH_FREE:
            return _not_enough_free(judgement, rules, release)
        case Outcome.NO_CACHE_BLOCKS:
            return _no_cache_blocks(rules, release)
        case Outcome.MAX_LEN_TOO_LONG if rules.v0 or release < (0, 8, 0):
            return _too_long_v0(judgement)
        case Outcome.MAX_LEN_TOO_LONG:
            return _too_long(judgement, rules, release)
        case _:
            return None


def _not_enough_free(judgement: Judgement, rules: Accounting, release: tuple[int, int, int]) -> str:
    report = judgement.report
    asked_too_much = report.checks[2].passed is False
    if not (rules.start_gate and asked_too_much):
        # Nothing is checked beforehand: torch finds out. How much it tried to take is not known.
        return "CUDA out of memory."
    total, available = allocation_total(report.books, report.need), report.available_bytes
    free = None if available is None else available - report.need.startup_overhead_bytes
    device = " cuda:0" if release >= _ROUNDED_SINCE else ""
    return (
        f"Free memory on device{device} ({_rounded(free)}/{_rounded(total)} GiB) on startup is less than desired GPU "
        f"memory utilization ({report.gpu_memory_utilization:g}, {_rounded(report.allocation_bytes)} GiB). Decrease "
        "GPU memory utilization or reduce GPU memory used by other processes."
    )


def _no_cache_blocks(rules: Accounting, release: tuple[int, int, int]) -> str:
    start = f"No available memory for the cache blocks. {_RAISE}{_WHEN}"
    if rules.v0 or release < _ROUNDED_SINCE:
        return f"{start}."
    return f"{start}{_CPU if release >= _CPU_SINCE else ''}. {_PAGE}"


def _too_long_v0(judgement: Judgement) -> str:
    start = judgement.start
    length = start.max_model_len if start is not None else None
    return (
        f"The model's max seq len ({_number(length)}) is larger than the maximum number of tokens that can be stored "
        f"in KV cache ({_number(judgement.prediction.kv_tokens)}). {_RAISE}or decreasing `max_model_len` {_WHEN}."
    )


def _too_long(judgement: Judgement, rules: Accounting, release: tuple[int, int, int]) -> str:
    start, prediction = judgement.start, judgement.prediction
    layout = start.layout if start is not None else None
    needed: int | None = judgement.report.need.min_kv_cache_bytes
    available = prediction.kv_cache_bytes
    if start is not None and layout is not None:
        if start.options.num_gpu_blocks_override and prediction.num_blocks is not None:
            available = prediction.num_blocks * layout.bytes_per_block
        if rules.reserves_null_block and available is not None:
            available -= layout.bytes_per_block
        if start.max_model_len is not None:
            needed = layout.need_bytes(start.max_model_len)
    show = _rounded if release >= _ROUNDED_SINCE else _two_decimals
    longest = prediction.largest_max_model_len
    estimate = f"Based on the available memory, the estimated maximum model length is {longest}. " if longest else ""
    return (
        f"To serve at least one request with the {_model(release)} max seq len "
        f"({_number(start.max_model_len if start is not None else None)}), ({show(needed)} GiB KV cache is needed, "
        f"which is larger than the available KV cache memory ({show(available)} GiB). "
        f"{estimate if release >= _ESTIMATE_SINCE else ' '}{_RAISE}{_CPU_SHORT if release >= _CPU_SINCE else ''}"
        f"or decreasing `max_model_len` {_WHEN}.{f' {_PAGE}' if release >= _ROUNDED_SINCE else ''}"
    )


def _model(release: tuple[int, int, int]) -> str:
    return "model's" if release >= _ONE_MODEL_SINCE else "models's"


def _rounded(size: int | None) -> str:
    return "unknown" if size is None else str(round(size / GIB, 2))


def _two_decimals(size: int | None) -> str:
    return "unknown" if size is None else f"{size / GIB:.2f}"


def _number(value: int | None) -> str:
    return "unknown" if value is None else str(value)
