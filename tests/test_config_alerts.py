"""``[[alerts]]`` and ``[alerting]``: what they may say, and what is said of what they may not."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from gpu_tui import config
from gpu_tui.cli.commands.config import lines
from gpu_tui.core.alert_rules import Rule, When
from gpu_tui.errors import ConfigError

EVERY = """
[alerting]
bell = false
log = "/tmp/alerts.log"
command = ["/usr/bin/notify", "--token", "s3cret"]
webhook = "https://hooks.example.org/services/T0/B0/s3cret"
timeout_s = 3

[[alerts]]
when = "service_gone"
service = "kloros"
for_s = 30
[[alerts]]
when = "plan_invalid"
latch = true
[[alerts]]
when = "memory_above"
name = "nearly full"
gpu = 0
above_mib = 11000
clear_mib = 10500
[[alerts]]
when = "growth"
service = "ollama"
above_mib = 500
window_s = 60
[[alerts]]
when = "kv_cache_full"
above_pct = 95
[[alerts]]
when = "latency_above_slo"
figure = "stt"
above_ms = 500
[[alerts]]
when = "temperature"
above_c = 85
[[alerts]]
when = "telemetry_lost"
"""


def load(text: str, tmp_path: Path, **environ: str) -> config.Settings:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return config.load(file, environ)


def test_every_kind(tmp_path: Path) -> None:
    settings = load(EVERY, tmp_path)
    assert [rule.when for rule in settings.alerts] == list(When)
    gone, _, full, growth, kv, _, hot, _ = settings.alerts
    assert (gone.name, gone.for_s) == ("service_gone kloros #1", 30.0)
    assert full == Rule(name="nearly full", when=When.MEMORY_ABOVE, gpu="0", above=11000, clear=10500)
    assert (growth.clear, growth.window_s, kv.clear, hot.clear) == (475.0, 60.0, 90.25, 82.0)
    assert settings.alerting.command == ("/usr/bin/notify", "--token", "s3cret")


def test_none_are_the_default(tmp_path: Path) -> None:
    settings = load("", tmp_path)
    assert settings.alerts == ()
    assert (settings.alerting.command, settings.alerting.webhook, settings.alerting.log) == (None, None, None)


def test_what_is_printed_can_be_read_back_and_tells_no_secret(tmp_path: Path) -> None:
    settings = load(EVERY, tmp_path)
    printed = "\n".join(lines(settings))
    assert "s3cret" not in printed
    assert "https://hooks.example.org/***" in printed
    again = load(printed, tmp_path)
    assert again.alerts == settings.alerts
    assert tomllib.loads(printed)["alerting"]["command"] == ["/usr/bin/notify", "--token", "***"]


def test_the_environment_has_its_say(tmp_path: Path) -> None:
    settings = load("", tmp_path, GPU_TUI_ALERTING_BELL="false", GPU_TUI_ALERTING_COMMAND="notify 'two words'")
    assert settings.alerting.bell is False
    assert settings.alerting.command == ("notify", "two words")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("alerts = 3", "It is a list of tables: write [[alerts]]."),
        ('[[alerts]]\nwhen = "memory"', "Allowed: service_gone, plan_invalid, memory_above"),
        ("[[alerts]]\n", "alerts[0].when is None"),
        ('[[alerts]]\nwhen = "service_gone"', "Name the service that must not be gone."),
        ('[[alerts]]\nwhen = "memory_above"', "above_mib is missing"),
        ('[[alerts]]\nwhen = "memory_above"\nabove_pct = 3', "Did you mean above_mib?"),
        ('[[alerts]]\nwhen = "memory_above"\nabove_mib = true', "above_mib is true"),
        ('[[alerts]]\nwhen = "memory_above"\nabove_mib = 9\nclear_mib = 10', "clear_mib (10) is above above_mib (9)"),
        ('[[alerts]]\nwhen = "kv_cache_full"\nabove_pct = 101', "a percentage from 0 to 100"),
        ('[[alerts]]\nwhen = "growth"\nabove_mib = 9\nwindow_s = 0', "seconds from 1 to 604800"),
        ('[[alerts]]\nwhen = "latency_above_slo"\nabove_ms = 9\nfigure = "itl"', "Allowed: llm, llm_ttft, stt."),
        ('[[alerts]]\nwhen = "plan_invalid"\nlatch = 1', "Allowed: true or false."),
        ('[[alerts]]\nwhen = "plan_invalid"\nfor_s = nan', "for_s is nan"),
        ('[[alerts]]\nwhen = "plan_invalid"\nname = ""', "at most 80 characters"),
        ('[[alerts]]\nwhen = "plan_invalid"\nname = "a"\n' * 2, "Give each a name of its own."),
        ("[alerting]\ncommand = 'rm -rf /'", 'a list such as ["/usr/bin/notify", "-v"]'),
        ("[alerting]\ncommand = []", "alerting.command is []"),
        ("[alerting]\nwebhook = 'file:///etc/passwd'", "an address such as https"),
        ("[alerting]\nbell = 1", "true or false"),
    ],
)
def test_a_mistake_is_told_with_the_place_and_what_is_allowed(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text, tmp_path)
    assert said in str(caught.value)
    assert str(tmp_path / "config.toml") in str(caught.value)
