"""A start-up log of every version, as its server wrote it, and as journald, docker and others hand it on."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_tui.core.log_text import lines_of
from gpu_tui.core.start_log import GAP, parse_start_log, split_starts
from gpu_tui.core.start_values import FailureKind, MemoryTerms, Phase, Said, Size, StartLog, Wording
from gpu_tui.units import GIB

DATA = Path(__file__).parent / "data" / "start_logs"

EXPECTED: dict[str, dict[str, object]] = {
    "v0_0.5.4": {"engine": "V0", "version": "0.5.4", "weights": "14.9595", "gpu_blocks": 27895, "cpu_blocks": 2048,
                 "capture_s": 12.0, "cuda_graph": None, "model": "meta-llama/Meta-Llama-3-8B-Instruct"},
    "v0_0.6.4": {"version": "0.6.4.post1", "total": "7.92", "initial_usage": "0.37", "torch_peak": "0.71",
                 "non_torch": "0.15", "available_kv": "6.27", "utilization": 0.9, "gpu_blocks": 11422,
                 "max_concurrency": 89.23, "concurrency_len": 2048, "cuda_graph": "0.14", "weights": "0.2389"},
    "v0_0.7.3_tp4": {"engine": "V0", "total": "23.58", "utilization": 0.99, "requested": "23.35", "weights": "21.2092",
                     "non_torch": "0.24", "activation": "0.37", "activation_holds_graphs": False,
                     "available_kv": "1.53", "gpu_blocks": 1607, "cuda_graph": "0.47", "init_s": 44.71,
                     "profile_s": 17.59},
    "v0_0.8.5_t4": {"engine": "V0", "weights": "6.0160", "load_s": 533.851791, "compile_s": 50.34, "gpu_blocks": 3637,
                    "requested": "13.18", "available_kv": "6.22"},
    "v1_0.7.2": {"engine": "V1", "weights": "67.7229", "gpu_blocks": 1381, "cpu_blocks": None, "compile_s": 54.73},
    "v1_0.9.2_tp2": {"engine": "V1", "version": "0.9.2", "weights": "13.9280", "available_kv": "53.04",
                     "kv_tokens": 579344, "max_concurrency": 17.68, "cuda_graph": "0.86"},
    "v1_0.10.2": {"weights": "14.0786", "free": "78.66", "total": "79.19", "requested": "71.27", "activation": "1.97",
                  "non_torch": "0.07", "cuda_graph": "0.67", "available_kv": "55.15", "kv_tokens": 451744,
                  "activation_holds_graphs": False, "consumed": None},
    "v1_0.19_not_subtracted": {"version": "0.19.0", "model": "/model", "available_kv": "8.29", "utilization": 0.8,
                               "graphs_subtracted": False, "suggested_utilization": 0.826, "blocks_override": None,
                               "cuda_graph": "0.41", "cuda_graph_estimate": "0.83", "init_s": 108.99},
    "v1_0.26_hybrid": {"version": "0.26.0", "checkpoint": "2.18", "weights": "0.88", "activation": "0.26",
                       "non_torch": "0.16", "cuda_graph": "0.24", "cuda_graph_estimate": "0.58", "block_size": 784,
                       "graphs_subtracted": True, "equivalent_utilization": 0.9139, "suggested_utilization": 0.9861,
                       "mamba_padding_percent": 100.0, "padding_layers": 2, "kv_tokens": 2324244,
                       "activation_holds_graphs": False, "available_kv": "13.33"},
    "v1_0.30_consumed": {"weights": "9.90", "consumed": "10.47", "activation": "0.79", "activation_holds_graphs": True,
                         "cuda_graph": "0.04", "non_torch": None, "kv_tokens": 61808, "concurrency_len": 32768,
                         "compile_s": 4.57, "init_s": 73.2, "requested": "14.27"},
    "v1_kv_fixed": {"free": "111.69", "kv_cache_memory": "30.00", "available_kv": "30.00", "cuda_graph": "-0.80",
                    "sleep_freed": "20.53", "sleep_in_use": "1.15", "checkpoint": "51.75"},
    "v1_0.32_cpu": {"version": "0.32.0", "kv_tokens": 46592, "max_concurrency": 22.75, "weights": None,
                    "checkpoint": "0.25", "available_kv": "1.00", "init_s": 0.76, "model": "/models/smollm2-135m"},
    "v1_dp2": {"available_kv": "6.41", "kv_tokens": 52496, "max_concurrency": 6.41, "version": "0.14.1",
               "requested": "21.89", "free": "23.90", "activation": "0.40", "non_torch": "0.09",
               "activation_holds_graphs": False, "fitted_max_len": 8192, "blocks_override": 3000, "profile_s": 2.5},
    "ray_tp2": {"version": "0.8.2", "weights": "7.5561", "available_kv": None},
    "docker_json": {"weights": "0.88", "available_kv": "13.33"},
    "k8s_cri": {"weights": "0.88", "available_kv": "13.33"},
}  # fmt: skip
LOGS = sorted(path.stem for path in DATA.glob("*.txt") if not path.stem.startswith(("fail", "journald")))


def read(name: str) -> list[str]:
    return list(lines_of((DATA / f"{name}.txt").read_text(encoding="utf-8")))


def gib(text: str) -> int:
    whole, _, decimals = text.partition(".")
    return round(int(whole + decimals) * GIB / 10 ** len(decimals))


def plain(value: object) -> object:
    if isinstance(value, Size):
        return value.size_bytes
    return value.value if isinstance(value, Said) else value


def figures(log: StartLog) -> dict[str, object]:
    """What a log says, without where in the file it says so."""
    names = [name for name in StartLog.__dataclass_fields__ if name not in ("phases", "ranks", "failures", "summary")]
    return {name: plain(getattr(log, name)) for name in names if not name.startswith("line_")}


def test_every_log_has_its_expectation() -> None:
    assert sorted(EXPECTED) == LOGS


@pytest.mark.parametrize("name", LOGS)
def test_figures_of_every_version(name: str) -> None:
    said = figures(parse_start_log(read(name)))
    wanted = {
        key: gib(value) if isinstance(value, str) and key in SIZES else value for key, value in EXPECTED[name].items()
    }
    assert {key: said[key] for key in wanted} == wanted


SIZES = {
    "total", "free", "requested", "weights", "checkpoint", "consumed", "non_torch", "activation", "cuda_graph",
    "cuda_graph_estimate", "torch_peak", "initial_usage", "available_kv", "kv_cache_memory", "sleep_freed",
    "sleep_in_use",
}  # fmt: skip


def test_a_figure_tells_its_line_its_words_and_how_far_it_is_rounded() -> None:
    lines = read("v1_0.10.2")
    log = parse_start_log(lines)
    assert log.weights is not None
    assert log.available_kv is not None
    assert "Model loading took 14.0786 GiB" in lines[log.weights.line_no - 1]
    assert log.available_kv.excerpt == "Available KV cache memory: 55.15 GiB"
    assert log.available_kv.rank == "EngineCore_DP0"
    # ±0.005 GiB, and ±0.00005 GiB where four decimals are printed.
    assert log.available_kv.precision_bytes == -(-GIB // 200)
    assert log.weights.precision_bytes == -(-GIB // 20_000)


def test_a_value_without_its_trailing_zero_is_as_exact_as_one_with_it() -> None:
    short, long = (parse_start_log([f"Available KV cache memory: {text} GiB"]) for text in ("6.9", "6.90"))
    assert short.available_kv is not None
    assert long.available_kv is not None
    assert short.available_kv.size_bytes == long.available_kv.size_bytes == gib("6.90")
    assert short.available_kv.precision_bytes == long.available_kv.precision_bytes


def test_both_wordings_of_the_summary_are_told_apart() -> None:
    old, new = (parse_start_log(read(name)).summary for name in ("v1_0.10.2", "v1_0.30_consumed"))
    assert old is not None
    assert new is not None
    assert (old.wording, new.wording) == (Wording.WEIGHTS, Wording.CONSUMED)
    assert (plain(old.kv_fit), plain(old.kv_in_use)) == (58333988249, 59212694937)
    assert (plain(new.kv_fit), plain(new.kv_full)) == (3031561913, 4121221120)
    assert plain(new.kv_in_use) == gib("3.01")
    assert new.kv_fit is not None
    assert new.kv_fit.precision_bytes == 0


@pytest.mark.parametrize("name", ["v1_0.10.2", "v1_0.26_hybrid", "v0_0.7.3_tp4", "v0_0.8.5_t4"])
def test_the_terms_of_a_log_add_up_to_its_kv_cache(name: str) -> None:
    """requested − weights − activation − non-torch [− graph estimate] = KV, each printed to 0.01 GiB."""
    log = parse_start_log(read(name))
    subtracted = log.cuda_graph_estimate if plain(log.graphs_subtracted) else None
    terms = (log.weights, log.activation, log.non_torch)
    assert log.requested is not None
    assert log.available_kv is not None
    assert all(terms)
    left = log.requested.size_bytes - sum(one.size_bytes for one in (*terms, subtracted) if one is not None)
    assert abs(left - log.available_kv.size_bytes) <= 0.025 * GIB


def test_ranks_keep_their_own_figures_and_the_smallest_kv_cache_counts() -> None:
    log = parse_start_log(read("v0_0.7.3_tp4"))
    kv = {(one.rank, one.pid): plain(one.available_kv) for one in log.ranks}
    assert kv == {
        ("", None): gib("1.56"),
        ("VllmWorkerProcess", 521): gib("1.57"),
        ("VllmWorkerProcess", 507): gib("1.53"),
    }
    assert (log.non_torch.rank, plain(log.non_torch)) == ("VllmWorkerProcess", gib("0.24"))  # type: ignore[union-attr]
    workers = [one.rank for one in parse_start_log(read("v1_0.9.2_tp2")).ranks if one.available_kv]
    assert workers == ["VllmWorker rank=0", "VllmWorker rank=1"]


def test_options_are_read_and_secrets_are_not_kept() -> None:
    old, new = parse_start_log(read("v0_0.5.4")), parse_start_log(read("v1_0.9.2_tp2"))
    assert old.args_complete
    assert not new.args_complete
    assert (old.option("gpu_memory_utilization"), old.option("max_model_len")) == ("0.9", "8192")
    assert new.option("tensor_parallel_size") == "2"
    assert new.option("override_generation_config") == "{'temperature': 0.6, 'top_p': 0.95}"
    assert dict(new.config)["max_seq_len"] == "32768"
    assert (old.option("api_key"), new.option("hf_token")) == ("***", "***")
    assert "sk-very-secret" not in repr(old)
    assert "hf_abc" not in repr(new)


def test_an_option_cut_off_at_the_end_is_not_read() -> None:
    log = parse_start_log(["non-default args: {'model': 'm', 'max_model_len': 40"])
    assert log.args == (("model", "m"),)


def test_phases_follow_the_start_with_their_stamps() -> None:
    log = parse_start_log(read("v1_0.26_hybrid"))
    assert [one.phase for one in log.phases] == list(Phase)
    assert [one.timestamp for one in log.phases][:2] == ["07-30 07:06:32", "07-30 07:07:03"]
    assert log.phase is Phase.SERVING
    assert log.outcome == "started"
    docker = parse_start_log(read("docker_json"))
    assert docker.phases[0].timestamp == "2026-07-30T07:07:11.123456789Z"


def test_no_phase_is_read_out_of_a_warning() -> None:
    eager = parse_start_log(read("v1_0.32_cpu"))
    assert [one.phase for one in eager.phases] == [
        Phase.STARTING, Phase.LOADING, Phase.PROFILING, Phase.INITIALIZED, Phase.SERVING,
    ]  # fmt: skip


def test_a_restart_begins_a_new_start() -> None:
    failed, running = split_starts(read("journald_restarts"))
    assert (failed.outcome, running.outcome) == ("not_enough_free", "started")
    assert (failed.line_from, failed.line_to, running.line_from) == (1, 10, 11)
    assert failed.weights is None
    assert plain(running.weights) == gib("15.27")
    # Out of memory while serving is no failure to start.
    assert running.failures == ()
    assert parse_start_log(read("journald_restarts")) == running
    assert running.phases[0].timestamp == "Nov 23 20:00:07"


def test_a_failure_told_by_several_processes_is_kept_once() -> None:
    failed, _ = split_starts(read("journald_restarts"))
    assert [one.kind for one in failed.failures] == [FailureKind.NOT_ENOUGH_FREE]
    assert failed.failure is not None
    assert failed.failure.rank == "EngineCore_DP0"


def test_several_engines_and_api_servers_are_one_start() -> None:
    (log,) = split_starts(read("v1_dp2"))
    assert [(one.rank, plain(one.available_kv)) for one in log.ranks] == [
        ("EngineCore_DP0", gib("6.90")),
        ("EngineCore_DP1", gib("6.41")),
    ]


def failures() -> list[tuple[str, str, str]]:
    rows = [line.split(" | ") for line in (DATA / "failures.txt").read_text(encoding="utf-8").splitlines()]
    return [(kind, text.removesuffix(" |"), figures[0] if figures else "") for kind, text, *figures in rows]


@pytest.mark.parametrize(("kind", "text", "wanted"), failures())
def test_failures_of_every_version(kind: str, text: str, wanted: str) -> None:
    log = parse_start_log(
        ["INFO 01-01 00:00:00 [core.py:1] Initializing a V1 LLM engine (v0.9.2) with config: model='m'", text]
    )
    failure = log.failure
    assert failure is not None
    assert (failure.kind.value, log.outcome) == (kind, kind)
    told = dict(pair.split("=") for pair in wanted.split())
    sizes = {name: value.size_bytes for name in told if isinstance(value := getattr(failure, name), Size)}
    assert sizes == {name: pytest.approx(gib(text), abs=1) for name, text in told.items() if name in sizes}
    rest = {name: str(getattr(failure, name)) for name in told if name not in sizes}
    assert rest == {name: text for name, text in told.items() if name not in sizes}
    assert failure.text.split()[0] in text
    silent = [name for name in failure.__dataclass_fields__ if getattr(failure, name) is not None and name not in told]
    assert silent == ["kind", "text", "line_no", "rank"]


def test_a_real_start_that_failed() -> None:
    """vLLM 0.32 for CPUs with too small a KV cache: the traceback, its repetition and the API server's own words."""
    (log,) = split_starts(read("failed_0.32_too_long"))
    (failure,) = log.failures
    assert (failure.kind, failure.rank) == (FailureKind.MAX_LEN_TOO_LONG, "EngineCore")
    assert (failure.max_model_len, failure.estimated_max_len) == (2048, 640)
    assert (plain(failure.needed_kv), plain(failure.available_kv)) == (gib("0.04"), gib("0.02"))
    assert (log.phase, log.option("kv_cache_memory_bytes")) == (Phase.LOADING, "20000000")


