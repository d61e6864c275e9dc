"""A model's facts from its own files: `config.json`, headers of its weights, or a GGUF file. No network, no tensor."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gpu_tui.core.config_reader import ConfigReader, language_model
from gpu_tui.core.model_config import beyond_estimate, extra_bytes, facts_from_config
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.model_weights import tied
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.errors import ModelError
from gpu_tui.telemetry.bounded import names_in, read_json
from gpu_tui.telemetry.gguf_models import choose, gguf_facts, only_gguf, with_config
from gpu_tui.telemetry.hub_cache import Cached, hub_folders, in_cache, in_modelscope
from gpu_tui.telemetry.weight_files import Weights, weights_of
from gpu_tui.view.text import clean

_FETCH = "Give its folder, or fetch it first (`hf download NAME`, or start vLLM with it once)."


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModel:
    """A model on this machine."""

    facts: ModelFacts
    path: Path
    """Its folder, or its GGUF file."""
    where: str
    """One sentence: where it was found and what its weights are known from."""


def find_model(
    name: str,
    *,
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
    cwd: Path | None = None,
    download_dir: str | None = None,
    revision: str | None = None,
    quantization: str | None = None,
) -> FoundModel:
    """Find a model by what `--model` names and read its facts.

    Args:
        name: a folder, a `.gguf` file, or a repository (`ORG/NAME`, for GGUF also `ORG/NAME:Q4_K_M`).
        environ: the server's environment, for HF_HOME and the like; None: our own.
        home: whose `~/.cache` to look into; None: ours.
        cwd: what a relative path starts from.
        quantization: `--quantization`, for weights quantized while loading.

    Raises:
        ModelError: no such model here, no model at all, or its files do not mean anything.
    """
    environ = os.environ if environ is None else environ
    home = _home(environ) if home is None else home
    if not name or "\0" in name:
        raise ModelError("No model was named.", _FETCH)
    # The functions of os.path, for pathlib's raise where a folder may not be read.
    local = (cwd or Path()) / os.path.expanduser(name)  # noqa: PTH111
    if os.path.isdir(local):  # noqa: PTH112
        return _from_folder(Cached(name=name, folder=local, where=clean(str(local))), None, quantization)
    if name.endswith(".gguf") and os.path.exists(local):  # noqa: PTH110
        return _from_gguf(name, local, clean(str(local)))
    repository, _, tag = name.partition(":")
    found = in_cache(repository, hub_folders(environ, home, download_dir), revision)
    found = found or in_modelscope(repository, environ, home)
    if found is None:
        raise ModelError(f"The model {clean(name, 200)} is not on this machine, or may not be read.", _FETCH)
    return _from_folder(found, tag or None, quantization)


def _home(environ: Mapping[str, str]) -> Path | None:
    try:
        return Path(environ.get("HOME") or Path.home())
    except RuntimeError:
        return None


def _from_folder(found: Cached, tag: str | None, quantization: str | None) -> FoundModel:
    if not os.access(found.folder, os.R_OK | os.X_OK):
        raise ModelError(
            f"{clean(str(found.folder))} may not be read.", "Run as a user who may, or give another folder."
        )
    names = names_in(found.folder)
    if "config.json" in names:
        config = read_json(found.folder / "config.json")
    elif any(entry.endswith(".gguf") for entry in names):
        return _from_gguf(found.name, choose(found, names, tag), found.where)
    elif "params.json" in names:
        config = _from_params(read_json(found.folder / "params.json"))
    elif "adapter_config.json" in names:
        base = read_json(found.folder / "adapter_config.json").get("base_model_name_or_path")
        hint = f"Give the model it adapts: {clean(str(base), 200)}." if base else "Give the model it adapts."
        raise ModelError(f"{clean(str(found.folder))} is an adapter, not a model.", hint)
    else:
        raise ModelError(f"{clean(str(found.folder))} has no config.json.", "Give the folder of a model.")
    if tag is not None or ("config.json" in names and only_gguf(names)):
        chosen = _from_gguf(found.name, choose(found, names, tag), found.where)
        return replace(chosen, facts=with_config(config, chosen.facts, found.name))
    return _from_config(found, config, names, quantization)


def _from_config(found: Cached, config: Mapping[str, object], names: list[str], quantization: str | None) -> FoundModel:
    config = _with_modelopt(found.folder, config, names)
    facts = facts_from_config(config, name=found.name, quantization_arg=quantization)
    in_flight = quantization is not None and not _stored_quantized(config)
    stored = facts_from_config(config) if in_flight else facts
    language = language_model(config)
    weights = weights_of(
        found.folder,
        names,
        num_layers=facts.num_layers if facts.draft_layers else None,
        tied=tied(language),
        quantized=stored.quantization is not None,
        float32=_stored_float32(config, language),
    )
    if in_flight and weights.bytes is not None:
        # The files hold 16 bits; what is loaded is the estimate for the quantization asked for.
        weights = replace(
            weights, bytes=None, words="its weights are quantized while loading: estimated from config.json"
        )
    facts = _with_weights(facts, weights, extra_bytes(config))
    return FoundModel(facts=facts, path=found.folder, where=f"Found in {found.where}; {weights.words}.")


def _stored_float32(config: Mapping[str, object], language: ConfigReader) -> bool:
    dtype = ConfigReader(config).text("dtype", "torch_dtype") or language.text("dtype", "torch_dtype")
    return (dtype or "float32").removeprefix("torch.") == "float32"


def _stored_quantized(config: Mapping[str, object]) -> bool:
    return facts_from_config(config).quantization is not None


def _with_modelopt(folder: Path, config: Mapping[str, object], names: list[str]) -> Mapping[str, object]:
    """ModelOpt checkpoints tell their quantization in a file of its own."""
    if "hf_quant_config.json" not in names or config.get("quantization_config") is not None:
        return config
    return {**config, "quantization_config": {"quant_method": "modelopt", **read_json(folder / "hf_quant_config.json")}}


def _with_weights(facts: ModelFacts, weights: Weights, extra: int) -> ModelFacts:
    if weights.bytes is None:
        return replace(facts, assumptions=facts.assumptions + weights.notes)
    size = weights.bytes + extra
    rough = weights.upper_only
    return replace(
        facts,
        weights_bytes=size,
        weights_origin=Origin(kind=OriginKind.DERIVED, source=weights.source),
        weights_band=(round(size * (0.95 if rough else 0.995)), round(size * 1.02) + (32 << 20)),
        unsharded_bytes=weights.whole + extra if weights.whole is not None else facts.unsharded_bytes,
        encoder_bytes=weights.encoder if weights.encoder is not None else facts.encoder_bytes,
        draft_bytes=weights.draft or None if weights.draft is not None else facts.draft_bytes,
        assumptions=beyond_estimate(facts) + weights.notes,
    )


def _from_gguf(name: str, path: Path, where: str) -> FoundModel:
    facts, words = gguf_facts(name, path)
    return FoundModel(facts=facts, path=path, where=f"Found in {where}; {words}.")


def _from_params(params: Mapping[str, object]) -> dict[str, object]:
    """Mistral's own format, `params.json`, in the words of `config.json`."""
    words = {"dim": "hidden_size", "hidden_dim": "intermediate_size", "n_layers": "num_hidden_layers"}
    words |= {
        "n_heads": "num_attention_heads",
        "n_kv_heads": "num_key_value_heads",
        "max_seq_len": "max_position_embeddings",
    }
    config: dict[str, object] = {words.get(key, key): value for key, value in params.items()}
    moe = ConfigReader(params).table("moe")
    if moe is not None:
        config["num_experts"] = moe.integer("num_experts")
        config["num_experts_per_tok"] = moe.integer("num_experts_per_tok")
        config["moe_intermediate_size"] = moe.integer("expert_hidden_dim")
        config["first_k_dense_replace"] = moe.integer("first_k_dense_replace", least=0)
        config["n_shared_experts"] = moe.integer("num_shared_experts")
    if isinstance(encoder := params.get("vision_encoder"), Mapping):
        config["vision_config"] = {"model_type": "pixtral", **encoder}
    return {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "torch_dtype": "bfloat16", **config}
