"""Where a model's name as given to `--model` lies on this machine, without asking any network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gpu_tui.telemetry.bounded import file_size, names_in, regular

_NAME = re.compile(r"[\w.\-]{1,128}(/[\w.\-]{1,128})?")
_COMMIT = re.compile(r"[\w.\-]{1,128}")
MOST_MODELS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """One model in a cache."""

    name: str
    folder: Path
    where: str
    """For people: which cache, which revision."""


def hub_folders(environ: Mapping[str, str], home: Path | None, download_dir: str | None = None) -> tuple[Path, ...]:
    """The folders huggingface_hub and vLLM would look into, first to last.

    `--download-dir`, HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub,
    ~/.cache/huggingface/hub (https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables).
    """
    found = [Path(value) for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE") if (value := environ.get(name))]
    found += [Path(download_dir)] if download_dir else []
    if value := environ.get("HF_HOME"):
        found.append(Path(value) / "hub")
    if value := environ.get("XDG_CACHE_HOME"):
        found.append(Path(value) / "huggingface" / "hub")
    if home is not None:
        found.append(home / ".cache" / "huggingface" / "hub")
    return tuple(dict.fromkeys(found))


def in_cache(name: str, folders: tuple[Path, ...], revision: str | None = None) -> Cached | None:
    """The snapshot of `name` that vLLM would load; None where no cache has it, or `name` is no repository's."""
    if _NAME.fullmatch(name) is None or ".." in name:
        return None
    for folder in folders:
        repository = folder / f"models--{name.replace('/', '--')}"
        snapshot = _snapshot(repository, revision)
        if snapshot is not None:
            where = f"the Hugging Face cache, revision {snapshot.name[:12]}"
            return Cached(name=name, folder=snapshot, where=where)
    return None


def _snapshot(repository: Path, revision: str | None) -> Path | None:
    """`refs/main` names the commit; without it the only snapshot with files, or the one written last."""
    snapshots = repository / "snapshots"
    word = revision or "main"
    if _COMMIT.fullmatch(word) is None or ".." in word:
        return None
    commit = _ref(repository / "refs" / word) or word
    if names_in(snapshots / commit, 1):
        return snapshots / commit
    if revision is not None:
        return None
    others = [snapshots / name for name in names_in(snapshots, MOST_MODELS) if names_in(snapshots / name, 1)]
    return max(others, key=_age, default=None)


def _ref(path: Path) -> str | None:
    """The commit a ref names; None where there is no such ref."""
    if not 0 < (file_size(path) or 0) <= 256:
        return None
    with regular(path) as (file, _):
        text = file.read(256).decode("ascii", "replace").strip()
    return text if _COMMIT.fullmatch(text) is not None and ".." not in text else None


def _age(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def in_modelscope(name: str, environ: Mapping[str, str], home: Path | None) -> Cached | None:
    """A model that ModelScope fetched; it writes ``___`` for a dot."""
    if _NAME.fullmatch(name) is None or ".." in name or "/" not in name:
        return None
    organization, model = name.split("/")
    bases = [Path(value) for key in ("MODELSCOPE_CACHE",) if (value := environ.get(key))]
    bases += [home / ".cache" / "modelscope"] if home is not None else []
    for base in bases:
        for inner in ("hub/models", "models", "hub", "."):
            for written in (model.replace(".", "___"), model):
                folder = base / inner / organization / written
                if file_size(folder / "config.json") is not None:
                    return Cached(name=name, folder=folder, where="the ModelScope cache")
    return None


def cached_models(folders: tuple[Path, ...]) -> Iterator[Cached]:
    """The models in the Hugging Face caches, each once, that have a config or GGUF files."""
    seen: set[str] = set()
    for folder in folders:
        for entry in names_in(folder, MOST_MODELS):
            parts = entry.split("--", 2)
            name = "/".join(parts[1:])
            if parts[0] != "models" or name in seen:
                continue
            found = in_cache(name, (folder,))
            if found is not None and _is_model(found.folder):
                seen.add(name)
                yield found


def _is_model(folder: Path) -> bool:
    names = names_in(folder)
    return "config.json" in names or "params.json" in names or any(name.endswith(".gguf") for name in names)
