"""What a card's name tells: the memory CUDA lets a context use, and vLLM's default batch on it.

`cudaMemGetInfo`'s total, of which utilization is a share, is smaller than the board's memory that nvidia-smi prints: by
0.5 to 4 %. The pairs are as start-up logs and nvidia-smi printed them on real machines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpu_tui.core.vllm_version import Accounting
from gpu_tui.units import GIB, MIB

CUDA_SHARE = (0.958, 0.982, 1.0)
"""CUDA's total as a share of NVML's, on cards whose reserved part is not known: least (RTX 3090), usual, most (WSL)."""


NOMINAL_SHARE = (0.91, 0.982, 1.0)
"""CUDA's total as a share of the gigabytes a card is sold with, taken as GiB, over the cards below: least (T4), usual
(RTX 3090, 4090, 5090), most (WSL). Only where neither NVML nor the list tells more than the name does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One product."""

    name: str
    nvml_mib: int | None
    """Board memory as nvidia-smi prints it; None where NVML has no figure (unified memory)."""
    cuda_gib: tuple[float, float]
    """CUDA's total as logged: least and most seen."""
    unified: bool = False
    """The CPU's memory is the GPU's: the page cache and every process count."""
    usual_gib: float | None = None
    """CUDA's total of the usual one where the name stands for several; None: the middle of what was seen."""

    @property
    def cuda_bytes(self) -> int:
        """CUDA's total, the usual or the middle of what was seen."""
        return round((sum(self.cuda_gib) / 2 if self.usual_gib is None else self.usual_gib) * GIB)


_CARDS = tuple(
    (re.compile(pattern, re.IGNORECASE), card)
    for pattern, card in (
        (r"\bRTX\s*PRO\s*6000\b", Card(name="RTX PRO 6000", nvml_mib=97887, cuda_gib=(94.97, 95.01))),
        (r"\bRTX\s*4090\b", Card(name="RTX 4090", nvml_mib=24564, cuda_gib=(23.55, 23.64))),
        (r"\bRTX\s*3090\b", Card(name="RTX 3090", nvml_mib=24576, cuda_gib=(23.55, 23.58))),
        (r"\bRTX\s*5090\b", Card(name="RTX 5090", nvml_mib=32607, cuda_gib=(31.36, 31.37))),
        (r"\bL40S\b", Card(name="L40S", nvml_mib=46068, cuda_gib=(44.39, 44.42))),
        (r"\bL4\b", Card(name="L4", nvml_mib=23034, cuda_gib=(22.03, 22.06))),
        (r"\bT4\b", Card(name="T4", nvml_mib=15360, cuda_gib=(14.56, 14.74))),
        (r"\bA100\b.*\b40\s*GB?\b", Card(name="A100 40 GB", nvml_mib=40960, cuda_gib=(39.38, 39.49))),
        (r"\bA(100|800)\b.*\b80\s*GB?\b", Card(name="A100 80 GB", nvml_mib=81920, cuda_gib=(79.14, 79.32))),
        (r"\bA800\b(?!.*\b40\b)", Card(name="A800 80 GB", nvml_mib=81920, cuda_gib=(79.14, 79.32))),
        (r"\bA100\b", Card(name="A100", nvml_mib=None, cuda_gib=(39.38, 79.32), usual_gib=79.2)),
        (r"\bH100\b(?!.*NVL)", Card(name="H100 80 GB", nvml_mib=81559, cuda_gib=(79.10, 79.32))),
        (r"\bH200\b", Card(name="H200", nvml_mib=143771, cuda_gib=(139.72, 139.81))),
        (r"\bB200\b", Card(name="B200", nvml_mib=183359, cuda_gib=(178.36, 184.31))),
        (r"\bMI300X\b", Card(name="MI300X", nvml_mib=None, cuda_gib=(191.69, 191.98))),
        (r"\bMI250X?\b", Card(name="MI250", nvml_mib=None, cuda_gib=(63.98, 63.98))),
        (r"\bGB10\b|\bDGX Spark\b", Card(name="GB10", nvml_mib=None, cuda_gib=(119.7, 121.69), unified=True)),
        (r"\bThor\b", Card(name="Jetson Thor", nvml_mib=None, cuda_gib=(122.8, 122.8), unified=True)),
    )
)
_WSL = re.compile(r"\bWSL", re.IGNORECASE)
_UNIFIED = re.compile(r"\bUMA\b|\bGB10\b|\bSpark\b|\bJetson\b|\bOrin\b|\bThor\b", re.IGNORECASE)
_NOMINAL = re.compile(r"\b(\d{1,3}) ?GB?\b", re.IGNORECASE)
_PRINTED = re.compile(r"\b(\d{1,3}\.\d{1,2}) ?GiB\b")


