"""The shape of a scenario file, TOML or JSON: a machine, its processes, and how it moves. Every field is optional.

A mistake becomes a `ConfigError` that names the file, the key, what was found and what is allowed.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec

from gpu_tui.core.snapshot import FaultKind
from gpu_tui.errors import ConfigError

Mib = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Signed = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
Tokens = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
Ranks = Annotated[int, msgspec.Meta(ge=1, le=4096)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Pid = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
Index = Annotated[int, msgspec.Meta(ge=0, le=1023)]


class Table(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Base of every table of the file: a misspelled key is an error, never ignored."""


class GpuTable(Table, frozen=True):
    """One device at tick 0. What is not given is unknown, except `free_mib`, which follows where all else is known."""

    name: str | None = None
    uuid: str | None = None
    total_mib: Mib | None = None
    """CUDA's total; stands for NVML's where `nvml_total_mib` is not given."""
    nvml_total_mib: Mib | None = None
    """The figure nvidia-smi shows."""
    free_mib: Mib | None = None
    reserved_mib: Mib | None = None
    utilization_pct: Percent | None = None
    temperature_c: int | None = None
    power_w: Mib | None = None
    power_limit_w: Mib | None = None
    mig_enabled: bool | None = None


class ParentTable(Table, frozen=True):
    """A process that holds no GPU memory, but started one that does."""

    pid: Pid
    name: str | None = None
    cmdline: str | list[str] | None = None
    user: str | None = None
    ppid: int | None = None


class ProcessTable(Table, frozen=True):
    """A process on a GPU, or with `count` and `each_gpu` many of them.

    ``{i}`` in name and command line is its number from 0, ``{gpu}`` its device; pids count up from `pid`.
    """

    pid: Pid | None = None
    name: str | None = None
    cmdline: str | list[str] | None = None
    """A list of arguments, or one string, split as a shell would."""
    used_mib: Mib | None = None
    """None: the driver does not report it."""
    gpu: Index | list[Index] = 0
    user: str | None = None
    ppid: int | None = None
    graphics: bool = False
    problem: str | None = None
    """Why its name or command line could not be read: ``permission denied``."""
    count: Count = 1
    each_gpu: bool = False
    """`count` of them on every device; `gpu` is not looked at."""
    step_mib: Mib = 0
    """Process i holds `used_mib` + i × this."""
    from_s: Seconds | None = None
    """It comes in this second of the story, with no memory until an event gives it some; not given: it is there."""


class ModelTable(Table, frozen=True):
    """The model's figures, per GPU."""

    name: str | None = None
    model_mib: Mib | None = None
    min_kv_cache_mib: Mib | None = None
    config: dict[str, Any] | None = None
    path: str | None = None
    """A folder, a GGUF file, or a name in the Hugging Face cache; relative to where gpu-tui runs."""
    weights_mib: Mib | None = None
    activation_mib: Signed | None = None
    """Without the estimate of CUDA graphs."""
    non_torch_mib: Signed | None = None
    """Negative where a pluggable allocator hides memory from torch's books, as logs show."""
    cuda_graph_mib: Signed | None = None


class VllmTable(Table, frozen=True):
    """How vLLM is to be started; what is not given is vLLM's default for that release and card."""

    version: str | None = None
    gpu_memory_utilization: Share | None = None
    max_model_len: int | str | None = None
    """Tokens; ``auto`` and -1: the longest that fits."""
    tensor_parallel_size: Ranks | None = None
    pipeline_parallel_size: Ranks | None = None
    kv_cache_dtype: str | None = None
    dtype: str | None = None
    block_size: Tokens | None = None
    enforce_eager: bool | None = None
    max_num_seqs: Tokens | None = None
    max_num_batched_tokens: Tokens | None = None
    kv_cache_memory_bytes: Annotated[int, msgspec.Meta(ge=0, le=2**60)] | None = None


class WaveTable(Table, frozen=True):
    """A gentle movement of some processes' memory: a sine of `swing_mib` around it, and noise up to `jitter_mib`."""

    pids: list[Pid]
    swing_mib: Mib = 0
    period_s: Seconds = 60
    jitter_mib: Mib = 0


class LevelTable(Table, frozen=True):
    """The same for a device's utilization, temperature or power; of every device unless `gpu` is given."""

    field: str
    """``utilization_pct``, ``temperature_c`` or ``power_w``."""
    gpu: Index | None = None
    swing: Mib = 0
    period_s: Seconds = 60
    jitter: Mib = 0


class EventTable(Table, frozen=True):
    """Something that happens from `at_s` until `until_s` (not given: to the end of the story)."""

    at_s: Seconds
    until_s: Seconds | None = None
    caption: str = ""
    pids: list[Pid] = []
    gone: bool = False
    """The processes are not there."""
    from_mib: Mib | None = None
    """Memory when it begins; not given: what they hold at tick 0."""
    used_mib: Mib | None = None
    """Memory after `ramp_s`; not given: what they hold at tick 0."""
    ramp_s: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 0
    gpu: Index | None = None
    fault: FaultKind | None = None
    """This device cannot be read."""
    driver: FaultKind | None = None
    """Nothing can be read."""
    message: str = ""
    remedy: str = ""