def test_every_kind_of_failure_is_covered() -> None:
    covered = {kind for kind, _, _ in failures()} | {"oom_profile", "oom_capture"}
    assert covered == {kind.value for kind in FailureKind}


OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB."


@pytest.mark.parametrize(
    ("before", "kind"),
    [
        (["INFO Starting to load model m..."], "oom_load"),
        (["INFO Model loading took 1.0 GiB memory and 1.0 seconds"], "oom_profile"),
        (["INFO Model loading took 1.0 GiB memory", "INFO GPU KV cache size: 10 tokens"], "oom_capture"),
        (["INFO # cuda blocks: 12, # CPU blocks: 3"], "oom_capture"),
        (['File "gpu_worker.py", line 1, in determine_available_memory'], "oom_profile"),
        (["INFO GPU KV cache size: 10 tokens", 'File "x.py", line 1, in load_model'], "oom_load"),
        (['File "gpu_worker.py", line 9, in compile_or_warm_up_model'], "oom_capture"),
    ],
)
def test_out_of_memory_is_told_by_the_phase_it_is_in(before: list[str], kind: str) -> None:
    assert parse_start_log([*before, OOM]).outcome == kind


def test_a_failure_without_a_rule_tells_the_exception_behind_it() -> None:
    lines = [
        "ImportError: an old warning",
        "(EngineCore pid=1) ERROR [core.py:935] EngineCore failed to start.",
        "(EngineCore pid=1) ERROR [core.py:935] ValueError: Bfloat16 is only supported on GPUs with compute capability",
        "(APIServer pid=2) RuntimeError: Engine core initialization failed. See root cause above.",
    ]
    failure = parse_start_log(lines).failure
    assert failure is not None
    assert failure.kind is FailureKind.OTHER
    assert failure.text.startswith("ValueError: Bfloat16 is only supported")


