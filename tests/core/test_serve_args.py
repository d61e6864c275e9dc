"""A vLLM server's command line."""

from __future__ import annotations

import shlex

import pytest

from gpu_tui.core.serve_args import ServeArgs, is_server, parse


@pytest.mark.parametrize(
    ("cmdline", "expected"),
    [
        ("vllm serve m", ServeArgs(model="m")),
        (
            "/usr/bin/python3 /usr/local/bin/vllm serve org/m --port 8001",
            ServeArgs(model="org/m", port=8001, port_given=True),
        ),
        (
            "vllm serve --model=m --gpu_memory_utilization=0.45 --host ::1",
            ServeArgs(model="m", gpu_memory_utilization=0.45, host="::1"),
        ),
        (
            "python -m vllm.entrypoints.openai.api_server --model m --served-model-name judge --max-model-len 8k",
            ServeArgs(model="m", served_model_name="judge", max_model_len="8k"),
        ),
        (
            "python /x/vllm/entrypoints/openai/api_server.py --model m -tp 2",
            ServeArgs(model="m", tensor_parallel_size=2),
        ),
        ("vllm serve m --tensor-parallel-size 8 --tp 4", ServeArgs(model="m", tensor_parallel_size=8)),
        ("vllm serve m --enforce-eager --port 9000", ServeArgs(model="m", port=9000, port_given=True)),
        ("vllm serve m --port 1 --port 2", ServeArgs(model="m", port=2, port_given=True)),
        ("vllm serve m --seed -1 --port", ServeArgs(model="m")),
        ("vllm serve m --port eight --gpu-memory-utilization much", ServeArgs(model="m")),
        ("vllm serve m --gpu-memory-utilization 0", ServeArgs(model="m")),
        ("vllm serve m --gpu-memory-utilization 90", ServeArgs(model="m")),
        ("vllm serve m --gpu-memory-utilization nan", ServeArgs(model="m")),
        ("vllm serve m --gpu-memory-utilization 1", ServeArgs(model="m", gpu_memory_utilization=1.0)),
        ("vllm serve", ServeArgs()),
        ("vllm serve --port 1 org/m", ServeArgs(model="org/m", port=1, port_given=True)),
        ("vllm serve --enforce-eager org/m --served-model-name a b", ServeArgs(model="org/m", served_model_name="a")),
    ],
)
def test_a_server_is_read(cmdline: str, expected: ServeArgs) -> None:
    assert parse(shlex.split(cmdline)) == expected
    assert is_server(tuple(shlex.split(cmdline)))


@pytest.mark.parametrize(
    "argv",
    [
        None,
        (),
        ("vllm",),
        ("vllm", "bench", "serve"),
        ("serve", "vllm"),
        ("bash", "-c", "vllm serve m --port 1"),
        ("sh", "-c", "cd /opt && exec /opt/bin/vllm serve m"),
        ("bash", "-c", "python /opt/vllm/entrypoints/openai/api_server.py; sleep 9"),
        ("bash", "-c", "vllm.entrypoints is a module"),
        ("VLLM::EngineCore",),
        ("my-vllm", "serve"),
        ("python", "-m", "kloros_voice", "--llm", "vllm"),
    ],
)
def test_what_only_mentions_a_server_is_none(argv: tuple[str, ...] | None) -> None:
    assert not is_server(argv)
    assert parse(argv or ()) is None
