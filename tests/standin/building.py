"""Compiles the stand-in with the system's `cc`, else with the registry's ziglang."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = "libnvidia-ml.so.1"
_FLAGS = ("-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter")


@dataclass(frozen=True)
class Built:
    """Where the compiled files lie."""

    folder: Path

    @property
    def library(self) -> Path:
        return self.folder / LIBRARY

    @property
    def sleeper(self) -> Path:
        return self.folder / "sleeper"


def compiler() -> list[str]:
    """The command that compiles C."""
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found:
        return [found]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    raise RuntimeError("No C compiler: install gcc or clang, or pip install ziglang.")


def build(folder: Path) -> Built:
    """Compile into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    built = Built(folder)
    command = compiler()
    shared = ["-fPIC", "-shared", f"-Wl,-soname,{LIBRARY}", str(HERE / "nvml.c"), "-lpthread"]
    _run([*command, *_FLAGS, "-o", str(built.library), *shared], folder)
    _run([*command, *_FLAGS, "-o", str(built.sleeper), str(HERE / "sleeper.c")], folder)
    return built


def _run(command: list[str], cache: Path) -> None:
    env = os.environ | {"ZIG_GLOBAL_CACHE_DIR": str(cache / "zig"), "ZIG_LOCAL_CACHE_DIR": str(cache / "zig")}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