def test_a_named_cause_stands_before_the_unknown_one() -> None:
    lines = ["EngineCore failed to start.", "ValueError: No available memory for the cache blocks. Try"]
    assert [one.kind for one in parse_start_log(lines).failures] == [FailureKind.NO_CACHE_BLOCKS]


def test_hints_in_a_healthy_log_are_no_failures() -> None:
    for name in LOGS:
        assert parse_start_log(read(name)).failures == (), name


def test_a_gap_in_the_log_is_told() -> None:
    lines = read("v1_0.10.2")
    assert parse_start_log([*lines, GAP, "INFO Engine 000: Avg prompt throughput: 1.0"]).incomplete
    assert not parse_start_log(lines).incomplete


def test_an_empty_log_says_nothing() -> None:
    assert parse_start_log([]) == StartLog()
    assert split_starts(["", "hello", "POST /v1/models 200"]) == ()
    assert StartLog().outcome is None


def journald(line: str) -> str:
    return f"Nov 23 20:00:00 gpu01 vllm[123]: {line}"


def short_iso(line: str) -> str:
    return f"2026-11-23T20:00:00+0000 gpu01 vllm[123]: {line}"


def docker(line: str) -> str:
    return json.dumps({"log": line + "\n", "stream": "stderr", "time": "2026-11-23T20:00:00.5Z"}, ensure_ascii=False)


