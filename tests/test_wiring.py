"""How the product is put together: whose word counts, and what is measured."""

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpu_tui import wiring
from gpu_tui.bench.demo import DemoAddresses
from gpu_tui.config import Settings
from gpu_tui.core.origins import OriginKind
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import ConfigError, UsageError
from gpu_tui.units import mib_to_bytes
from gpu_tui.wiring import Options
from tests.factories import KLOROS, books_of, gpu, info, kloros, snapshot

LIVE = replace(KLOROS, simulated=False, source="nvml", source_detail="NVML 13")


def settings(tmp_path: Path, text: str = "", **options: Any) -> Settings:
    file = tmp_path / "c.toml"
    file.write_text(text)
    return wiring.load_settings(Options(config=file, **options))


def test_a_plan_starts_at_the_running_server_s_utilization(tmp_path: Path) -> None:
    text = "[model]\ngpu_memory_utilization = 0.8\n"
    share, origin = wiring.start_utilization(settings(tmp_path, text), LIVE, books_of(LIVE))
    assert (share, origin.kind, origin.source) == (0.5, OriginKind.MEASURED, "command line of pid 2838977")
    share, origin = wiring.start_utilization(settings(tmp_path, text), KLOROS, books_of(KLOROS))
    assert (share, origin.kind) == (0.5, OriginKind.ASSUMED)


def test_without_a_server_it_is_the_user_s_then_the_scenario_s_then_a_half(tmp_path: Path) -> None:
    idle = kloros(holds={1893: 242})
    planned = replace(idle, gpu_memory_utilization=0.6)
    text = "[model]\ngpu_memory_utilization = 0.8\n"
    assert wiring.start_utilization(settings(tmp_path, text), planned, books_of(planned))[0] == 0.8
    assert wiring.start_utilization(settings(tmp_path), planned, books_of(planned))[0] == 0.6
    assert wiring.start_utilization(settings(tmp_path), idle, books_of(idle))[0] == 0.5


def test_the_model_is_the_user_s_then_the_scenario_s_then_the_default(tmp_path: Path) -> None:
    own = replace(KLOROS, model_mib=4000.0, min_kv_cache_mib=10.0)
    need = wiring.model_need(settings(tmp_path, "[model]\nmodel_mib = 5000\n"), own)
    assert (need.model_bytes, need.min_kv_cache_bytes) == (mib_to_bytes(5000), mib_to_bytes(10))
    assert need.model_origin.source == f"{tmp_path / 'c.toml'}: model.model_mib"
    assert need.min_kv_cache_origin.source == "scenario test (simulated)"
    assert wiring.model_need(settings(tmp_path), None).model_bytes == mib_to_bytes(5700)
    said = "a flag that says the default's value is still the user's word"
    need = wiring.model_need(settings(tmp_path, overrides={"model.model_mib": ("--model-mib", 5700.0)}), own)
    assert need.model_bytes == mib_to_bytes(5700), said


def test_a_uuid_or_the_beginning_of_one_names_a_gpu() -> None:
    two = snapshot([gpu({}, uuid="GPU-aaaa-1111"), gpu({}, index=1, uuid="GPU-aaaa-2222")])
    rules = Classifier()

    def chosen(key: str) -> int:
        return wiring.choose_gpus(two, Settings(gpu=key), rules)[0].index

    assert (chosen("1"), chosen("GPU-aaaa-2222"), chosen("GPU-aaaa-2")) == (1, 1, 1)
    for key in ("2", "GPU-aaaa-", "gpu", "1.0", "0x1", "", "²"):
        with pytest.raises(UsageError, match="Choose one of: 0 "):
            chosen(key)
    assert len(wiring.choose_gpus(two, Settings(gpu="all"), rules)) == 2
    with pytest.raises(UsageError, match="about one GPU"):
        wiring.choose_gpus(two, Settings(gpu="all"), rules, needed_one=True)


def test_a_server_spread_over_two_gpus_leaves_the_choice_open() -> None:
    infos = [info(10, "vllm", "vllm serve a --port 8001")]
    both = snapshot([gpu({10: 100}), gpu({10: 100}, index=1, uuid="GPU-1")], infos)
    with pytest.raises(UsageError, match="2 GPUs and none was chosen"):
        wiring.choose_gpus(both, Settings(), Classifier())


def plan(seen: Snapshot, given: Settings, demo: DemoAddresses | None = None, options: Options = Options()) -> Any:  # noqa: B008
    return wiring.measure_plan(given, options, seen, books_of(seen), 0.55, demo=demo)


def test_a_simulated_machine_is_measured_at_its_own_endpoints_only(tmp_path: Path) -> None:
    demo = DemoAddresses(llm="http://127.0.0.1:1111", stt="http://127.0.0.1:2222", simulated=True)
    text = "[endpoints]\nllm = 'http://real:8000'\nllm_model = 'real'\n"
    given = settings(tmp_path, text, demo=True)
    made = plan(KLOROS, given, demo, Options(demo=True))
    assert [one.url for one in made.llm_urls] == ["http://127.0.0.1:1111"]
    assert [one.url for one in made.stt_urls] == ["http://127.0.0.1:2222"]
    assert (made.llm_model, made.simulated, made.actual_utilization, made.planned_utilization) == (
        None,
        True,
        0.5,
        0.55,
    )
    assert plan(KLOROS, given).llm_urls == ()
    named = settings(tmp_path, text, demo=True, overrides={"endpoints.llm": ("--llm", "http://named:1")})
    assert [one.origin for one in plan(KLOROS, named, demo).llm_urls] == ["--llm"]


