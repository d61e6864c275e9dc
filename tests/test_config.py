"""Settings: which layer wins, and what a mistake says."""

import os
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui import config
from gpu_tui.bench import plan
from gpu_tui.config import Settings
from gpu_tui.core.services import DEFAULT_RULES
from gpu_tui.errors import ConfigError


def load(tmp_path: Path, text: str, environ: dict[str, str] | None = None, **flags: Any) -> Settings:
    file = tmp_path / "settings.toml"
    file.write_text(text, encoding="utf-8")
    return config.load(file, environ or {}, {key.replace("__", "."): ("--flag", value) for key, value in flags.items()})


def mistake(tmp_path: Path, text: str, environ: dict[str, str] | None = None, **flags: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, environ, **flags)
    return str(caught.value)


def test_nothing_configured_is_the_defaults() -> None:
    settings = config.load(None, {"HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"})
    assert settings == Settings()
    assert (settings.model.model_mib, settings.model.min_kv_cache_mib) == (5700.0, 370.0)
    assert (settings.evaluator.min, settings.evaluator.max) == (0.30, 0.70)
    assert {str(settings.origin(key)) for key in config.KEYS} == {"default"}


def test_the_load_defaults_are_the_bench_s() -> None:
    load, bench = Settings().measure, plan.MeasurePlan()
    assert (load.requests, load.concurrency, load.warmup, load.timeout_s) == (
        bench.requests,
        bench.concurrency,
        bench.warmup,
        bench.timeout_s,
    )


def test_every_later_layer_wins_value_by_value(tmp_path: Path) -> None:
    text = "interval_s = 2\n[model]\nmodel_mib = 6000\nmin_kv_cache_mib = 1\n[evaluator.weights]\nstt = 0.5\n"
    environ = {
        "GPU_TUI_MODEL_MIN_KV_CACHE_MIB": "2",
        "GPU_TUI_INTERVAL_S": " 3.5 ",
        "GPU_TUI_EVALUATOR_WEIGHTS_LLM": "0",
    }
    settings = load(tmp_path, text, environ, model__min_kv_cache_mib=3, gpu=None)
    assert settings.model.model_mib == 6000
    assert settings.model.min_kv_cache_mib == 3
    assert settings.interval_s == 3.5
    assert (settings.evaluator.weights.stt, settings.evaluator.weights.llm) == (0.5, 0.0)
    assert settings.evaluator.weights.memory == 0.10
    file = tmp_path / "settings.toml"
    assert str(settings.origin("model.model_mib")) == f"file {file}"
    assert str(settings.origin("interval_s")) == "environment GPU_TUI_INTERVAL_S"
    assert str(settings.origin("model.min_kv_cache_mib")) == "flag --flag"
    assert str(settings.origin("model.name")) == "default"


def test_every_key_can_be_set_from_the_environment() -> None:
    values = {"gpu": "all", "theme": "dark", "restarts": "8000", "evaluator.min": "0.1"}
    values |= {key: "name" for key in config.KEYS if key.endswith(("name", "_model", "_env"))}
    values |= {"endpoints.stt_device": "cpu", "alerting.bell": "True", "alerting.webhook": "https://h/x"}
    values |= {"endpoints.llm": "http://h:1", "endpoints.stt": "localhost:9000/v1", "model.gpu_memory_utilization": "1"}
    for key in config.KEYS:
        if key in ("services", "alerts"):
            continue
        variable = f"GPU_TUI_{key.replace('.', '_').upper()}"
        settings = config.load(None, {"XDG_CONFIG_HOME": "/nonexistent", variable: values.get(key, "1")})
        assert str(settings.origin(key)) == f"environment {variable}"
        shown = str(settings.at(key)[0] if key == "alerting.command" else settings.at(key))
        assert shown.removesuffix(".0") == values.get(key, "1")


def test_an_empty_variable_says_nothing(tmp_path: Path) -> None:
    environ = {"GPU_TUI_GPU": "", "GPU_TUI_DEBUG": "1", "PATH": "/bin"}
    assert load(tmp_path, "", environ).gpu is None


