"""What a vLLM server's command line says of memory: everything a prediction of its start needs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpu_tui.core.command_options import TRUE, split
from gpu_tui.core.serve_args import server_start

AUTO = -1
"""`--max-model-len auto`: as long as fits."""
_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"(\d{1,19}(?:\.\d{1,9})?)\s*([kKmMgGtT]?)(i?[bB])?")
_SHORT = {
    "tp": "tensor-parallel-size",
    "pp": "pipeline-parallel-size",
    "dp": "data-parallel-size",
    "dcp": "decode-context-parallel-size",
    "q": "quantization",
    "sc": "speculative-config",
    "ep": "enable-expert-parallel",
    "device-memory-utilization": "gpu-memory-utilization",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Options as given; None where the command line does not say, or says what vLLM would not understand."""

    model: str | None = None
    revision: str | None = None
    download_dir: str | None = None
    load_format: str | None = None
    gpu_memory_utilization: float | None = None
    max_model_len: int | None = None
    """Tokens; `AUTO` for as many as fit."""
    tensor_parallel_size: int | None = None
    pipeline_parallel_size: int | None = None
    data_parallel_size: int | None = None
    decode_context_parallel_size: int | None = None
    expert_parallel: bool | None = None
    dtype: str | None = None
    quantization: str | None = None
    kv_cache_dtype: str | None = None
    block_size: int | None = None
    enforce_eager: bool | None = None
    """Also true for `-O0` and a `cudagraph_mode` of NONE, which capture no graphs either."""
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    kv_cache_memory_bytes: int | None = None
    num_gpu_blocks_override: int | None = None
    cpu_offload_gb: float | None = None
    enable_lora: bool | None = None
    max_loras: int | None = None
    max_lora_rank: int | None = None
    speculative_method: str | None = None
    speculative_model: str | None = None
    num_speculative_tokens: int | None = None
    hybrid_kv_cache_manager: bool | None = None
    prefix_caching: bool | None = None
    chunked_prefill: bool | None = None
    disable_sliding_window: bool | None = None
    language_model_only: bool | None = None
    sleep_mode: bool | None = None
    mamba_cache_dtype: str | None = None
    mamba_ssm_cache_dtype: str | None = None
    notes: tuple[str, ...] = ()
    """What the command line hides, in words."""


def options_of(cmdline: Sequence[str]) -> ServeOptions:
    """Read a server's command line; all None when it starts no vLLM server. Never raises."""
    start = server_start(cmdline)
    if start is None:
        return ServeOptions()
    found, positional = split(cmdline[start:])
    read = _Options(_known(found))
    speculative = read.json("speculative-config")
    return ServeOptions(
        model=positional or read.text("model"),
        revision=read.text("revision"),
        download_dir=read.text("download-dir"),
        load_format=read.text("load-format"),
        gpu_memory_utilization=_share(read.text("gpu-memory-utilization")),
        max_model_len=_length(read.text("max-model-len")),
        tensor_parallel_size=read.count("tensor-parallel-size"),
        pipeline_parallel_size=read.count("pipeline-parallel-size"),
        data_parallel_size=read.count("data-parallel-size"),
        decode_context_parallel_size=read.count("decode-context-parallel-size"),
        expert_parallel=read.switch("enable-expert-parallel"),
        dtype=read.text("dtype"),
        quantization=read.text("quantization"),
        kv_cache_dtype=read.text("kv-cache-dtype"),
        block_size=read.count("block-size"),
        enforce_eager=_eager(read, found),
        max_num_seqs=read.size("max-num-seqs"),
        max_num_batched_tokens=read.size("max-num-batched-tokens"),
        kv_cache_memory_bytes=read.size("kv-cache-memory-bytes"),
        num_gpu_blocks_override=read.count("num-gpu-blocks-override"),
        cpu_offload_gb=_number(read.text("cpu-offload-gb")),
        enable_lora=read.switch("enable-lora"),
        max_loras=read.count("max-loras"),
        max_lora_rank=read.count("max-lora-rank"),
        speculative_method=_text(speculative.get("method")) or read.text("spec-method"),
        speculative_model=_text(speculative.get("model")) or read.text("spec-model") or read.text("speculative-model"),
        num_speculative_tokens=_whole(speculative.get("num_speculative_tokens"))
        or read.count("spec-tokens")
        or read.count("num-speculative-tokens"),
        hybrid_kv_cache_manager=_not(read.switch("disable-hybrid-kv-cache-manager")),
        prefix_caching=read.switch("enable-prefix-caching"),
        chunked_prefill=read.switch("enable-chunked-prefill"),
        disable_sliding_window=read.switch("disable-sliding-window"),
        language_model_only=read.switch("language-model-only"),
        sleep_mode=read.switch("enable-sleep-mode"),
        mamba_cache_dtype=read.text("mamba-cache-dtype"),
        mamba_ssm_cache_dtype=read.text("mamba-ssm-cache-dtype"),
        notes=_notes(read),
    )