def card_of(name: str | None) -> Card | None:
    """The product a name names, however it is written: ``2x RTX 3090``, ``NVIDIA L4``; None: not in the list."""
    for pattern, card in _CARDS:
        if name and pattern.search(name):
            return card
    return None


def unified_memory(name: str | None) -> bool:
    """Whether the GPU shares the CPU's memory, as far as its name tells."""
    return bool(name and _UNIFIED.search(name))


def cuda_total(name: str | None, nvml_total_bytes: int | None) -> tuple[int, int, int] | None:
    """CUDA's total as (least, usual, most) bytes from the name and NVML's total; None when neither tells.

    A figure in the name, as in ``H200 (139.81 GiB)``, is what a log printed and is taken as it stands; one of
    gigabytes, as in ``RTX 3050 6GB``, is what the card is sold with.
    """
    printed = _PRINTED.search(name or "")
    if printed:
        size = round(float(printed[1]) * GIB)
        return size - 5 * MIB, size, size + 5 * MIB
    card = card_of(name)
    if nvml_total_bytes is not None and _WSL.search(name or ""):
        return nvml_total_bytes, nvml_total_bytes, nvml_total_bytes
    fits = card is not None and (
        nvml_total_bytes is None
        or (card.nvml_mib or 0) * MIB * 0.98 <= nvml_total_bytes <= (card.nvml_mib or 0) * MIB * 1.02
    )
    if card is not None and fits:
        low, high = (round(gib * GIB) for gib in card.cuda_gib)
        return low - 5 * MIB, card.cuda_bytes, high + 5 * MIB
    whole, shares = nvml_total_bytes, CUDA_SHARE
    if whole is None:
        nominal = _NOMINAL.search(name or "")
        if nominal is None or not int(nominal[1]):
            return None
        whole, shares = int(nominal[1]) * GIB, NOMINAL_SHARE
        if _WSL.search(name or ""):
            return round(whole * shares[1]), whole, whole
    low, usual, high = (round(whole * share) for share in shares)
    return low, usual, high


def default_batch(
    name: str | None, total_bytes: int | None, max_model_len: int | None, rules: Accounting
) -> tuple[int, int]:
    """vLLM's default (max_num_batched_tokens, max_num_seqs) for its API server (`EngineArgs.get_batch_defaults`).

    Read in 0.6.6, 0.8.5, 0.9.2, 0.10.2, 0.11.2, 0.14.1, 0.17.1, 0.20.2, 0.26 to 0.30 and 0.33.
    """
    release = rules.release or (99,)
    if rules.v0:
        if max_model_len is not None and max_model_len > 32 * 1024:
            return (2048 if release >= (0, 6, 4) else 512), 256
        return max(max_model_len or 2048, 2048), 256
    gib = (total_bytes or 0) / GIB
    # A unified memory's size is no figure of NVML's, which vLLM asks here.
    if gib < 68 or unified_memory(name):
        return 2048, 256
    if release >= (0, 28, 0) and gib >= 155:
        return 16384, 1024
    slowed = release >= (0, 9, 0) and re.search("A100", name or "", re.IGNORECASE)
    return (2048, 256) if slowed else (8192, 1024)
