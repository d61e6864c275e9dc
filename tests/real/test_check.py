"""``check`` about a vLLM that runs: the model, flags, release and cache it found, against the server's own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.conftest import JUDGE_MIB, TOTAL_MIB, UTILIZATION, Machine
from tests.real.installing import Installed
from tests.real.services import start_vllm
from tests.standin import Device, Process, StandIn, State

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

CACHE = 1024**3
"""Bytes, of `--kv-cache-memory-bytes` and of what `start_vllm` tells the CPU build."""


def test_a_cache_given_in_bytes_is_cut_as_the_server_cut_it(
    installed: Installed, standin: StandIn, tmp_path: Path
) -> None:
    flags = ("--max-model-len", "2048", "--kv-cache-memory-bytes", str(CACHE))
    with start_vllm(installed, installed.smollm2, *flags, folder=tmp_path, utilization=UTILIZATION) as server:
        standin.write(State(devices=[Device(total_mib=TOTAL_MIB, processes=[Process(server.worker, JUDGE_MIB)])]))
        machine = Machine(standin, server, server)
        told = machine.ask("check", "--util", str(UTILIZATION), "--max-model-len", "2048")
        said = machine.run("check", "--util", str(UTILIZATION), "--max-model-len", "2048").stdout
        own_count, own_blocks, block = server.kv_cache_tokens, server.blocks, server.block_size
    assert f"Prediction: starts: {installed.smollm2}, vLLM 0.32.0" in said
    assert (told["outcome"], told["kv_cache_mib"]) == ("started", CACHE / 2**20)
    assert (told["kv_tokens"], told["num_blocks"]) == (own_count, own_blocks)
    assert told["kv_tokens_band"] == {"low": own_count, "high": own_count}
    # Of the card's 16 tokens a block nothing is left: the server's own are 128, as its metrics tell.
    assert block == 128
    assert told["max_concurrency"] == pytest.approx(own_blocks / (2048 // block), abs=0.01)
    graphs = next(term for term in told["terms"] if term["name"] == "cuda_graphs")
    assert (graphs["mib"], graphs["origin"]["source"]) == (0, "--enforce-eager: no CUDA graphs")
