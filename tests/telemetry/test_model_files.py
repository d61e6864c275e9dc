"""Finding a model without a network and reading its facts from real files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gpu_tui.core.origins import OriginKind
from gpu_tui.errors import ModelError
from gpu_tui.telemetry.model_files import FoundModel, find_model
from tests.telemetry.model_writers import (
    LLAMA,
    ROTARY,
    elements,
    llama_tensors,
    write_model,
    write_safetensors,
)

EXACT = 2 * elements(llama_tensors()) + ROTARY


def find(name: str | Path, home: Path, **environ: str) -> FoundModel:
    return find_model(str(name), environ=environ, home=home)


def test_a_folder_is_read_from_its_headers(tmp_path: Path) -> None:
    found = find(write_model(tmp_path / "m"), tmp_path)
    assert found.facts.weights_bytes == EXACT
    assert found.facts.weights_origin is not None
    assert (found.facts.weights_origin.kind, found.facts.weights_origin.source) == (
        OriginKind.DERIVED,
        "headers of 1 safetensors file",
    )
    assert found.facts.groups[0].kv_heads == 2
    assert found.facts.unsharded_bytes == 2 * 5 * 64 + ROTARY
    assert found.where == f"Found in {tmp_path / 'm'}; its weights are from the headers of 1 safetensors file."


def test_doubts_of_the_estimate_end_with_the_headers(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", {**LLAMA, "model_type": "hopeful"})
    assert find(folder, tmp_path).facts.assumptions == ()
    (folder / "model.safetensors").unlink()
    assert "family hopeful" in find(folder, tmp_path).facts.assumptions[0]


def test_a_relative_name_starts_from_the_servers_folder(tmp_path: Path) -> None:
    write_model(tmp_path / "here" / "m")
    assert find_model("./m", environ={}, home=tmp_path, cwd=tmp_path / "here").facts.weights_bytes == EXACT


def test_only_the_shards_the_index_names_are_counted(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    names = sorted(llama_tensors())
    shards = {"model-00001-of-00002.safetensors": names[:9], "model-00002-of-00002.safetensors": names[9:]}
    for shard, held in shards.items():
        write_safetensors(folder / shard, {name: llama_tensors()[name] for name in held})
    weight_map = {name: shard for shard, held in shards.items() for name in held}
    index = {"metadata": {"total_size": 2 * elements(llama_tensors())}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "original").mkdir()
    write_safetensors(folder / "original" / "copy.safetensors", llama_tensors())
    found = find(folder, tmp_path).facts
    assert (found.weights_bytes, found.assumptions) == (EXACT, ())
    index["metadata"] = {"total_size": 10**9}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "the index promises 1000000000 bytes" in find(folder, tmp_path).facts.assumptions[0]


def test_a_second_copy_without_an_index_is_not_counted(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    theirs = {name.replace("model.layers", "layers"): shape for name, shape in llama_tensors().items()}
    write_safetensors(folder / "consolidated.safetensors", theirs)
    write_safetensors(folder / "adapter_model.safetensors", llama_tensors())
    assert find(folder, tmp_path).facts.weights_bytes == EXACT
    (folder / "model.safetensors").unlink()
    assert find(folder, tmp_path).facts.weights_bytes == EXACT


def test_missing_shards_leave_an_estimate_never_a_part_of_the_sum(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    weight_map = {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    found = find(folder, tmp_path)
    assert found.facts.weights_origin is not None
    assert "estimated" in found.facts.weights_origin.source
    assert found.facts.weights_bytes == pytest.approx(EXACT, rel=0.01)
    assert "1 of 2 weight files are not there" in found.where
    assert any("model-00002-of-00002" in note for note in found.facts.assumptions)


def test_an_index_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    write_safetensors(tmp_path / "other.safetensors", {"x": ("BF16", [1000, 1000])})
    weight_map = {"a": "../other.safetensors", "b": "model.safetensors", "c": str(tmp_path / "other.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert find(folder, tmp_path).facts.weights_bytes == EXACT


def test_draft_layers_and_encoders_are_told_apart(tmp_path: Path) -> None:
    config = {**LLAMA, "num_nextn_predict_layers": 1, "vision_config": {"hidden_size": 8, "num_hidden_layers": 1}}
    folder = write_model(tmp_path / "m", config)
    more = {
        **llama_tensors(),
        "model.layers.2.eh_proj.weight": ("BF16", [64, 128]),
        "mtp.fc.weight": ("BF16", [10, 10]),
        "visual.blocks.7.attn.weight": ("BF16", [20, 20]),
    }
    write_safetensors(folder / "model.safetensors", more)
    found = find(folder, tmp_path).facts
    assert (found.weights_bytes, found.draft_bytes, found.encoder_bytes) == (EXACT + 800, 2 * (64 * 128 + 100), 800)


def test_a_tied_head_that_is_stored_is_not_loaded(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", {**LLAMA, "tie_word_embeddings": True})
    assert find(folder, tmp_path).facts.weights_bytes == EXACT - 2 * 6400


def test_32_bits_are_cast_but_scales_of_a_quantized_model_are_not(tmp_path: Path) -> None:
    plain = write_model(tmp_path / "plain", {**LLAMA, "torch_dtype": "float32"}, "F32")
    assert find(plain, tmp_path).facts.weights_bytes == EXACT
    quantized = write_model(tmp_path / "fp8", {**LLAMA, "quantization_config": {"quant_method": "fp8"}}, "F32")
    assert find(quantized, tmp_path).facts.weights_bytes == 2 * EXACT - ROTARY


def test_modelopt_tells_its_quantization_beside_the_config(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    quant = {"quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}}
    (folder / "hf_quant_config.json").write_text(json.dumps(quant))
    facts = find(folder, tmp_path).facts
    assert (facts.quantization, facts.kv_cache_dtype) == ("modelopt_fp4", "fp8")


def test_quantized_while_loading_is_estimated(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    found = find_model(str(folder), environ={}, home=tmp_path, quantization="fp8")
    assert found.facts.weights_bytes is not None
    assert found.facts.weights_bytes < EXACT
    assert "quantized while loading" in found.where


def test_pytorch_files_are_known_by_their_size(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model-00001-of-00001.bin").write_bytes(bytes(1000))
    (folder / "training_args.bin").write_bytes(bytes(999))
    found = find(folder, tmp_path)
    assert found.facts.weights_bytes == 1000 + ROTARY
    assert found.where.endswith("its weights are the sizes of 1 PyTorch file.")
    (folder / "config.json").write_text(json.dumps({**LLAMA, "torch_dtype": "float32"}))
    assert find(folder, tmp_path).facts.weights_bytes == 500 + ROTARY


def test_a_config_alone_gives_the_estimate(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    found = find(folder, tmp_path)
    assert found.facts.weights_bytes == pytest.approx(EXACT, rel=0.001)
    assert "estimated from config.json" in found.where


def test_mistrals_own_format(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "config.json").unlink()
    params = {
        "dim": 64,
        "n_layers": 2,
        "hidden_dim": 128,
        "n_heads": 4,
        "n_kv_heads": 2,
        "head_dim": 16,
        "vocab_size": 100,
    }
    (folder / "params.json").write_text(json.dumps(params))
    facts = find(folder, tmp_path).facts
    assert (facts.num_layers, facts.groups[0].kv_heads, facts.groups[0].head_dim) == (2, 2, 16)
    assert facts.weights_bytes == EXACT - ROTARY


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    with pytest.raises(ModelError, match=r"is an adapter, not a model.*org/base"):
        find(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("text", "complaint"), [("{", "is not JSON"), ("[1]", "holds no JSON object"), ("[" * 100_000, "is not JSON")]
)
def test_a_broken_config_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match=complaint):
        find(tmp_path, tmp_path)


def test_a_config_that_would_never_end(tmp_path: Path) -> None:
    (tmp_path / "config.json").symlink_to("/dev/zero")
    with pytest.raises(ModelError, match="no regular file"):
        find(tmp_path, tmp_path)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ModelError, match="no regular file"):
        find(tmp_path, tmp_path)
    (tmp_path / "config.json").rmdir()
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(ModelError, match="no regular file"):
        find(tmp_path, tmp_path)
