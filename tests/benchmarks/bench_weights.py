"""Weights from a model's configuration alone: gpu-tui's estimate beside accelerate's, and beside what vLLM loaded.

`python -m tests.benchmarks.bench_weights [--python INTERPRETER]`: an interpreter that has accelerate, transformers and
torch, `.real`'s own where none is named; without one, gpu-tui alone is judged. The truths are ``Model loading took`` of
the starts in `data/starts.jsonl` on one GPU. hf-mem cannot be judged: it reads each model's headers from the hub.
Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from gpu_tui.core.model_config import facts_from_config
from gpu_tui.units import GIB, MIB
from tests.real import installing

HERE = Path(__file__).parent
CONFIGS = HERE.parent / "core" / "data" / "configs"
OTHER = HERE / "meta_weights.py"


@dataclass(frozen=True)
class Row:
    """One configuration: both estimates in bytes, and why one is missing."""

    name: str
    quantized: bool
    ours: int | None
    theirs: int | None
    why_not: str = ""


def told_by_accelerate(python: Path | None, configs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Its answer to each."""
    if python is None:
        return [{"error": "no interpreter with accelerate"}] * len(configs)
    lines = "".join(f"{json.dumps(config)}\n" for config in configs)
    done = subprocess.run([str(python), str(OTHER)], input=lines, capture_output=True, text=True, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != len(configs):
        raise SystemExit(f"{python} answered {len(answers)} of {len(configs)}:\n{done.stderr[-2000:]}")
    return answers


def rows(python: Path | None, configs: dict[str, dict[str, Any]]) -> list[Row]:
    """Every configuration, judged twice."""
    found = []
    for (name, config), answer in zip(configs.items(), told_by_accelerate(python, list(configs.values())), strict=True):
        facts = facts_from_config(config, name=name)
        why = answer.get("error", "") if facts.weights_bytes else "; ".join(facts.assumptions)
        found.append(Row(name, facts.quantization is not None, facts.weights_bytes, answer.get("bytes"), why))
    return found


def show_configs(judged: list[Row]) -> None:
    """A line each, then how far apart both are where neither is missing."""
    print(f"{'config':<34}{'gpu-tui':>9}{'accelerate':>12}{'apart':>9}   GiB")
    apart = []
    for row in judged:
        share = None if row.ours is None or row.theirs is None else row.ours / row.theirs - 1
        if share is not None and not row.quantized:
            apart.append(abs(share))
        words = (
            f"{'-' if size is None else f'{size / GIB:.3f}':>{width}}"
            for size, width in ((row.ours, 9), (row.theirs, 12))
        )
        note = "quantized, which accelerate does not count" if row.quantized else row.why_not[:60]
        print(f"{row.name:<34}{''.join(words)}{'' if share is None else f'{share:+.2%}':>9}   {note}".rstrip())
    if apart:
        print(f"\n{len(apart)} unquantized that both judge: median {median(apart):.3%} apart, most {max(apart):.2%}")
    print(f"gpu-tui judges {sum(row.ours is not None for row in judged)} of {len(judged)}, ", end="")
    print(f"accelerate {sum(row.theirs is not None for row in judged)}")


def loaded() -> list[tuple[dict[str, Any], dict[str, Any], int]]:
    """Starts on one GPU with a configuration and what loading took: the row, the configuration, bytes."""
    found = []
    for line in (HERE / "data" / "starts.jsonl").read_text().splitlines():
        row = json.loads(line)
        vllm, weights = row["case"]["vllm"], row["case"]["model"].get("weights_mib")
        ranks = vllm.get("tensor_parallel_size", 1) * vllm.get("pipeline_parallel_size", 1)
        if weights is not None and row.get("config") and ranks == 1:
            config = json.loads((CONFIGS / f"{row['config']}.json").read_text())
            found.append((row, {**config, **row.get("config_changes", {})}, round(weights * MIB)))
    return found


def show_loaded(python: Path | None) -> None:
    """Both against what was measured, quantized models apart."""
    starts = loaded()
    judged = rows(python, {f"{row['id']} {row['config']}": config for row, config, _ in starts})
    print(f"\n{'start':<40}{'measured':>9}{'gpu-tui':>9}{'accelerate':>12}   error, GiB and share")
    errors: dict[tuple[str, bool], list[float]] = {}
    for (_, _, truth), row in zip(starts, judged, strict=True):
        cells = []
        for who, size, width in (("gpu-tui", row.ours, 9), ("accelerate", row.theirs, 12)):
            share = None if size is None else size / truth - 1
            cells.append(f"{'-' if share is None else f'{share:+.1%}':>{width}}")
            if share is not None:
                errors.setdefault((who, row.quantized), []).append(abs(share))
        print(f"{row.name:<40}{truth / GIB:>9.2f}{''.join(cells)}{'   quantized' if row.quantized else ''}")
    print()
    for (who, quantized), shares in sorted(errors.items()):
        words = "quantized" if quantized else "16 bits"
        print(f"{who:<12}{words:<11}n={len(shares):<4}median error {median(shares):.2%}, most {max(shares):.1%}")
    print("Both far off: a share of a model on several GPUs, or quantized weights, and the report does not say so.")


def main() -> None:
    parser = argparse.ArgumentParser(description="Weights from configurations: gpu-tui's estimate and accelerate's.")
    parser.add_argument("--python", type=Path, help="an interpreter with accelerate, transformers and torch")
    python = parser.parse_args().python or installing.folder() / "vllm" / "bin" / "python"
    python = python if python.exists() else None
    configs = {path.stem: json.loads(path.read_text()) for path in sorted(CONFIGS.glob("*.json"))}
    show_configs(rows(python, configs))
    show_loaded(python)
    print("\nhf-mem is not judged: it asks the hub for every model's headers, and runs only with a network.")


if __name__ == "__main__":
    main()
