"""What to type so that vLLM does what the plan says: flags, the whole command, a systemd drop-in, a compose diff.

Text only: nothing here is ever applied. Secrets of the running server's command line are replaced by references to
environment variables, so that every text can be shown, copied and run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpu_tui.core.plan import Plan
from gpu_tui.core.planning import Judgement
from gpu_tui.core.remedies_flags import PINNED_SINCE
from gpu_tui.core.serve_options import AUTO, ServeOptions, options_of
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.start_terms import cuda_graphs
from gpu_tui.core.what_to_type_recipes import recipes
from gpu_tui.core.what_to_type_values import Flag as Flag
from gpu_tui.core.what_to_type_values import Recipe as Recipe
from gpu_tui.core.what_to_type_values import RecipeKind as RecipeKind
from gpu_tui.core.what_to_type_values import RunningServer as RunningServer
from gpu_tui.core.what_to_type_values import WhatToType as WhatToType
from gpu_tui.core.what_to_type_words import shell
from gpu_tui.units import format_mib

_NUMBERS = (
    "max_num_seqs",
    "max_num_batched_tokens",
    "kv_cache_dtype",
    "kv_cache_memory_bytes",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "block_size",
)
"""Flags that are typed as they stand in `StartInputs`."""


def what_to_type(plan: Plan, judgement: Judgement, server: RunningServer | None = None) -> WhatToType:
    """The texts for a plan.

    Args:
        plan: what is planned.
        judgement: what it comes to.
        server: the one that restarts; None: not known.
    """
    now = options_of(server.argv) if server is not None else ServeOptions()
    flags = _flags(plan, now, running=server is not None)
    found = recipes(server, flags) if server is not None else _bare(plan, flags)
    return WhatToType(flags=flags, pinned=pinned_cache(judgement), recipes=found)


def _flags(plan: Plan, now: ServeOptions, *, running: bool) -> tuple[Flag, ...]:
    flags: list[Flag] = []
    inputs = plan.inputs
    chosen = _chosen(inputs, now) if inputs is not None and running else {}
    given = now.gpu_memory_utilization
    before = given
    if given is None and running:
        before = chosen.get("gpu_memory_utilization", plan.rules.default_gpu_memory_utilization)
    if plan.gpu_memory_utilization != before:
        told = None if given is None else f"{given:g}"
        flags.append(Flag(name="--gpu-memory-utilization", value=f"{plan.gpu_memory_utilization:g}", now=told))
    if inputs is None:
        return tuple(flags)
    length = AUTO if inputs.fit_max_model_len else inputs.max_model_len
    if length is not None and length not in (now.max_model_len, chosen.get("max_model_len")):
        flags.append(Flag(name="--max-model-len", value=_length(length), now=_told(_length(now.max_model_len))))
    flags += _plain(inputs, now, chosen)
    eager = chosen.get("enforce_eager", bool(now.enforce_eager))
    if inputs.enforce_eager is not None and inputs.enforce_eager != eager:
        name = "--enforce-eager" if inputs.enforce_eager else "--no-enforce-eager"
        flags.append(Flag(name=name, value=None))
    return tuple(flags)


def _chosen(inputs: StartInputs, now: ServeOptions) -> dict[str, Any]:
    """Flags in effect that the command line does not give: vLLM comes to them by itself, or by a file it names."""
    in_effect = inputs.in_effect or {}
    return {name: value for name, value in in_effect.items() if getattr(now, name, None) is None}


def _plain(inputs: StartInputs, now: ServeOptions, chosen: Mapping[str, Any]) -> list[Flag]:
    flags = []
    for field in _NUMBERS:
        wanted, before = getattr(inputs, field), getattr(now, field)
        if wanted is None or wanted == chosen.get(field, before):
            continue
        if before is None and field not in chosen and wanted in ("auto", 1):
            continue  # vLLM's own default
        name = f"--{field.replace('_', '-')}"
        flags.append(Flag(name=name, value=str(wanted), now=_told(before)))
    return flags


def _length(tokens: int | None) -> str | None:
    if tokens is None:
        return None
    return "auto" if tokens == AUTO else str(tokens)


def _told(value: object) -> str | None:
    return None if value is None else str(value)


def _bare(plan: Plan, flags: tuple[Flag, ...]) -> tuple[Recipe, ...]:
    facts = plan.inputs.facts if plan.inputs is not None else None
    if facts is None or not facts.name:
        return ()
    argv = ["vllm", "serve", facts.name]
    for flag in flags:
        argv += [flag.name] if flag.value is None else [flag.name, flag.value]
    text = shell([(arg,) for arg in argv])
    return (Recipe(kind=RecipeKind.COMMAND, title="Command line", path=None, text=text, apply="", undo=""),)


def pinned_cache(judgement: Judgement) -> Flag | None:
    """`--kv-cache-memory-bytes` that holds what this utilization asks for; None where the plan or release has none.

    vLLM skips its profile run then. Up to 0.19 CUDA graphs come on top of a budget that never counted them; from 0.20
    on the plan's KV cache has them taken off already, and taking them off again would count them twice.
    """
    start, size = judgement.start, judgement.prediction.kv_cache_bytes
    if start is None or size is None or start.options.kv_cache_memory_bytes is not None:
        return None
    rules = start.options.rules
    if rules.v0 or (rules.release is not None and rules.release < PINNED_SINCE):
        return None
    words = "with --gpu-memory-utilization still deciding whether vLLM begins to start"
    if rules.release is None:
        note = f"the plan's KV cache, {format_mib(size)} MiB, by a release that is not told, {words}"
    elif rules.graphs_inside:
        note = f"the plan's KV cache, {format_mib(size)} MiB, CUDA graphs already taken off, {words}"
    else:
        graphs = cuda_graphs(start.options).size
        note = (
            f"the plan's KV cache, {format_mib(size)} MiB, less {format_mib(graphs)} MiB of CUDA graphs, which this "
            f"release puts on top: so that the engine holds what was asked for, {words}"
        )
        size -= graphs
    if size < start.need.min_kv_cache_bytes:
        return None
    return Flag(name="--kv-cache-memory-bytes", value=str(size), note=note)
