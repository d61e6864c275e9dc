"""Headers of safetensors and GGUF files: what they tell, and that no hostile one is believed."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_tui.core.gguf_facts import config_from_gguf, facts_from_gguf
from gpu_tui.core.model_facts import LayerKind
from gpu_tui.errors import ModelError
from gpu_tui.telemetry.gguf import read_gguf
from gpu_tui.telemetry.safetensors_headers import read_header
from tests.telemetry.model_writers import (
    GGUF_LLAMA,
    GGUF_TENSORS,
    gguf_bytes,
    llama_tensors,
    string,
    write_raw,
    write_safetensors,
)


def assert_told(read: Callable[[], object]) -> None:
    """It is read, or refused with what happened and what to do."""
    refusal = None
    try:
        read()
    except ModelError as error:
        refusal = error
    assert refusal is None or (refusal.message.endswith(".") and refusal.remedy)


GOOD = {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}


def test_a_header_tells_each_tensors_size(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "f", llama_tensors())
    tensors = {tensor.name: tensor for tensor in read_header(tmp_path / "f")}
    assert len(tensors) == len(llama_tensors())
    assert tensors["lm_head.weight"].bytes == 12800


def test_the_data_is_never_needed(tmp_path: Path) -> None:
    header = {"x": {"dtype": "F8_E4M3", "shape": [1 << 40], "data_offsets": [0, 1 << 40]}}
    write_raw(tmp_path / "f", header)
    with (tmp_path / "f").open("r+b") as file:
        file.truncate(file.seek(0, 2) + (1 << 40))  # a terabyte of holes
    assert read_header(tmp_path / "f")[0].bytes == 1 << 40


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ([], "no JSON object"),
        ({"x": 1}, "malformed"),
        ({"x": {**GOOD, "dtype": 7}}, "malformed"),
        ({"x": {**GOOD, "shape": None}}, "malformed"),
        ({"x": {**GOOD, "shape": [2, -3]}}, "malformed"),
        ({"x": {**GOOD, "shape": [2, True]}}, "malformed"),
        ({"x": {**GOOD, "data_offsets": [-12, 0]}}, "malformed"),
        ({"x": {**GOOD, "data_offsets": [0]}}, "malformed"),
        ({"x": {**GOOD, "data_offsets": [0, 1 << 70]}}, "malformed"),
        ({"x": {**GOOD, "data_offsets": [12, 0]}}, "disagree"),
        ({"x": {**GOOD, "shape": [2, 4]}}, "disagree"),
        ({"x": {**GOOD, "shape": [1 << 62] * 50}}, "disagree"),
        ({"x": GOOD, "y": {**GOOD, "data_offsets": [6, 18]}}, "overlap"),
        ({"x": {**GOOD, "data_offsets": [12, 24]}}, "cut short"),
    ],
)
def test_a_header_that_contradicts_itself(tmp_path: Path, header: object, complaint: str) -> None:
    write_raw(tmp_path / "f", header, 20)
    with pytest.raises(ModelError, match=complaint):
        read_header(tmp_path / "f")


@pytest.mark.parametrize(
    "data", [b"", b"1234567", struct.pack("<Q", 1 << 63), struct.pack("<Q", 100) + b"{}", b"<html>..."]
)
def test_what_is_no_safetensors_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(ModelError, match="no safetensors file, or is cut short"):
        read_header(tmp_path / "f")


def test_a_header_that_is_not_json(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(struct.pack("<Q", 5) + b"\xff\xfe{}}")
    with pytest.raises(ModelError, match="not JSON"):
        read_header(tmp_path / "f")


@given(data=st.binary(max_size=300), keep=st.integers(0, 120))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_safetensors_file_is_too_odd(tmp_path: Path, data: bytes, keep: int) -> None:
    text = json.dumps({"x": GOOD, "y": {**GOOD, "data_offsets": [12, 24]}}).encode()
    whole = struct.pack("<Q", len(text)) + text + bytes(24)
    (tmp_path / "f").write_bytes(whole[:keep] + data)
    assert_told(lambda: read_header(tmp_path / "f"))


@pytest.mark.parametrize("version", [2, 3])
def test_a_gguf_head(tmp_path: Path, version: int) -> None:
    metadata = {**GGUF_LLAMA, "a.flag": True, "a.list": [1, -2], "a.long": "x" * (2 << 20)}
    (tmp_path / "f").write_bytes(gguf_bytes(metadata, GGUF_TENSORS, version=version))
    found = read_gguf(tmp_path / "f")
    assert found.metadata["general.architecture"] == "llama"
    assert (found.metadata["a.flag"], found.metadata["a.list"], found.metadata["a.long"]) == (True, [1, -2], None)
    assert found.metadata["tokenizer.ggml.tokens.length"] == 100
    assert [(tensor.kind, tensor.bytes) for tensor in found.tensors] == [("Q8_0", 6800), ("Q4_0", 2304), ("F32", 256)]


def head(tensors: int = 0, keys: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"GGML" + bytes(20), "no GGUF file"),
        (b"GG", "cut short"),
        (head(version=1), "version 1"),
        (head(version=3 << 24), "version 50331648"),
        (head(tensors=1 << 63), "more tensors or keys"),
        (head(keys=1 << 63), "more tensors or keys"),
        (head(keys=1), "cut short"),
        (head(keys=1) + struct.pack("<Q", 1 << 63), "cut short"),
        (head(keys=1) + string("k") + struct.pack("<I", 77), "unknown type 77"),
        (head(keys=1) + string("k") + struct.pack("<IIQ", 9, 4, 1 << 62), "cut short"),
        (head(keys=1) + string("k") + struct.pack("<IIQ", 9, 8, 1 << 62), "cut short"),
        (head(keys=1) + string("k") + struct.pack("<IIQ", 9, 9, 1), "array of the unknown type 9"),
        (head(tensors=1) + string("t") + struct.pack("<I", 1 << 31), "dimensions"),
        (head(tensors=1) + string("t") + struct.pack("<I3QIQ", 3, 1 << 60, 1 << 60, 1 << 60, 0, 0), "larger than any"),
    ],
)
def test_a_hostile_gguf_head(tmp_path: Path, data: bytes, complaint: str) -> None:
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(ModelError, match=complaint):
        read_gguf(tmp_path / "f")


@given(data=st.binary(max_size=200), keep=st.integers(0, 900))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_gguf_file_is_too_odd(tmp_path: Path, data: bytes, keep: int) -> None:
    whole = gguf_bytes({**GGUF_LLAMA, "tokenizer.ggml.tokens": ["a"]}, GGUF_TENSORS)
    (tmp_path / "f").write_bytes(whole[:keep] + data)
    assert_told(lambda: facts_from_gguf(read_gguf(tmp_path / "f").metadata))


@given(
    st.dictionaries(
        st.sampled_from(
            ["general.architecture", *(f"llama.{key}" for key in ("block_count", "attention.head_count_kv"))]
        ),
        st.none()
        | st.text(max_size=5)
        | st.integers()
        | st.lists(st.integers(), max_size=5)
        | st.booleans()
        | st.floats(),
    )
)
def test_no_metadata_is_too_odd(metadata: dict[str, object]) -> None:
    facts_from_gguf({**GGUF_LLAMA, **metadata})


def test_metadata_of_other_families() -> None:
    delta = {
        "general.architecture": "qwen35",
        "qwen35.block_count": 4,
        "qwen35.embedding_length": 1024,
        "qwen35.attention.head_count": 8,
        "qwen35.attention.head_count_kv": 2,
        "qwen35.attention.key_length": 256,
        "qwen35.attention.value_length": 256,
        "qwen35.full_attention_interval": 4,
        "qwen35.ssm.conv_kernel": 4,
        "qwen35.ssm.state_size": 128,
        "qwen35.ssm.group_count": 16,
        "qwen35.ssm.time_step_rank": 16,
        "qwen35.ssm.inner_size": 2048,
    }
    state, full = facts_from_gguf(delta).groups
    assert (state.kind, state.layers, full.layers, full.head_dim) == (LayerKind.STATE, (0, 1, 2), (3,), 256)
    assert state.state is not None
    assert (state.state.conv_channels, state.state.ssm_elements) == (6144, 16 * 128 * 128)

    latent = {
        "general.architecture": "deepseek2",
        "deepseek2.block_count": 27,
        "deepseek2.embedding_length": 2048,
        "deepseek2.attention.head_count": 16,
        "deepseek2.attention.head_count_kv": 1,
        "deepseek2.attention.kv_lora_rank": 512,
        "deepseek2.attention.key_length": 576,
        "deepseek2.attention.key_length_mla": 192,
        "deepseek2.rope.dimension_count": 64,
    }
    (group,) = facts_from_gguf(latent).groups
    assert (group.kind, group.latent_dim, config_from_gguf(latent)["qk_nope_head_dim"]) == (LayerKind.MLA, 576, 128)

    hybrid = {
        **GGUF_LLAMA,
        "llama.attention.head_count_kv": [0, 2],
        "llama.ssm.state_size": 16,
        "llama.ssm.inner_size": 128,
    }
    assert [group.kind for group in facts_from_gguf(hybrid).groups] == [LayerKind.STATE, LayerKind.FULL]
