from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.whisper import size_by_shape, size_in


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Systran/faster-whisper-tiny.en", "tiny.en"),
        ("openai/whisper-large-v3-turbo", "large-v3-turbo"),
        ("deepdml/faster-whisper-large-v3-turbo-ct2", "large-v3-turbo"),
        ("Systran/faster-distil-whisper-large-v3", "distil-large-v3"),
        ("distil-whisper/distil-small.en", "distil-small.en"),
        ("SIMULATED-whisper-tiny", "tiny"),
        ("ggml-base.en.bin", "base.en"),
        ("/models/whisper-medium/", "medium"),
        ("Whisper-Large-V2", "large-v2"),
        ("small", "small"),
        ("whisper-1", None),
        ("parakeet-base", None),
        ("base-models/whisper-1", None),
        ("whisper-database", None),
        ("Qwen2.5-7B", None),
        ("", None),
    ],
)
def test_the_size_in_a_name(name: str, size: str | None) -> None:
    assert size_in(name) == size


@given(st.text())
def test_any_text_is_a_name(name: str) -> None:
    assert size_in(name) is None or size_in(name) == size_in(str(size_in(name)))


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((384, 4, 51864), "tiny.en"),
        ((384, 4, 51865), "tiny"),
        ((512, 6, 51865), "base"),
        ((768, 12, 51864), "small.en"),
        ((1024, 24, 51865), "medium"),
        ((1280, 32, 51865), "large"),
        ((1280, 32, 51866), "large-v3"),
        ((1280, 4, 51866), "turbo"),
        ((1280, 2, 51866), "distil-large-v3"),
        ((768, 4, 51864), "distil-small.en"),
        ((1024, 2, 51864), "distil-medium.en"),
        ((1280, 2, 51865), "distil-large"),
        ((768, 5, 51864), None),
        ((640, 4, 51865), None),
    ],
)
def test_the_size_of_a_shape(shape: tuple[int, int, int], size: str | None) -> None:
    assert size_by_shape(*shape) == size