def test_own_rules_come_first_and_replace_built_in_ones(tmp_path: Path) -> None:
    text = """
        [[services]]
        name = "whisper"
        match = 'whisper-server'
        [[services]]
        name = "judge"
        match = "sglang"
        field = "cmdline"
        restarts = true
    """
    rules = load(tmp_path, text).services
    assert [rule.name for rule in rules] == ["whisper", "judge", "kloros", "ollama"]
    assert rules[0].field == "name"
    assert not rules[0].restarts
    assert (rules[1].match, rules[1].field, rules[1].restarts) == ("sglang", "cmdline", True)
    assert rules[2:] == (DEFAULT_RULES[0], DEFAULT_RULES[2])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modle = 1", "modle is not a setting. Did you mean model?"),
        ("[model]\nmodle_mib = 1", "model.modle_mib is not a setting. Did you mean model.model_mib"),
        ("[evaluator.wieghts]\nstt = 1", "evaluator.wieghts is not a setting. Did you mean evaluator.weights"),
        ("zzz = 1", "zzz is not a setting. Known keys: alerting, alerting.bell"),
        ("model = 3", "model is 3. It is a table: write [model]."),
        ("[model]\nmodel_mib = '5700'", "model.model_mib is '5700'. Allowed: a number of MiB above 0."),
        ("[model]\nmodel_mib = true", "model.model_mib is true."),
        ("[model]\nmodel_mib = -1", "model.model_mib is -1."),
        ("[model]\nmodel_mib = 0", "model.model_mib is 0."),
        ("[model]\nmodel_mib = nan", "model.model_mib is nan."),
        ("[model]\nmodel_mib = inf", "model.model_mib is inf."),
        ("[model]\nmin_kv_cache_mib = -0.5", "Allowed: a number of MiB, 0 or more."),
        ("[model]\ngpu_memory_utilization = 0", "Allowed: a number above 0 and at most 1."),
        ("[model]\ngpu_memory_utilization = 1.01", "model.gpu_memory_utilization is 1.01."),
        ("[model]\ngpu_memory_utilization = nan", "model.gpu_memory_utilization is nan."),
        ("[model]\nname = 7", "model.name is 7. Allowed: a name, in quotes."),
        ('[model]\nname = "a\\u001bb"', "model.name is 'a\\x1bb'."),
        ("gpu = -1", "gpu is -1."),
        ("gpu = true", "gpu is true."),
        ("restarts = true", "restarts is true."),
        ("restarts = 8000.0", "restarts is 8000.0."),
        ("restarts = 0", "restarts is 0."),
        ("interval_s = 0", "interval_s is 0. Allowed: seconds from 0.1 to 3600."),
        ("[evaluator]\nmin = 0.8", "evaluator.min (0.8, file "),
        ("[evaluator.weights]\nstt = -1", "evaluator.weights.stt is -1."),
        ("[evaluator.targets]\nstt_ms = 0", "evaluator.targets.stt_ms is 0."),
        ("[measure]\nrequests = 1.5", "measure.requests is 1.5."),
        ("[measure]\nrequests = false", "measure.requests is false."),
        ("[measure]\nconcurrency = 1025", "Allowed: a whole number from 1 to 1024."),
        (
            "[endpoints]\nllm = 'ftp://x'",
            "endpoints.llm is 'ftp://x'. Allowed: an address such as http://127.0.0.1:8000.",
        ),
        ("[endpoints]\nllm = 'http://'", "endpoints.llm is 'http://'."),
        ("[endpoints]\napi_key_env = 'sk-123'", "Allowed: the name of an environment variable."),
        ("services = 3", "services is 3. It is a list of tables: write [[services]]."),
        ("services = [3]", "services[0] is 3."),
        ("[[services]]\nmatch = 'x'", "services[0].name is None."),
        ("[[services]]\nname = 'other'\nmatch = 'x'", "services[0].name is 'other'."),
        ("[[services]]\nname = 'a'", "services[0].match is None."),
        ("[[services]]\nname = 'a'\nmatch = '('", "is no regular expression: missing ), unterminated subpattern"),
        (
            "[[services]]\nname = 'a'\nmatch = 'x'\nfield = 'cmd'",
            "services[0].field is 'cmd'. Allowed: name, cmdline, vllm, user, unit,",
        ),
        ("[[services]]\nname = 'a'\nmatch = 'x'\nfield = []", "services[0].field is []."),
        ("[[services]]\nname = 'a'\nmatch = 'x'\nrestarts = 1", "services[0].restarts is 1. Allowed: true or false."),
        ("[[services]]\nname = 'a'\nmtach = 'x'", "services[0].mtach is not a setting. Did you mean match?"),
        ("x = ", "is not TOML: Invalid value (at "),
    ],
)
def test_a_mistake_names_file_key_what_was_found_and_what_is_allowed(tmp_path: Path, text: str, said: str) -> None:
    message = mistake(tmp_path, text)
    assert said in message
    assert str(tmp_path / "settings.toml") in message


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        (
            "GPU_TUI_MODEL_MODEL_MIB",
            "much",
            "GPU_TUI_MODEL_MODEL_MIB: model.model_mib is 'much'. Allowed: a number of MiB",
        ),
        ("GPU_TUI_MODEL_MODEL_MIB", "nan", "is 'nan'."),
        ("GPU_TUI_MODEL_MODEL_MIB", "1e999", "is '1e999'."),
        ("GPU_TUI_RESTARTS", "true", "GPU_TUI_RESTARTS: restarts is 'true'."),
        ("GPU_TUI_MEASURE_REQUESTS", "1.0", "measure.requests is '1.0'."),
        (
            "GPU_TUI_INTERVALL_S",
            "1",
            "The environment variable GPU_TUI_INTERVALL_S is not a setting. Did you mean GPU_TUI_INT",
        ),
        ("GPU_TUI_SERVICES", "[]", "The environment variable GPU_TUI_SERVICES is not a setting."),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path, variable: str, value: str, said: str) -> None:
    assert said in mistake(tmp_path, "", {variable: value})


