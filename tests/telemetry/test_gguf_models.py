"""A model in GGUF files: alone, in parts, one of several."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpu_tui.errors import ModelError
from gpu_tui.telemetry.model_files import FoundModel, find_model
from tests.telemetry.model_writers import (
    GGUF_BYTES,
    GGUF_LLAMA,
    GGUF_TENSORS,
    LLAMA,
    ROTARY,
    elements,
    gguf_bytes,
    llama_tensors,
    write_cached,
)

EXACT = 2 * elements(llama_tensors()) + ROTARY


def find(name: str | Path, home: Path, **environ: str) -> FoundModel:
    return find_model(str(name), environ=environ, home=home)


def test_a_gguf_file(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf_bytes(GGUF_LLAMA, GGUF_TENSORS))
    found = find(tmp_path / "m.gguf", tmp_path)
    assert found.facts.weights_bytes == GGUF_BYTES + ROTARY
    assert (found.facts.groups[0].kv_heads, found.facts.groups[0].head_dim, found.facts.num_layers) == (2, 16, 2)
    assert (found.facts.max_model_len, found.facts.vocab_size, found.facts.quantization) == (512, 100, "gguf")
    assert found.facts.weights_origin is not None
    assert found.facts.weights_origin.source == "GGUF tensors (Q8_0), 1 file"


def test_a_gguf_file_in_parts(tmp_path: Path) -> None:
    for number, tensors in ((1, GGUF_TENSORS[:1]), (2, GGUF_TENSORS[1:])):
        metadata = GGUF_LLAMA if number == 1 else {"split.no": 1}
        (tmp_path / f"m-Q8_0-{number:05d}-of-00002.gguf").write_bytes(gguf_bytes(metadata, tensors))
    assert find(tmp_path, tmp_path).facts.weights_bytes == GGUF_BYTES + ROTARY
    (tmp_path / "m-Q8_0-00002-of-00002.gguf").unlink()
    with pytest.raises(ModelError, match="1 of 2 parts"):
        find(tmp_path, tmp_path)


def test_one_of_several_gguf_files(tmp_path: Path) -> None:
    snapshot = write_cached(tmp_path / ".cache/huggingface/hub", "org/m-GGUF")
    (snapshot / "config.json").unlink()
    (snapshot / "model.safetensors").unlink()
    for tag in ("Q4_K_M", "Q8_0"):
        (snapshot / f"m-{tag}.gguf").write_bytes(gguf_bytes(GGUF_LLAMA, GGUF_TENSORS))
    (snapshot / "mmproj-F16.gguf").write_bytes(b"")
    assert find("org/m-GGUF:Q8_0", tmp_path).path.name == "m-Q8_0.gguf"
    for name, complaint in (("org/m-GGUF", "several GGUF files"), ("org/m-GGUF:Q2_K", "no such GGUF file")):
        with pytest.raises(ModelError, match=complaint):
            find(name, tmp_path)


def test_a_config_beside_a_gguf_file_tells_the_layers(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, "sliding_window": 128}))
    (tmp_path / "m.gguf").write_bytes(gguf_bytes(GGUF_LLAMA, GGUF_TENSORS))
    facts = find(tmp_path, tmp_path).facts
    assert (facts.groups[0].window, facts.weights_bytes) == (128, GGUF_BYTES + ROTARY)


def test_a_gguf_type_nobody_knows_leaves_an_estimate(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf_bytes(GGUF_LLAMA, [("token_embd.weight", [64, 100], 99)]))
    found = find(tmp_path / "m.gguf", tmp_path)
    assert "estimated" in found.where
    assert any("type is not known" in note for note in found.facts.assumptions)
