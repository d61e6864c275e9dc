"""Whatever a process calls itself, every command prints visible text, its JSON is JSON, its metrics are metrics."""

from __future__ import annotations

import contextlib
import io
import json
import urllib.request
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gpu_tui import wiring
from gpu_tui.cli.main import main
from gpu_tui.clock import SystemClock
from gpu_tui.exporter.latest import Latest
from gpu_tui.exporter.server import Server
from gpu_tui.telemetry.poller import Reading
from gpu_tui.wiring.assessing import Assessor
from tests.endurance.nasties import MARK, NASTIES, unseen, written

COMMANDS = [
    ["services"],
    ["check", "--util", "0.5"],
    ["check", "--util", "0.4"],
    ["doctor"],
    ["history"],
    ["watch", "--for", "0.3", "--interval", "0.1"],
    ["config"],
]
JSON = [
    ["services", "--json"],
    ["check", "--util", "0.5", "--json"],
    ["watch", "--jsonl", "--for", "0.3", "--interval", "0.1"],
]


def said(capsys: pytest.CaptureFixture[str], *words: str, allowed: tuple[int, ...] = (0, 1, 3)) -> tuple[str, str]:
    try:
        code = main(words)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0
    assert code in allowed, capsys.readouterr()
    return tuple(capsys.readouterr())  # type: ignore[return-value]


@pytest.mark.parametrize("name", NASTIES)
def test_every_command_shows_visible_text_alone(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(written(NASTIES[name], tmp_path))
    shown = ""
    for words in COMMANDS:
        out, err = said(capsys, "--scenario", file, *words)
        assert not unseen(out), (words, unseen(out))
        assert not unseen(err), (words, unseen(err))
        shown += out
    assert MARK in shown


@pytest.mark.parametrize("name", NASTIES)
def test_json_is_json_and_fit_for_a_terminal(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(written(NASTIES[name], tmp_path))
    for words in JSON:
        out, err = said(capsys, "--scenario", file, *words)
        assert not unseen(out + err), words
        for text in out.splitlines() if "--jsonl" in words else [out]:
            json.loads(text)


@pytest.mark.parametrize("name", NASTIES)
def test_a_recording_of_it_is_replayed_as_visible_text(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, recording = str(written(NASTIES[name], tmp_path)), str(written(NASTIES[name], tmp_path)) + ".rec"
    for words in (
        ["--scenario", file, "record", recording, "--interval", "0.1", "--duration", "0.3"],
        ["--replay", recording, "services"],
        ["--replay", recording, "check", "--util", "0.5"],
        ["--replay", f"{recording}@99:99", "services"],
    ):
        out, err = said(capsys, *words, allowed=(0, 1, 2))
        assert not unseen(out + err), words
    out, _ = said(capsys, "--replay", recording, "services", "--json")
    assert MARK in json.loads(out)["gpus"][0]["gpu"]["name"]


@pytest.mark.parametrize("name", NASTIES)
def test_mistakes_are_told_in_visible_text(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    payload = NASTIES[name]
    config = tmp_path / "config.toml"
    config.write_text(f"[{json.dumps(payload)}]\nx = 1\n", newline="")
    for words in (
        ["--scenario", payload.replace("\0", ""), "services"],
        ["--replay", payload.replace("\0", ""), "services"],
        ["--config", str(config), "config"],
        ["--demo", "--gpu", payload, "services"],
        ["--demo", "check", "--util", payload],
        ["--demo", "check", "--util", "0.5", "--model", payload.replace("\0", "")],
        ["--demo", "check", "--util", "0.5", "--serve", f"vllm serve {payload}"],
        ["--demo", "history", "show", payload],
        ["--demo", payload],
    ):
        out, err = said(capsys, *words, allowed=(1, 2, 3))
        assert not unseen(out + err), (words, unseen(out + err))


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60))
@example("\x1b[31m\u202e")
def test_no_text_whatever_reaches_a_terminal_unseen(tmp_path_factory: pytest.TempPathFactory, payload: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    file = written("any", folder)
    told = json.loads(file.read_text())
    file.write_text(json.dumps(told).replace("any", json.dumps(payload)[1:-1]))
    for words in (["services"], ["check", "--util", "0.5"]):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["--scenario", str(file), *words])
        assert code in (0, 1, 3), err.getvalue()
        assert not unseen(out.getvalue() + err.getvalue())


@pytest.mark.parametrize("name", NASTIES)
def test_labels_of_metrics_are_visible_text(name: str, tmp_path: Path) -> None:
    options = wiring.Options(scenario=str(written(NASTIES[name], tmp_path)))
    settings, clock = wiring.load_settings(options), SystemClock()
    snapshot = wiring.open_source(options, settings, clock).read()
    assessor = Assessor(settings, wiring.classifier(settings))
    latest = Latest(assessor.assess, clock, stalled_s=lambda: 0.0, interval_s=1.0, simulated=True)
    latest.take(Reading(seq=1, snapshot=snapshot, error=None, started=0.0, finished=0.0))
    server = Server("127.0.0.1", 0, latest.families)
    server.start()
    try:
        with urllib.request.urlopen(f"{server.url}", timeout=10) as answer:
            page = answer.read().decode("utf-8")
    finally:
        server.close()
    assert not unseen(page)
    families = list(text_string_to_metric_families(page))
    labels = {value for family in families for sample in family.samples for value in sample.labels.values()}
    assert any(MARK in value for value in labels)
