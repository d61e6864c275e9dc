"""What ollama says it has loaded, and where it is asked."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.books import Books
from gpu_tui.core.ollama import LoadedModel, parse_ps, server_ports
from gpu_tui.core.snapshot import ProcessInfo, Snapshot
from gpu_tui.view.who import model_words
from gpu_tui.wiring.residents import Residents, all_residents, residents
from tests.factories import books_of, gpu, info, snapshot

PS = json.dumps(
    {
        "models": [
            {
                "name": "mistral:latest",
                "model": "mistral:latest",
                "size": 5137025024,
                "size_vram": 4294967296,
                "expires_at": "2026-06-04T14:38:31.83753-07:00",
                "context_length": 4096,
                "details": {"family": "llama"},
            }
        ]
    }
)
MISTRAL = LoadedModel(
    name="mistral:latest",
    vram_bytes=4294967296,
    expires_at="2026-06-04T14:38:31.83753-07:00",
    context_length=4096,
)


def test_the_answer_of_ps() -> None:
    assert parse_ps(PS) == (MISTRAL,)
    assert parse_ps('{"models": []}') == parse_ps('{"models": null}') == ()


@pytest.mark.parametrize("body", ["", "<html>", "[]", "null", '{"models": 7}', "[" * 100_000])
def test_what_is_no_such_answer(body: str) -> None:
    assert parse_ps(body) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_rows_are_read_or_left_out(value: object) -> None:
    found = parse_ps(json.dumps({"models": [value, {"name": "x", "size_vram": value}]}))
    assert found is not None
    assert found[-1].name == "x"


def machine(*infos: ProcessInfo, **fields: object) -> tuple[Snapshot, Books]:
    seen = snapshot(gpu({21: 1068}), infos, simulated=False, **fields)
    return seen, books_of(seen)


SERVE = info(20, "ollama", "/usr/local/bin/ollama serve", ppid=1, ports=(12345,))
RUNNER = info(21, "ollama", "/usr/local/bin/ollama runner --port 37053", ppid=20, ports=(37053,))


def asked(seen: Snapshot, books: Books, answers: dict[int, str]) -> tuple[Residents, list[tuple[int, str]]]:
    calls: list[tuple[int, str]] = []

    def get(port: int, path: str) -> str | None:
        calls.append((port, path))
        return answers.get(port)

    service = books.service("ollama")
    assert service is not None
    return residents(service, seen, get), calls


def test_the_server_above_the_runner_is_asked() -> None:
    seen, books = machine(RUNNER, SERVE)
    found, calls = asked(seen, books, {12345: PS})
    assert calls == [(12345, "/api/ps")]
    assert found.models == (MISTRAL,)
    assert found.vram_bytes == 4294967296
    assert "mistral:latest, 4096 MiB by ollama's reckoning" in model_words(found.models, found.source)


def test_its_usual_port_where_none_may_be_read() -> None:
    found, calls = asked(*machine(info(21, "ollama", None)), {})
    assert calls == [(11434, "/api/ps")]
    assert found == Residents(source="/api/ps of port 11434")
    assert model_words(found.models, found.source) == "unknown: /api/ps of port 11434 did not answer"


def test_nobody_else_is_asked_and_nobody_of_a_simulated_machine() -> None:
    seen, books = machine(info(21, "python", "python -m kloros_voice", ports=(80,)))
    assert all_residents(books, seen, lambda port, path: PS) == {}
    simulated = snapshot(gpu({21: 5}), [RUNNER, SERVE])
    assert all_residents(books_of(simulated), simulated, lambda port, path: PS) == {}
    service = books_of(simulated).service("ollama")
    assert service is not None
    assert server_ports(service, simulated.processes) == (12345,)