def test_a_configured_endpoint_is_not_looked_for(tmp_path: Path) -> None:
    text = "[endpoints]\nllm = 'http://h:8000/v1'\nllm_model = 'm'\napi_key_env = 'KEY'\n[measure]\nrequests = 7\n"
    made = plan(LIVE, settings(tmp_path, text))
    assert [(one.url, one.chosen) for one in made.llm_urls] == [("http://h:8000", True)]
    assert (made.llm_model, made.strict_llm_model, made.api_key_env, made.requests) == ("m", False, "KEY", 7)
    flags = {"endpoints.llm_model": ("--llm-model", "x")}
    assert plan(LIVE, settings(tmp_path, overrides=flags)).strict_llm_model is True


def test_endpoints_are_found_among_the_services_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        infos = [
            info(os.getpid(), "python", "python -m kloros_voice"),
            info(4_194_300, "vllm", "vllm serve a --port 8001"),
        ]
        seen = replace(snapshot(gpu({os.getpid(): 100, 4_194_300: 100}), infos), simulated=False)
        made = plan(seen, Settings())
    urls = {one.url: one for one in made.stt_urls}
    assert urls[f"http://127.0.0.1:{port}"].origin == f"port of kloros (pid {os.getpid()})"
    assert not any(one.chosen for one in made.stt_urls)
    # The server's process cannot be looked into here; its command line still says where it listens.
    assert [one.url for one in made.llm_urls] == ["http://127.0.0.1:8001"]


def test_without_a_machine_only_named_endpoints_are_measured() -> None:
    assert wiring.measure_plan(Settings(), Options(), None, None, None).llm_urls == ()


def test_a_mistaken_scenario_is_told_before_anything_is_read() -> None:
    with pytest.raises(ConfigError, match="There is no scenario 'nope'"):
        wiring.Evaluator(Options(scenario="nope"))


def test_a_local_whisper_is_measured_instead_of_a_server(tmp_path: Path) -> None:
    text = "[endpoints]\nstt_local = '~/tiny'\nstt_device = 'cpu'\nstt_size = 'mine'\n"
    made = plan(LIVE, settings(tmp_path, text))
    named = f"{tmp_path / 'c.toml'}: endpoints"
    assert (made.stt_local, made.stt_local_origin) == (str(Path.home() / "tiny"), f"{named}.stt_local")
    assert (made.stt_device, made.stt_urls) == ("cpu", ())
    assert (made.stt_size, made.stt_size_origin) == ("mine", f"{named}.stt_size")
    relative = plan(LIVE, settings(tmp_path, overrides={"endpoints.stt_local": ("--stt-local", "tiny")}))
    assert (relative.stt_local, relative.stt_local_origin) == (str(Path.cwd() / "tiny"), "--stt-local")
    simulated = plan(KLOROS, settings(tmp_path, text, demo=True), options=Options(demo=True))
    assert (simulated.stt_local, simulated.stt_size, simulated.stt_device) == (None, None, "auto")


def test_of_a_server_and_a_local_whisper_the_later_layer_wins(tmp_path: Path) -> None:
    server, local = "[endpoints]\nstt = 'http://h:1'\n", "[endpoints]\nstt_local = '/m'\n"
    flags = {"endpoints.stt": ("--stt", "http://h:2")}
    made = plan(LIVE, settings(tmp_path, local, overrides=flags))
    assert (made.stt_local, [one.url for one in made.stt_urls]) == (None, ["http://h:2"])
    made = plan(LIVE, settings(tmp_path, server, overrides={"endpoints.stt_local": ("--stt-local", "/n")}))
    assert (made.stt_local, made.stt_urls) == ("/n", ())
    with pytest.raises(UsageError, match=r"endpoints.stt and endpoints.stt_local are both set \(file "):
        plan(LIVE, settings(tmp_path, server + "stt_local = '/m'\n"))


def test_a_local_whisper_runs_on_the_gpu_that_is_measured_on() -> None:
    assert plan(LIVE, Settings()).stt_gpu == "GPU-0"
    assert plan(KLOROS, Settings()).stt_gpu is None, "a simulated one is no GPU of this machine"
    infos = [info(10, "vllm", "vllm serve a --port 8001")]
    two = replace(snapshot([gpu({}), gpu({10: 100}, index=1, uuid="GPU-1")], infos), simulated=False)
    for settings_, uuid in ((Settings(), "GPU-1"), (Settings(gpu="0"), "GPU-0"), (Settings(gpu="all"), None)):
        made = wiring.measure_plan(settings_, Options(), two, None, None)
        assert made.stt_gpu == uuid
