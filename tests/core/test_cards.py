"""What a card's name tells: CUDA's total as real logs printed it, and vLLM's default batch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.cards import card_of, cuda_total, default_batch, unified_memory
from gpu_tui.core.vllm_version import accounting_of
from gpu_tui.units import GIB, MIB


@pytest.mark.parametrize(
    ("name", "nvml_mib", "logged_gib"),
    [
        ("NVIDIA GeForce RTX 4090", 24564, (23.55, 23.64)),
        ("NVIDIA GeForce RTX 3090", 24576, (23.55, 23.58)),
        ("NVIDIA GeForce RTX 5090", 32607, (31.36, 31.37)),
        ("NVIDIA L4", 23034, (22.05,)),
        ("NVIDIA L40S", 46068, (44.42,)),
        ("NVIDIA A100-SXM4-40GB", 40960, (39.49,)),
        ("NVIDIA H100 80GB HBM3", 81559, (79.10, 79.32)),
        ("NVIDIA H200", 143771, (139.72, 139.81)),
        ("Tesla T4", 15360, (14.56, 14.74)),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 97887, (94.97, 95.01)),
        ("NVIDIA B200", None, (178.36, 184.31)),
        ("4x H100", None, (79.10, 79.32)),
        ("RTX 3090 (23.55 GiB)", None, (23.55,)),
    ],
)
def test_cuda_s_total_as_logged(name: str, nvml_mib: int | None, logged_gib: tuple[float, ...]) -> None:
    told = cuda_total(name, None if nvml_mib is None else nvml_mib * MIB)
    assert told is not None
    low, usual, high = told
    assert low <= usual <= high
    assert all(low <= gib * GIB <= high for gib in logged_gib)


def test_it_is_never_more_than_the_board_has() -> None:
    for name, mib in (("NVIDIA GeForce RTX 4090", 24564), ("some card nobody knows", 12288)):
        told = cuda_total(name, mib * MIB)
        assert told is not None
        assert told[2] <= mib * MIB


def test_under_wsl_it_is_the_whole_board() -> None:
    assert cuda_total("RTX 4090 (WSL2)", 24564 * MIB) == (24564 * MIB,) * 3


def test_a_partition_of_a_known_card_is_not_the_card() -> None:
    told = cuda_total("NVIDIA H100 80GB HBM3 MIG 1g.10gb", 9984 * MIB)
    assert told is not None
    assert told[2] <= 9984 * MIB


@pytest.mark.parametrize(
    ("name", "usual_gib", "band_gib"),
    [
        ("RTX 3050 6GB", 5.89, (5.46, 6.0)),
        ("2x 32 GB (64 GB total)", 31.42, (29.12, 32.0)),
        ("8 GB card (WSL2)", 8.0, (7.86, 8.0)),
        ("A100", 79.2, (39.38, 79.32)),
        ("NVIDIA A800-SXM4", 79.23, (79.14, 79.32)),
    ],
)
def test_a_name_alone_tells_the_total_roughly(name: str, usual_gib: float, band_gib: tuple[float, float]) -> None:
    told = cuda_total(name, None)
    assert told is not None
    assert [size / GIB for size in told] == pytest.approx([band_gib[0], usual_gib, band_gib[1]], abs=0.01)


def test_what_the_board_says_stands_before_what_its_name_promises() -> None:
    told = cuda_total("card of 24 GB", 8 * GIB)
    assert told is not None
    assert told[2] == 8 * GIB


def test_nothing_known_tells_nothing() -> None:
    assert cuda_total("card of 0 GB", None) is None
    assert cuda_total(None, None) is None
    assert cuda_total("card of tomorrow", None) is None
    assert card_of("NVIDIA GeForce RTX 3060") is None


@pytest.mark.parametrize(("name", "unified"), [("NVIDIA GB10", True), ("Jetson AGX Thor", True), ("NVIDIA L4", False)])
def test_unified_memory(name: str, unified: bool) -> None:
    assert unified_memory(name) is unified


@pytest.mark.parametrize(
    ("name", "gib", "version", "length", "batch"),
    [
        ("NVIDIA GeForce RTX 4090", 23.6, "0.19.1", 8192, (2048, 256)),
        ("NVIDIA H100 80GB HBM3", 79.2, "0.19.1", 8192, (8192, 1024)),
        ("NVIDIA A100-SXM4-80GB", 79.2, "0.19.1", 8192, (2048, 256)),
        ("NVIDIA GB10", 119.7, "0.19.1", 8192, (2048, 256)),
        ("NVIDIA B200", 178.4, "0.27.1", 8192, (8192, 1024)),
        ("NVIDIA B200", 178.4, "0.28.0", 8192, (16384, 1024)),
        ("NVIDIA A100-SXM4-80GB", 79.2, "0.8.5", 8192, (8192, 1024)),  # left out of the larger ones since 0.9
        ("NVIDIA A800-SXM4-80GB", 79.2, "0.19.1", 8192, (8192, 1024)),  # vLLM looks for "a100" in the name
        ("NVIDIA GeForce RTX 3090", 23.6, "0.5.5", 29_000, (29_000, 256)),
        ("NVIDIA GeForce RTX 3090", 23.6, "0.5.5", 35_000, (512, 256)),  # chunked prefill, on by default above 32K
        ("NVIDIA GeForce RTX 3090", 23.6, "0.5.5", 1000, (2048, 256)),
    ],
)
def test_the_default_batch(name: str, gib: float, version: str, length: int, batch: tuple[int, int]) -> None:
    assert default_batch(name, round(gib * GIB), length, accounting_of(version)) == batch


@given(st.one_of(st.none(), st.text(max_size=60)), st.one_of(st.none(), st.integers(MIB, 2**40)))
def test_any_name_gives_an_ordered_band(name: str | None, nvml: int | None) -> None:
    told = cuda_total(name, nvml)
    assert told is None or told[0] <= told[1] <= told[2]
