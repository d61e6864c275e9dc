"""Splitting a vLLM server's arguments into options and the model, as its own parser does.

Which options take no value, one or many was read from `AsyncEngineArgs.add_cli_args` and the servers' `cli_args.py`
(vLLM 0.4 to 0.32); an option nobody knows is taken to have a value when one follows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_SWITCH_PREFIXES = ("enable-", "disable-", "no-", "use-", "skip-", "return-", "trust-")
_SWITCHES = {
    "aggregate-engine-logging",
    "allow-credentials",
    "allow-deprecated-quantization",
    "async-scheduling",
    "calculate-kv-scales",
    "cudagraph-metrics",
    "data-parallel-external-lb",
    "data-parallel-hybrid-lb",
    "data-parallel-multi-port-external-lb",
    "dcp-q-replicate",
    "dpe",
    "dph",
    "dpm",
    "enforce-eager",
    "engine-use-ray",
    "ep",
    "exclude-tools-when-tool-choice-none",
    "fail-on-environ-validation",
    "fully-sharded-loras",
    "h",
    "headless",
    "help",
    "interleave-mm-strings",
    "jit-monitor-verbose",
    "kv-cache-metrics",
    "kv-sharing-fast-prefill",
    "language-model-only",
    "log-error-stack",
    "log-requests",
    "long-prefill-token-threshold-adaptive",
    "mm-device-do-normalize",
    "mm-encoder-only",
    "multi-step-stream-outputs",
    "numa-bind",
    "ray-workers-use-nsight",
    "scheduler-reserve-full-isl",
    "sleep-mode-offload-cudagraph",
    "specialize-active-lora",
    "swa-bounded-replay",
    "tokens-only",
    "worker-use-ray",
}
_MANY = {
    "allowed-media-domains",
    "collect-detailed-traces",
    "cpu-offload-params",
    "cudagraph-capture-sizes",
    "cuda-graph-sizes",
    "ignore-patterns",
    "kv-cache-dtype-skip-layers",
    "logits-processors",
    "lora-modules",
    "lora-target-modules",
    "numa-bind-cpus",
    "numa-bind-nodes",
    "offload-params",
    "prompt-adapters",
    "served-model-name",
    "sleep-preserve-parameter-names",
}
_TRUTHS = {"true", "false", "True", "False"}
_NUMBER = re.compile(r"-\d+(\.\d+)?")
_LEVEL = re.compile(r"-O(\d)")
TRUE = "true"


def split(args: Sequence[str]) -> tuple[dict[str, str], str | None]:
    """Options by their names without dashes, the last of each kept, and the first argument that is no option's.

    A switch reads ``true``. Of several values the first is kept, for it is the one a server goes by.
    """
    options: dict[str, str] = {}
    positional: str | None = None
    i = 0
    while i < len(args):
        arg = args[i]
        i += 1
        if not _is_option(arg):
            positional = positional if positional is not None or not arg else arg
            continue
        if (level := _LEVEL.fullmatch(arg)) is not None:
            options["O"] = level[1]
            continue
        name, equals, value = arg.lstrip("-").partition("=")
        name = _normal(name)
        if equals:
            options[name] = value
            continue
        taken = _values(name, args[i:])
        i += len(taken)
        if taken or _is_switch(name):
            options[name] = taken[0] if taken else TRUE
    return {name: value for name, value in options.items() if value}, positional


def _normal(name: str) -> str:
    """Underscores read as dashes, but not within a path into a JSON option (`--speculative-config.num_tokens`)."""
    head, dot, path = name.partition(".")
    return head.replace("_", "-") + dot + path


def _is_option(arg: str) -> bool:
    return arg.startswith("-") and len(arg) > 1 and _NUMBER.fullmatch(arg) is None


def _is_switch(name: str) -> bool:
    return name in _SWITCHES or name.startswith(_SWITCH_PREFIXES)


def _values(name: str, rest: Sequence[str]) -> Sequence[str]:
    """The arguments that belong to the option before them."""
    if _is_switch(name):
        # Up to 0.8 some switches took a word: `--enable-chunked-prefill False`.
        return rest[:1] if rest and rest[0] in _TRUTHS else ()
    if name not in _MANY:
        return rest[:1] if rest and not _is_option(rest[0]) else ()
    end = next((k for k, arg in enumerate(rest) if _is_option(arg)), len(rest))
    return rest[:end]
