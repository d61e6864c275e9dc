"""The options of a vLLM server's command line that decide its memory."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.command_options import split
from gpu_tui.core.serve_options import AUTO, ServeOptions, options_of, size


def options(line: str) -> ServeOptions:
    return options_of(shlex.split(f"vllm serve {line}"))


@pytest.mark.parametrize(
    "line",
    [
        "org/m --port 1",
        "--port 1 org/m",
        "--port=1 org/m",
        "--enforce-eager org/m --port 1",
        "--enable-chunked-prefill False org/m",
        "--trust-remote-code --no-enable-prefix-caching -tp 2 org/m",
        "--model org/m --port 1",
        "--model=org/m",
        "--served-model-name a b --port 1 org/m",
        "--seed -1 org/m",
        "--headless org/m -ep",
        "--never-heard-of x org/m",
    ],
)
def test_the_model_is_found_wherever_it_stands(line: str) -> None:
    assert options(line).model == "org/m"


def test_a_server_without_a_model_and_no_server_at_all() -> None:
    assert options("--port 1") == ServeOptions()
    assert options_of(("python", "train.py", "--tensor-parallel-size", "2")) == ServeOptions()
    assert options_of(()) == ServeOptions()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("m -tp 2 -pp 3 -dp 4 -dcp 5", (2, 3, 4, 5)),
        (
            "m --tensor-parallel-size=2 --pipeline_parallel_size 3 -dp=4 --decode-context-parallel-size 5",
            (2, 3, 4, 5),
        ),
        ("m -tp two -pp 0x1 -dp -1", (None, None, None, None)),
        ("m --tensor-parallel-size 8 -tp 4", (8, None, None, None)),
        ("m --data-parallel-size-local 2", (None, None, None, None)),
    ],
)
def test_parallelism(line: str, expected: tuple[int | None, ...]) -> None:
    found = options(line)
    assert expected == (
        found.tensor_parallel_size,
        found.pipeline_parallel_size,
        found.data_parallel_size,
        found.decode_context_parallel_size,
    )


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("8192", 8192),
        ("8k", 8000),
        ("8K", 8192),
        ("25.6k", 25600),
        ("1M", 1 << 20),
        ("auto", AUTO),
        ("-1", AUTO),
        ("x", None),
        ("0", None),
    ],
)
def test_the_longest_request(text: str, tokens: int | None) -> None:
    assert options(f"m --max-model-len {text}").max_model_len == tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1073741824", 1 << 30),
        ("8G", 8 << 30),
        ("8g", 8 * 10**9),
        ("2.5g", 2_500_000_000),
        ("2.5G", None),
        ("8GiB", 8 << 30),
        ("512MB", 512 * 10**6),
        ("1e9", None),
        ("", None),
        ("-5", None),
        ("9" * 400, None),
        (None, None),
    ],
)
def test_sizes(text: str | None, expected: int | None) -> None:
    assert size(text) == expected


def test_the_rest() -> None:
    line = (
        "m --kv-cache-dtype fp8 --dtype=half --block_size 32 --max-num-seqs 64 --max-num-batched-tokens 8K"
        " --kv-cache-memory 4G --num-gpu-blocks-override 100 -q awq --cpu-offload-gb 1.5 --enable-lora --max-loras 2"
        " --max-lora-rank 16 --disable-hybrid-kv-cache-manager --no-enable-prefix-caching --language-model-only"
        " --download-dir /models --gpu-memory-util 0.8 --mamba-ssm-cache-dtype float32 --enable-sleep-mode"
        " --revision v1"
    )
    assert options(line) == ServeOptions(
        model="m",
        kv_cache_dtype="fp8",
        dtype="half",
        block_size=32,
        max_num_seqs=64,
        max_num_batched_tokens=8192,
        kv_cache_memory_bytes=4 << 30,
        num_gpu_blocks_override=100,
        quantization="awq",
        cpu_offload_gb=1.5,
        enable_lora=True,
        max_loras=2,
        max_lora_rank=16,
        hybrid_kv_cache_manager=False,
        prefix_caching=False,
        language_model_only=True,
        download_dir="/models",
        gpu_memory_utilization=0.8,
        mamba_ssm_cache_dtype="float32",
        sleep_mode=True,
        revision="v1",
    )


@pytest.mark.parametrize(
    ("line", "eager"),
    [
        ("m --enforce-eager", True),
        ("m --no-enforce-eager", False),
        ("m --enforce-eager=False", False),
        ("""m --compilation-config '{"cudagraph_mode": "NONE"}'""", True),
        ("m -cc.cudagraph_mode=none", True),
        ("m -O.cudagraph_mode FULL", None),
        ("m -O0", True),
        ("m -O 0", True),
        ("m -O3", None),
        ("m", None),
    ],
)
def test_whether_graphs_are_captured(line: str, eager: bool | None) -> None:
    assert options(line).enforce_eager is eager


@pytest.mark.parametrize(
    ("line", "method", "tokens"),
    [
        ("""m --speculative-config '{"method": "mtp", "num_speculative_tokens": 3}'""", "mtp", 3),
        ("m -sc.method eagle --speculative-config.num_speculative_tokens=2", "eagle", 2),
        ("m --spec-method ngram --spec-tokens 4", "ngram", 4),
        ("m --num-speculative-tokens 5 --speculative-model d", None, 5),
        ("m --speculative-config {broken", None, None),
        ("m --speculative-config [1]", None, None),
    ],
)
def test_speculative_decoding(line: str, method: str | None, tokens: int | None) -> None:
    found = options(line)
    assert (found.speculative_method, found.num_speculative_tokens) == (method, tokens)


def test_what_a_command_line_hides_is_named() -> None:
    assert options("m --config /etc/vllm.yaml").notes == ("options in /etc/vllm.yaml were not read",)
    assert "--hf-overrides" in options("""m --hf-overrides '{"a": 1}'""").notes[0]
    assert "--hf-overrides" in options("m --hf-overrides.rope.factor 4").notes[0]
    assert options("m").notes == ()


def test_switches_and_words() -> None:
    assert options("m --enable-prefix-caching").prefix_caching is True
    assert options("m --enable-prefix-caching False").prefix_caching is False
    assert options("m").prefix_caching is None
    assert split(["--a", "--b=", "--c", "1", "--enforce-eager", "--seed", "-1", "-"]) == (
        {"c": "1", "enforce-eager": "true", "seed": "-1"},
        "-",
    )


WORDS = st.sampled_from(
    [
        "vllm",
        "serve",
        "-tp",
        "--max-model-len",
        "--speculative-config",
        "-O",
        "{",
        "-1",
        "--",
        "-",
        "=",
        "8K",
        "--no-",
        "--a.b",
    ]
) | st.text(max_size=12)


@given(st.lists(WORDS, max_size=12))
def test_no_command_line_is_too_odd(words: list[str]) -> None:
    found = options_of(["vllm", "serve", *words])
    assert found.tensor_parallel_size is None or found.tensor_parallel_size >= 1
    assert found.gpu_memory_utilization is None or 0 < found.gpu_memory_utilization <= 1