def cri(line: str) -> str:
    return f"2026-11-23T20:00:00.123456789Z stdout F {line}"


def compose(line: str) -> str:
    return f"vllm-1  | {line}"


def coloured(line: str) -> str:
    return "\x1b[1;36m" + line.replace(") ", ")\x1b[0;0m \x1b[32m", 1).replace(" GiB", "\x1b[0m GiB", 1) + "\x1b[0m"


def behind_a_progress_bar(line: str) -> str:
    return f"Loading safetensors:  50%|█████     | 1/2\r{line}\r"


@pytest.mark.parametrize("wrap", [journald, short_iso, docker, cri, compose, coloured, behind_a_progress_bar])
@pytest.mark.parametrize("name", [name for name in LOGS if name not in ("docker_json", "k8s_cri")])
def test_what_wraps_the_lines_changes_no_figure(name: str, wrap) -> None:  # type: ignore[no-untyped-def]
    lines = read(name)
    bare, wrapped = parse_start_log(lines), parse_start_log([wrap(line) for line in lines])
    assert figures(wrapped) == figures(bare)
    assert [one.phase for one in wrapped.phases] == [one.phase for one in bare.phases]
    assert [(one.rank, one.pid) for one in wrapped.ranks] == [(one.rank, one.pid) for one in bare.ranks]