def test_a_mistake_in_a_flag_names_the_flag(tmp_path: Path) -> None:
    assert mistake(tmp_path, "", model__model_mib=-3).startswith("--flag: model.model_mib is -3.")


def test_bounds_from_two_layers_must_agree(tmp_path: Path) -> None:
    said = mistake(tmp_path, "[evaluator]\nmin = 0.6", {"GPU_TUI_EVALUATOR_MAX": "0.5"})
    assert "evaluator.max (0.5, environment GPU_TUI_EVALUATOR_MAX)" in said


def test_a_named_file_must_be_there_and_the_default_one_need_not(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nope\.toml does not exist"):
        config.load(tmp_path / "nope.toml", {})
    assert config.load(None, {"XDG_CONFIG_HOME": str(tmp_path)}) == Settings()


def test_the_default_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "gpu-tui").mkdir()
    (tmp_path / "gpu-tui" / "config.toml").write_text("gpu = 3")
    assert config.load(None, {"XDG_CONFIG_HOME": str(tmp_path)}).gpu == "3"


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        config.load(tmp_path / "folder.toml", {})
    (tmp_path / "latin.toml").write_bytes(b"theme = '\xe9'")
    with pytest.raises(ConfigError, match=r"is not UTF-8 \(byte 9\)"):
        config.load(tmp_path / "latin.toml", {})


def test_a_leading_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "bom.toml").write_bytes(b"\xef\xbb\xbfgpu = 1")
    assert config.load(tmp_path / "bom.toml", {}).gpu == "1"


@pytest.mark.parametrize("home", [None, "", "  ", "/somewhere/else"])
def test_the_path_is_the_one_platformdirs_gives(home: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    if home is not None:
        monkeypatch.setenv("XDG_CONFIG_HOME", home)
    assert config.default_path(os.environ) == platformdirs.user_config_path("gpu-tui") / "config.toml"


LEAF = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.integers(), max_size=2)
)


@given(st.sampled_from([key for key in config.KEYS if key not in ("services", "alerts")]), LEAF)
def test_any_value_is_taken_or_refused_with_a_sentence(key: str, value: Any) -> None:
    said = ""
    try:
        settings = config.load(None, {"XDG_CONFIG_HOME": "/nonexistent"}, {key: ("--flag", value)})
    except ConfigError as error:
        said = str(error)
    else:
        assert settings.origin(key).kind == ("default" if value is None else "flag")
    assert not said or (said.isprintable() and said.startswith(("--flag: ", "evaluator.min")))
