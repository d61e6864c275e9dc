"""Tiny models written byte by byte: safetensors, GGUF, the Hugging Face cache."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

LLAMA: dict[str, object] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
ROTARY = 2 * 16 * 512
"""Bytes of LLAMA's rotary table."""
SIZES = {"BF16": 2, "F16": 2, "F32": 4, "I32": 4, "U8": 1, "F8_E4M3": 1}


def llama_tensors(dtype: str = "BF16") -> dict[str, tuple[str, list[int]]]:
    """Name to dtype and shape of all of LLAMA's tensors."""
    shapes = {"model.embed_tokens.weight": [100, 64], "model.norm.weight": [64], "lm_head.weight": [100, 64]}
    for i in range(2):
        layer = f"model.layers.{i}"
        shapes |= {
            f"{layer}.self_attn.{name}_proj.weight": [rows, 64]
            for name, rows in {"q": 64, "k": 32, "v": 32, "o": 64}.items()
        }
        shapes |= {f"{layer}.mlp.{name}_proj.weight": [128, 64] for name in ("gate", "up", "down")}
        shapes |= {f"{layer}.{name}_layernorm.weight": [64] for name in ("input", "post_attention")}
    return {name: (dtype, shape) for name, shape in shapes.items()}


def elements(tensors: Mapping[str, tuple[str, list[int]]]) -> int:
    """How many elements all tensors have."""
    total = 0
    for _, shape in tensors.values():
        count = 1
        for dimension in shape:
            count *= dimension
        total += count
    return total


def write_safetensors(path: Path, tensors: Mapping[str, tuple[str, list[int]]], *, data: bool = True) -> None:
    """A file with these tensors; without `data` it ends after the header."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape) in tensors.items():
        begin = end
        end += elements({name: (dtype, shape)}) * SIZES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    write_raw(path, header, end if data else 0)


def write_raw(path: Path, header: object, data: int = 0) -> None:
    """A file with this header, be it wrong, and so many bytes after it."""
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(data))


def write_model(folder: Path, config: Mapping[str, object] = LLAMA, dtype: str = "BF16") -> Path:
    """A whole model in one safetensors file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", llama_tensors(dtype))
    return folder


def write_cached(hub: Path, name: str, commit: str = "0123abcd", *, ref: str | None = "main") -> Path:
    """A repository in a Hugging Face cache, its files links to blobs as huggingface_hub makes them; its snapshot."""
    repository = hub / f"models--{name.replace('/', '--')}"
    blobs = write_model(repository / "blobs")
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(file)
    if ref is not None:
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / ref).write_text(commit)
    return snapshot


def string(text: str) -> bytes:
    """A GGUF string."""
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def gguf_value(value: object) -> bytes:
    """A GGUF value with its type before it."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + string(value)
    if isinstance(value, list) and all(isinstance(item, int) for item in value):
        return struct.pack("<IIQ", 9, 5, len(value)) + b"".join(struct.pack("<i", item) for item in value)
    assert isinstance(value, list)
    return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(string(item) for item in value)


def gguf_bytes(
    metadata: Mapping[str, object], tensors: Sequence[tuple[str, list[int], int]] = (), *, version: int = 3
) -> bytes:
    """A GGUF file's head: metadata, and name, shape (innermost first) and ggml type of each tensor."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for key, value in metadata.items():
        head += string(key) + gguf_value(value)
    for name, shape, kind in tensors:
        head += string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        head += struct.pack("<IQ", kind, 0)
    return head


GGUF_LLAMA: dict[str, object] = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.embedding_length": 64,
    "llama.feed_forward_length": 128,
    "llama.context_length": 512,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.rope.freq_base": 10000.0,
    "tokenizer.ggml.tokens": ["a"] * 100,
}
GGUF_TENSORS: list[tuple[str, list[int], int]] = [
    ("token_embd.weight", [64, 100], 8),
    ("blk.0.attn_q.weight", [64, 64], 2),
    ("output_norm.weight", [64], 0),
]
GGUF_BYTES = 6400 // 32 * 34 + 4096 // 32 * 18 + 64 * 2
"""As loaded: Q8_0, Q4_0, and 32 bits cast to 16."""
