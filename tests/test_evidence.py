"""What is found of the vLLM that restarts, from fakes of its files, its log and its port."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_tui.clock import ManualClock
from gpu_tui.core.checks import ModelNeed
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.origins import OriginKind
from gpu_tui.core.plan import Plan
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.core.start_evidence import inputs_of_options
from gpu_tui.core.start_inputs import still_holding
from gpu_tui.core.start_log import parse_start_log
from gpu_tui.core.start_terms import TermName
from gpu_tui.core.what_to_type import RunningServer, what_to_type
from gpu_tui.errors import GpuTuiError, ModelError
from gpu_tui.telemetry.start_logs import FoundLog
from gpu_tui.units import GIB
from gpu_tui.wiring.evidence import Evidence, Seeker, log_inputs
from tests.core.layouts import facts_of
from tests.factories import books_of, gpu, info, kloros, snapshot

LOGS = Path(__file__).parent / "core" / "data" / "start_logs"
METRICS = (Path(__file__).parent / "core" / "data" / "metrics" / "v1_0.32.txt").read_text(encoding="utf-8")
FACTS = ModelFacts(name="m", weights_bytes=14 * GIB, vocab_size=32_000, max_model_len=32768)
SERVE = "vllm serve llava-hf/llava-v1.6-mistral-7b-hf --max-model-len 4096 --port 8001"


def machine(cmdline: str | None = SERVE, *, simulated: bool = False, **fields: object) -> Snapshot:
    """One vLLM server and its engine."""
    people = [
        info(1, "systemd", "/sbin/init", ppid=0),
        info(77, "vllm", cmdline, ppid=1, started_at=1_767_000_000.0),
        info(78, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=77),
    ]
    return snapshot(gpu({78: 9000}, total=81559), people, simulated=simulated, source="nvml", **fields)


class World:
    """A model's files, a log and a port; what was asked of them is kept."""

    def __init__(self, log: str | None = "v1_0.10.2", pages: dict[str, str] | None = None, files: bool = True) -> None:
        self.log, self.pages, self.files = log, pages or {}, files
        self.asked: list[object] = []
        self.known = FACTS

    def facts(self, name: str) -> ModelFacts:
        self.asked.append(name)
        if not self.files:
            raise ModelError(f"The model {name} is not here.", "Download it.")
        return self.known

    def find(self, pids: Sequence[int], started_at: float | None) -> FoundLog:
        self.asked.append((list(pids), started_at))
        if self.log is None:
            return FoundLog(missing=("The server's standard output is no file.",), remedy="Give the log's path.")
        lines = (LOGS / f"{self.log}.txt").read_text(encoding="utf-8").splitlines()
        return FoundLog(log=parse_start_log(lines), source="log file /var/log/vllm.log", age_s=60.0)

    def get(self, port: int, path: str) -> str | None:
        self.asked.append((port, path))
        return self.pages.get(path)

    def seek(self, seen: Snapshot) -> Evidence:
        seeker = Seeker(ManualClock(), find_facts=self.facts, find_log=self.find, get=self.get)
        return seeker.running(seen, books_of(seen))


def test_all_that_a_running_server_tells() -> None:
    world = World(pages={"/version": '{"version": "0.10.2"}', "/metrics": METRICS})
    found = world.seek(machine())
    assert world.asked[0] == ([77, 78], 1_767_000_000.0)
    assert set(world.asked[1:]) == {(8001, "/version"), (8001, "/metrics"), "llava-hf/llava-v1.6-mistral-7b-hf"}
    assert found.model == "llava-hf/llava-v1.6-mistral-7b-hf"
    assert found.sources == ("log file /var/log/vllm.log", "metrics of port 8001", "command line of pid 77")
    assert found.missing == ()
    assert found.inputs is not None
    assert found.inputs.facts is FACTS
    assert found.inputs.version == "0.10.2"
    assert set(found.inputs.given) == {TermName.WEIGHTS, TermName.ACTIVATION, TermName.NON_TORCH}
    weights = found.inputs.given[TermName.WEIGHTS]
    assert (weights.origin.kind, weights.origin.age_s) == (OriginKind.MEASURED, 60.0)
    assert "log file /var/log/vllm.log: " in weights.origin.source
    assert found.cache is not None


def test_the_command_line_stands_before_the_log_and_the_log_before_the_metrics() -> None:
    world = World(pages={"/version": '{"version": "9.9.9"}', "/metrics": METRICS})
    found = world.seek(machine(f"{SERVE} --gpu-memory-utilization 0.7"))
    assert found.inputs is not None
    assert (found.inputs.gpu_memory_utilization, found.inputs.version) == (0.7, "0.10.2")
    without = World(log=None, pages=world.pages).seek(machine()).inputs
    assert without is not None
    assert without.version == "9.9.9"
    assert without.gpu_memory_utilization == 0.92  # as the metrics say


def test_terms_are_bound_to_the_flags_of_that_start() -> None:
    found = World().seek(machine(f"{SERVE} --max-num-seqs 64"))
    assert found.inputs is not None
    under = {one.under for one in found.inputs.given.values()}
    assert [one and (one.max_num_seqs, one.max_model_len, one.version) for one in under] == [(64, 4096, "0.10.2")]
    assert not still_holding(found.inputs, "NVIDIA A100", 80 * GIB)[1]