class LogTable(Table, frozen=True):
    """What a server logs in one second of the story."""

    at_s: Seconds
    pid: Pid
    """The server's, as in `parents`."""
    lines: list[str]


class StoryTable(Table, frozen=True):
    """How the machine moves after tick 0."""

    loop_s: Seconds | None = None
    """The events begin again after so long."""
    waves: list[WaveTable] = []
    levels: list[LevelTable] = []
    events: list[EventTable] = []
    log: list[LogTable] = []
    """A server whose log says that it serves answers `/health`."""


class ScenarioFile(Table, frozen=True):
    """The whole file."""

    id: str | int | None = None
    driver_version: str | None = None
    gpu: GpuTable | None = None
    gpus: list[GpuTable] | None = None
    processes: list[ProcessTable] = []
    parents: list[ParentTable] = []
    model: ModelTable = ModelTable()
    vllm: VllmTable = VllmTable()
    story: StoryTable = StoryTable()


def load(path: Path) -> ScenarioFile:
    """Read a scenario file; JSON where its name ends so or it begins with a brace, else TOML.

    Raises:
        ConfigError: it cannot be read, or does not mean anything.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}.") from error
    return parse(data, str(path))


def parse(data: bytes, label: str) -> ScenarioFile:
    """Parse a scenario file's content; `label` names it in errors.

    Raises:
        ConfigError: with the key, what was found and what is allowed.
    """
    is_json = label.endswith(".json") or data.lstrip().startswith(b"{")
    try:
        raw = msgspec.json.decode(data) if is_json else tomllib.loads(data.decode())
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{label}: not {'JSON' if is_json else 'TOML'}: {error}.") from error
    return convert(raw, label)


def convert(raw: object, label: str) -> ScenarioFile:
    """Check a decoded file; see `parse`. A null is as good as a field that is not given, and 8192.0 as 8192."""
    try:
        return msgspec.convert(_plain(raw), ScenarioFile)
    except msgspec.ValidationError as error:
        raise _explained(str(error), raw, label) from error


def _plain(raw: object, depth: int = 4) -> object:
    if depth and isinstance(raw, dict):
        return {
            key: value if key == "config" else _counted(key, value) or _plain(value, depth - 1)
            for key, value in raw.items()
            if value is not None
        }
    if depth and isinstance(raw, list):
        return [_plain(item, depth - 1) for item in raw]
    return raw


def _counted(key: object, value: object) -> int | None:
    """The whole number that a float stands for: JSON knows one kind of number, and bytes are often GiB times 2**30."""
    if not isinstance(value, float) or not abs(value) < 2**53:
        return None
    return int(value) if value.is_integer() or (isinstance(key, str) and key.endswith("_bytes")) else None


def _explained(error: str, raw: object, label: str) -> ConfigError:
    problem, _, path = error.partition(" - at `$")
    steps = re.findall(r"\.([^.\[\]`]+)|\[(\d+|\.\.\.)\]", path)
    here, key = raw, ""
    for name, index in steps:
        key += f".{name}" if name else f"[{index}]"
        here = _step(here, name, index)
    key = key.lstrip(".")
    unknown = re.match(r"Object contains unknown field `(.*)`$", problem)
    if unknown:
        key = f"{key}.{unknown[1]}".lstrip(".")
        return ConfigError(f"{label}: {key}: unknown key.", f"Allowed there: {', '.join(_keys(steps))}.")
    found = "" if isinstance(here, dict | list) else f", found {here!r}"
    problem = problem[:1].lower() + problem[1:]
    allowed = f"Allowed: {', '.join(FaultKind)}." if "enum value" in problem else ""
    return ConfigError(f"{label}: {key or 'the file'}: {problem}{found}.", allowed)


def _step(here: object, name: str, index: str) -> object:
    if isinstance(here, dict):
        return here.get(name)
    if isinstance(here, list) and index.isdigit() and int(index) < len(here):
        return here[int(index)]
    return here


_TABLES: dict[str, type[Table]] = {
    "gpu": GpuTable,
    "gpus": GpuTable,
    "processes": ProcessTable,
    "parents": ParentTable,
    "model": ModelTable,
    "vllm": VllmTable,
    "story": StoryTable,
    "waves": WaveTable,
    "levels": LevelTable,
    "events": EventTable,
    "log": LogTable,
}


def _keys(steps: list[tuple[str, str]]) -> tuple[str, ...]:
    names = [name for name, _ in steps if name]
    return (_TABLES[names[-1]] if names else ScenarioFile).__struct_fields__