class _Options:
    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values

    def text(self, name: str) -> str | None:
        return self.values.get(name)

    def count(self, name: str) -> int | None:
        return _whole(self.values.get(name)) or None

    def size(self, name: str) -> int | None:
        return size(self.values.get(name)) or None

    def switch(self, name: str) -> bool | None:
        """`--name`, `--no-name` and `--name False`."""
        if (value := self.values.get(name)) is not None:
            return value.lower() != "false"
        return _not(None if (value := self.values.get(f"no-{name}")) is None else value.lower() != "false")

    def json(self, name: str) -> dict[str, object]:
        """A JSON option and its `--name.key value` forms; empty where it cannot be read."""
        try:
            whole = json.loads(self.values.get(name, "{}"))
        except (ValueError, RecursionError):
            whole = {}
        found = {key: value for key, value in whole.items() if isinstance(key, str)} if isinstance(whole, dict) else {}
        dotted = {key[len(name) + 1 :]: value for key, value in self.values.items() if key.startswith(f"{name}.")}
        return {**found, **dotted}


def _known(found: Mapping[str, str]) -> dict[str, str]:
    """Short names and unambiguous beginnings (`--gpu-memory-util`) under the full name, which goes before them."""
    values: dict[str, str] = {}
    for name, value in found.items():
        head, dot, path = name.partition(".")
        full = _SHORT.get(head) or (_beginning(head) if head not in _NAMES else head)
        key = (full or head) + dot + path
        if full == head or full is None or key not in found:
            values[key] = value
    return values


def _beginning(name: str) -> str | None:
    matches = [known for known in _NAMES if known.startswith(name)] if len(name) >= 8 else []
    return matches[0] if len(matches) == 1 else None


_NAMES = {
    "block-size",
    "compilation-config",
    "cpu-offload-gb",
    "data-parallel-size",
    "decode-context-parallel-size",
    "download-dir",
    "gpu-memory-utilization",
    "kv-cache-dtype",
    "kv-cache-memory-bytes",
    "max-lora-rank",
    "max-loras",
    "max-model-len",
    "max-num-batched-tokens",
    "max-num-seqs",
    "num-gpu-blocks-override",
    "pipeline-parallel-size",
    "quantization",
    "speculative-config",
    "tensor-parallel-size",
    # Longer names that begin like one above: not to be mistaken for it.
    "data-parallel-size-local",
    "kv-cache-dtype-skip-layers",
    "quantization-config",
    "quantization-param-path",
}


def size(text: str | None) -> int | None:
    """A count or size as vLLM reads it: `1k` is 1000, `1K` 1024, `2.5g` 2,500,000,000; `8GiB` and `8GB` as they say."""
    match = _SIZE.fullmatch(text.strip()) if text is not None else None
    if match is None:
        return None
    number, unit, bytes_ = match.groups()
    if bytes_ is not None:
        factor = _BINARY.get(unit.upper(), 1) if bytes_.startswith("i") else _DECIMAL.get(unit.lower(), 1)
    elif unit in _BINARY and "." in number:
        return None
    else:
        factor = {**_DECIMAL, **_BINARY}.get(unit, 1)
    return int(float(number) * factor) if "." in number else int(number) * factor


def _length(text: str | None) -> int | None:
    if text is not None and text.strip().lower() in {"auto", "-1"}:
        return AUTO
    return size(text) or None


def _eager(read: _Options, found: Mapping[str, str]) -> bool | None:
    given = read.switch("enforce-eager")
    if given is not None:
        return given
    for name in ("compilation-config", "cc", "O"):
        mode = read.json(name).get("cudagraph_mode")
        if isinstance(mode, str):
            return True if mode.upper() == "NONE" else None
    level = found.get("O") or found.get("optimization-level")
    return True if level == "0" else None


def _notes(read: _Options) -> tuple[str, ...]:
    notes = []
    if (file := read.text("config")) is not None:
        notes.append(f"options in {file} were not read")
    given = {key.partition(".")[0] for key in read.values} & {"hf-overrides", "quantization-config"}
    notes += [f"--{name} was not applied to the model's config" for name in sorted(given)]
    if read.text("kv-transfer-config") is not None:
        notes.append("a KV connector is configured, which older releases serve without the hybrid KV cache manager")
    return tuple(notes)


def _not(value: bool | None) -> bool | None:
    return None if value is None else not value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value and value != TRUE else None


def _whole(value: object) -> int | None:
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 20 else None


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return number if 0 <= number < 1e9 else None


def _share(text: str | None) -> float | None:
    number = _number(text)
    return number if number is not None and 0 < number <= 1 else None