def test_flags_that_the_server_chose_by_itself_are_told_apart_from_those_it_was_given() -> None:
    world = World(pages={"/metrics": METRICS})
    found = world.seek(machine(f"{SERVE} --max-num-seqs 64"))
    assert found.inputs is not None
    assert found.inputs.in_effect is not None
    given_or_chosen = {"max_num_seqs": 64, "max_model_len": 4096, "gpu_memory_utilization": 0.92}
    assert found.inputs.in_effect.items() >= given_or_chosen.items()
    plain = Plan(
        gpu_memory_utilization=0.92, gpu=gpu(), books=books_of(machine()), base=ModelNeed(), inputs=found.inputs
    )
    argv = tuple(f"{SERVE} --max-num-seqs 64".split())
    assert what_to_type(plain, plain.judge(), RunningServer(argv=argv, masked=argv)).flags == ()


BLOCKS = METRICS.replace('kv_cache_memory_bytes="1073741824"', 'kv_cache_memory_bytes="None"').replace(
    'block_size="128"', 'block_size="16"'
)


def blocks_page(blocks: int, tokens: int) -> str:
    told = BLOCKS.replace('num_gpu_blocks="364"', f'num_gpu_blocks="{blocks}"')
    return told.replace('kv_cache_size_tokens="46592"', f'kv_cache_size_tokens="{tokens}"')


def test_where_the_log_is_gone_the_blocks_tell_what_was_taken_beside_them() -> None:
    seen = machine("vllm serve org/m --port 8001 --max-model-len 8192")
    world = World(log=None, pages={"/version": '{"version": "0.33.0"}', "/metrics": blocks_page(25_600, 25_600 * 16)})
    world.known = facts_of("llama-3.1-8b")
    large = replace(seen, gpus=(gpu({78: 75_000}, total=81559),))
    found = world.seek(large)
    assert found.inputs is not None
    activation = found.inputs.given[TermName.ACTIVATION]
    assert activation.origin.kind is OriginKind.MEASURED
    assert activation.origin.source.startswith("metrics of port 8001: requested − weights − 25,600 blocks of 2,097,152")
    assert activation.under is not None
    # 0.92 of 81559 MiB − the weights of the files − 50 GiB of cache.
    assert activation.size / GIB == pytest.approx(81559 * 0.92 / 1024 - 14.96 * 1.002 - 50, abs=0.05)
    assert found.inputs.given[TermName.CUDA_GRAPHS].part_of is TermName.ACTIVATION
    # What its processes hold refuses blocks that would not fit into it.
    assert world.seek(seen).inputs.given == {}  # type: ignore[union-attr]
    # A log that tells it stands before them.
    logged = World(pages=world.pages)
    logged.known = world.known
    told = logged.seek(large).inputs
    assert told is not None
    assert "blocks" not in told.given[TermName.ACTIVATION].origin.source


def test_without_files_the_log_s_weights_are_enough() -> None:
    found = World(files=False).seek(machine())
    assert found.inputs is not None
    assert found.inputs.facts is None
    assert "is not here. Download it." in found.missing[0]


def test_without_files_and_log_nothing_is_known() -> None:
    found = World(log=None, files=False).seek(machine())
    assert found.inputs is None
    assert found.missing == (
        "The server's standard output is no file.",
        "The model llava-hf/llava-v1.6-mistral-7b-hf is not here. Download it.",
    )


def test_a_hidden_command_line_leaves_the_log_s_name() -> None:
    world = World()
    found = world.seek(machine(None))
    assert found.model == "llava-hf/llava-v1.6-mistral-7b-hf"
    assert found.sources == ("log file /var/log/vllm.log",)
    assert found.model in world.asked


@pytest.mark.parametrize("page", [None, "", "[]", "{}", '{"version": 3}', "<html>", '{"version": "' + "9" * 99 + '"}'])
def test_a_version_page_that_says_nothing(page: str | None) -> None:
    found = World(log=None, pages={} if page is None else {"/version": page, "/metrics": "nothing"}).seek(machine())
    assert found.inputs is not None
    assert found.inputs.version is None
    assert found.sources == ("command line of pid 77",)


def test_nobody_asks_a_simulated_machine_or_where_nothing_runs() -> None:
    world = World()
    assert world.seek(machine(simulated=True)) == Evidence()
    assert world.seek(snapshot(gpu(), simulated=False)) == Evidence()
    assert world.seek(kloros()) == Evidence()
    assert world.asked == []


def test_a_model_by_its_name() -> None:
    world = World()
    seeker = Seeker(ManualClock(), find_facts=world.facts, find_log=world.find, get=world.get)
    found = seeker.named("org/m", ["--max-model-len", "8k", "--config", "x.yaml"])
    assert found.inputs is not None
    assert (found.inputs.facts, found.inputs.max_model_len, found.inputs.model) == (FACTS, 8000, "org/m")
    assert (found.sources, found.missing) == (("files of org/m",), ("options in x.yaml were not read",))
    assert world.asked == ["org/m"]
    world.files = False
    with pytest.raises(GpuTuiError, match="is not here"):
        seeker.named("org/m")


def test_a_log_by_its_path(tmp_path: Path) -> None:
    told = log_inputs(LOGS / "v1_0.26_hybrid.txt", ManualClock())
    assert told.given[TermName.CUDA_GRAPHS].under is not None
    assert told.version == "0.26.0"
    nothing = tmp_path / "nothing.log"
    nothing.write_text("hello\n")
    with pytest.raises(GpuTuiError, match="holds no start of vLLM"):
        log_inputs(nothing, ManualClock())
    with pytest.raises(GpuTuiError, match="cannot be read"):
        log_inputs(tmp_path / "not-there.log", ManualClock())


def test_a_command_line_alone_is_bound_to_nothing() -> None:
    from gpu_tui.core.serve_options import options_of

    assert inputs_of_options(options_of(["vllm", "serve", "m"])).measured_here().given == {}
