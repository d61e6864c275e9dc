"""Drawn plans: a GPU with tenants, a model, flags of a release, a utilization."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from gpu_tui.core.checks import ModelNeed
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.plan import Plan
from gpu_tui.core.snapshot import ProcessInfo
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.start_terms import Given, TermName
from gpu_tui.units import GIB, MIB
from tests.core.layouts import VERSIONS, facts_of, models
from tests.factories import books_of, gpu, snapshot

_SERVICES = (
    ("python", ("python", "-m", "kloros_voice")),
    ("ollama", ("/usr/local/bin/ollama", "runner")),
    ("vllm", ("/usr/bin/python3", "/usr/bin/vllm", "serve", "m", "--port", "8001")),
    ("VLLM::EngineCor", ("VLLM::EngineCore",)),
    ("Xorg", ("Xorg",)),
)
_PUBLIC = ("llama-3.1-8b", "qwen3-8b", "gemma-3-4b", "qwen3.5-9b", "gpt-oss-20b", "deepseek-v2-lite", "smollm2-135m")
_TEST = Origin(kind=OriginKind.MEASURED, source="test")

some_facts = st.one_of(models(), st.sampled_from(_PUBLIC).map(facts_of))


def exact(gib: float) -> Given:
    """A term without a band."""
    return Given(size=round(gib * GIB), origin=_TEST, precision=0)


@st.composite
def inputs(draw: st.DrawFn, versions: tuple[str | None, ...] = (*VERSIONS, None)) -> StartInputs:
    """A model and flags; terms given or left to be estimated."""
    terms: dict[TermName, Given] = {}
    for name, most in ((TermName.ACTIVATION, 3.0), (TermName.NON_TORCH, 1.0), (TermName.CUDA_GRAPHS, 2.0)):
        if draw(st.booleans()):
            terms[name] = exact(draw(st.floats(0, most)))
    return StartInputs(
        facts=draw(some_facts),
        version=draw(st.sampled_from(versions)),
        max_model_len=draw(st.sampled_from([None, 512, 4096, 32_768, 131_072])),
        fit_max_model_len=draw(st.sampled_from([None, None, None, True])),
        tensor_parallel_size=draw(st.sampled_from([None, None, 2])),
        kv_cache_dtype=draw(st.sampled_from([None, None, "fp8"])),
        enforce_eager=draw(st.sampled_from([None, None, True])),
        max_num_seqs=draw(st.sampled_from([None, 8, 64, 1024])),
        max_num_batched_tokens=draw(st.sampled_from([None, 512, 8192])),
        kv_cache_memory_bytes=draw(st.one_of(st.none(), st.none(), st.integers(0, 8 * GIB))),
        given=terms,
        cuda_total_bytes=draw(st.sampled_from([None, None, 12 * GIB])),
    )


@st.composite
def plans(draw: st.DrawFn, told: st.SearchStrategy[StartInputs | None] | None = None) -> Plan:
    """A plan on a GPU of 4 to 48 GiB with up to five tenants."""
    total = draw(st.sampled_from([6144, 12288, 24576, 49152]))
    who = draw(st.lists(st.integers(0, len(_SERVICES) - 1), unique=True, max_size=5))
    holds = {100 + k: float(draw(st.integers(1, total // 6))) for k in who}
    infos = [ProcessInfo(pid=100 + k, name=_SERVICES[k][0], cmdline=_SERVICES[k][1], ppid=1) for k in who]
    device = gpu(
        holds,
        total=total,
        reserved=draw(st.sampled_from([0, 300])),
        cuda_total_bytes=draw(st.sampled_from([None, (total - 320) * MIB])),
        free_at_start=draw(st.booleans()),
    )
    base = ModelNeed(
        model_bytes=draw(st.integers(0, 2 * total)) * MIB,
        min_kv_cache_bytes=draw(st.integers(0, 2000)) * MIB,
        startup_overhead_bytes=draw(st.sampled_from([0, 0, 500 * MIB])),
    )
    return Plan(
        gpu_memory_utilization=draw(st.integers(1, 1000)) / 1000,
        gpu=device,
        books=books_of(snapshot(device, infos)),
        base=base,
        inputs=draw(told if told is not None else st.one_of(inputs(), inputs(), inputs(), st.none())),
        told=draw(st.booleans()),
    )


@st.composite
def exact_inputs(draw: st.DrawFn) -> StartInputs:
    """Nothing is estimated: every term is given to the byte, in a release with a start gate."""
    drawn = draw(inputs(("0.9.2", "0.16.0", "0.19.1", "0.20.2", "0.30.0", "0.33.0")))
    sizes: dict[TermName, Any] = {
        name: exact(draw(st.floats(0, most)))
        for name, most in ((TermName.WEIGHTS, 16), (TermName.ACTIVATION, 3), (TermName.NON_TORCH, 1))
    }
    # The graphs' own estimate has a band even where it is given.
    return replace(drawn, given=sizes, enforce_eager=True)
