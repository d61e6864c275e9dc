"""Which Whisper a run was measured with, and the KV cache, in the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpu_tui.journal import Journal
from gpu_tui.journal.compare import compare
from gpu_tui.journal.records import figures_of
from gpu_tui.journal.text import detailed
from tests.journal.runs import run, summary


def of_size(name: str, origin: str) -> dict[str, Any]:
    told = summary(40, 200)
    told["stt"]["size"] = {"name": name, "origin": origin, "source": "somebody"}
    return told


def test_the_size_is_shown_and_a_change_of_it_is_told(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db", writable=True) as journal:
        first = journal.add(run(summary=of_size("tiny", "measured")))
        second = journal.add(run(summary=of_size("base", "assumed")))
        before, after = journal.get(first), journal.get(second)
    assert "whisper   tiny (measured)" in detailed(before)
    changes = {change.what: (change.a, change.b) for change in compare(before, after).changes}
    assert changes["STT model's size"] == ("tiny (measured)", "base (assumed)")


def test_a_run_without_a_size_says_nothing_of_it(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db", writable=True) as journal:
        kept = journal.get(journal.add(run(summary=summary(40, 200))))
    assert not any("whisper" in line for line in detailed(kept))


def test_a_voice_run_tells_the_cache_and_the_size(tmp_path: Path) -> None:
    voice = {"n": 3, "errors": {}, "kv_cache_tokens": 8112, "stt_size": {"name": "tiny", "origin": "derived"}}
    told = {"schema": 1, "llm": None, "stt": None, "voice": voice}
    assert figures_of(told)["kv_cache_tokens"] == 8112
    with Journal(tmp_path / "j.db", writable=True) as journal:
        kept = journal.get(journal.add(run(summary=told, samples=())))
    assert "whisper   tiny (derived)" in detailed(kept)
