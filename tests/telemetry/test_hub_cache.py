"""Finding a model by its name in the caches of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpu_tui.errors import ModelError
from gpu_tui.telemetry.hub_cache import cached_models, hub_folders
from gpu_tui.telemetry.model_files import FoundModel, find_model
from tests.telemetry.model_writers import (
    ROTARY,
    elements,
    llama_tensors,
    write_cached,
    write_model,
)

EXACT = 2 * elements(llama_tensors()) + ROTARY


def find(name: str | Path, home: Path, **environ: str) -> FoundModel:
    return find_model(str(name), environ=environ, home=home)


def test_the_hugging_face_cache(tmp_path: Path) -> None:
    snapshot = write_cached(tmp_path / ".cache/huggingface/hub", "org/m")
    found = find("org/m", tmp_path)
    assert (found.facts.weights_bytes, found.facts.name, found.path) == (EXACT, "org/m", snapshot)
    assert found.where.startswith("Found in the Hugging Face cache, revision 0123abcd;")


@pytest.mark.parametrize(
    ("key", "below"), [("HF_HOME", "hub"), ("HF_HUB_CACHE", ""), ("XDG_CACHE_HOME", "huggingface/hub")]
)
def test_the_variables_that_move_the_cache(tmp_path: Path, key: str, below: str) -> None:
    write_cached(tmp_path / "moved" / below, "org/m")
    assert find("org/m", tmp_path, **{key: str(tmp_path / "moved")}).facts.weights_bytes == EXACT
    with pytest.raises(ModelError, match="not on this machine"):
        find("org/m", tmp_path)


def test_download_dir_and_revision(tmp_path: Path) -> None:
    write_cached(tmp_path / "d", "org/m", "aaaa", ref="v1")
    found = find_model("org/m", environ={}, home=tmp_path, download_dir=str(tmp_path / "d"), revision="v1")
    assert found.path.name == "aaaa"
    with pytest.raises(ModelError):
        find_model("org/m", environ={}, home=tmp_path, download_dir=str(tmp_path / "d"), revision="v2")


def test_without_a_ref_the_snapshot_written_last_is_taken(tmp_path: Path) -> None:
    hub = tmp_path / ".cache/huggingface/hub"
    old = write_cached(hub, "org/m", "aaaa", ref=None)
    new = hub / "models--org--m" / "snapshots" / "bbbb"
    new.mkdir()
    (new / "config.json").symlink_to(old / "config.json")
    os.utime(old, (1, 1))
    assert find("org/m", tmp_path).path == new


@pytest.mark.parametrize(
    "name", ["../../etc", "org/../m", "a/b/c", "org/m\0", "", "https://x/y", "-", ".", "x" * 5000, "~nosuchuser/m"]
)
def test_names_that_are_no_models(tmp_path: Path, name: str) -> None:
    write_cached(tmp_path / ".cache/huggingface/hub", "org/m")
    with pytest.raises(ModelError):
        find_model(name, environ={}, home=tmp_path / "nobody", cwd=tmp_path)


def test_a_hostile_ref_leads_nowhere(tmp_path: Path) -> None:
    hub = tmp_path / ".cache/huggingface/hub"
    write_cached(hub, "org/m")
    ref = hub / "models--org--m" / "refs" / "main"
    for text in ("../../../../etc", "", "x" * 300, "a\nb"):
        ref.write_text(text)
        assert find("org/m", tmp_path).path.name == "0123abcd"
    ref.unlink()
    os.mkfifo(ref)
    assert find("org/m", tmp_path).path.name == "0123abcd"


def test_modelscope(tmp_path: Path) -> None:
    write_model(tmp_path / ".cache/modelscope/hub/models/org/m1___5")
    found = find("org/m1.5", tmp_path)
    assert (found.facts.weights_bytes, "ModelScope" in found.where) == (EXACT, True)


def test_what_the_cache_offers(tmp_path: Path) -> None:
    hub = tmp_path / ".cache/huggingface/hub"
    write_cached(hub, "org/m")
    write_cached(hub, "b/two")
    (hub / "datasets--org--d").mkdir()
    (hub / "models--org--empty").mkdir()
    assert [model.name for model in cached_models(hub_folders({}, tmp_path))] == ["b/two", "org/m"]