@pytest.mark.parametrize("name", LOGS)
def test_a_log_read_while_it_is_written_never_says_what_the_whole_one_denies(name: str) -> None:
    """Cut anywhere, a figure is absent, the final one, or an earlier line's: never half a number."""
    text = "\n".join(read(name))
    whole = parse_start_log(lines_of(text))
    for end in range(0, len(text), 37):
        log = parse_start_log(lines_of(text[:end]))
        for field in ("available_kv", "total", "free", "requested"):
            value = plain(getattr(log, field))
            printed = {plain(getattr(rank, field)) for rank in whole.ranks} | {plain(getattr(whole, field)), None}
            assert value in printed, (field, end)


PIECES = st.sampled_from(
    [line for name in LOGS for line in read(name)] + [text for _, text, _ in failures()] + [GAP, OOM]
)
CUT = st.tuples(PIECES, st.integers(0, 400), st.integers(0, 400)).map(lambda one: one[0][one[1] :][: one[2]])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=200), PIECES, CUT), max_size=30))
def test_arbitrary_text_never_raises(lines: list[str]) -> None:
    for log in split_starts(lines):
        assert log.line_from <= log.line_to
        for name in MemoryTerms.__dataclass_fields__:
            value = getattr(log, name)
            if isinstance(value, Size | Said):
                assert 1 <= value.line_no <= len(lines)
                assert value.excerpt.isprintable()


@pytest.mark.parametrize(
    "line",
    [
        '{"log":' * 5000,
        "{" + "[" * 100_000,
        "Available KV cache memory: " + "9" * 5000 + " GiB",
        "Available KV cache memory: -.GiB",
        "non-default args: {" + "'a': [" * 20_000,
        "args: Namespace(" + "a=1, " * 20_000,
        "(" * 50_000 + "Model loading took 1.00 GiB",
        "█" * 60_000 + "  version ",
        "Error: " * 9000,
        "a" * 60_000 + "Error: x",
        "Free memory on device (" * 3000 + " on startup is less than",
        "x" * 200_000 + "Model loading took 1.00 GiB",
    ],
    ids=lambda line: line[:12],
)
@pytest.mark.timeout(5)
def test_hostile_lines_are_read_in_no_time(line: str) -> None:
    log = parse_start_log([line] * 3)
    assert log.available_kv is None


@pytest.mark.timeout(20)
def test_a_busy_servers_log_is_read_at_a_hundred_thousand_lines_a_second_or_so() -> None:
    busy = [
        '(APIServer pid=1) INFO:     10.0.0.1:5 - "POST /v1/chat/completions HTTP/1.1" 200 OK',
        "(APIServer pid=1) INFO 11-23 20:00:00 [loggers.py:257] Engine 000: Avg prompt throughput: 1.0 tokens/s, "
        "Running: 1 reqs, GPU KV cache usage: 0.0%",
    ]
    log = parse_start_log([*read("v1_0.26_hybrid"), *busy * 50_000])
    assert log.outcome == "started"
    assert log.line_to > 100_000
