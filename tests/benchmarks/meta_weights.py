"""What accelerate says a model weighs, from its configuration alone: run by an interpreter that has it.

One configuration a line on standard input, one answer a line on standard output: ``{"bytes": …}`` or ``{"error": …}``.
As `accelerate estimate-memory` does it (`commands/estimate.py`, `utils/modeling.py`: `calculate_maximum_sizes`): the
model of transformers on the meta device, every element taken as 16 bits. It knows of no quantization.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "critical"}

import torch
from accelerate import init_empty_weights
from accelerate.utils import calculate_maximum_sizes
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText

logging.disable(logging.CRITICAL)


def size_of(told: dict[str, Any]) -> int:
    """Bytes of a model of this configuration."""
    told = {key: value for key, value in told.items() if key != "quantization_config"}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(told))
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    torch.set_default_dtype(torch.bfloat16)
    for maker in (AutoModelForCausalLM, AutoModelForImageTextToText, AutoModel):
        if type(config) in maker._model_mapping or maker is AutoModel:
            break
    with init_empty_weights():
        model = maker.from_config(config, dtype=torch.bfloat16)
    model.tie_weights()
    return int(calculate_maximum_sizes(model)[0])


def main() -> None:
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {"bytes": size_of(json.loads(line))}
        except Exception as error:  # noqa: BLE001 - whatever it says is the answer
            answer = {"error": f"{type(error).__name__}: {error}".replace("\n", " ")[:200]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
