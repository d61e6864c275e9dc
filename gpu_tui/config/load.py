"""Reads the layers and puts them together; the later layer wins, value by value."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpu_tui.config.keys import KEYS, KINDS, SECTIONS, nearest, service_rules, show
from gpu_tui.config.settings import Settings, ValueOrigin
from gpu_tui.errors import ConfigError

ENV_PREFIX = "GPU_TUI_"
ENV_NOT_SETTINGS = frozenset({"GPU_TUI_DEBUG"})
"""Variables of ours that are no settings."""


def default_path(environ: Mapping[str, str] = os.environ) -> Path:
    """``gpu-tui/config.toml`` in the user's configuration folder, by the XDG rules as platformdirs applies them.

    Written out, because this product is for Linux alone and platformdirs takes 15 ms of `check`'s time; a test holds
    the two together.
    """
    base = environ.get("XDG_CONFIG_HOME", "").strip()
    return (Path(base) if base else Path.home() / ".config") / "gpu-tui" / "config.toml"


def load(
    path: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, tuple[str, Any]] | None = None,
) -> Settings:
    """The settings in effect.

    Args:
        path: a file that must be there; None: the default one, if it is.
        environ: the environment.
        flags: key path -> (the flag's name, its value); None values are flags not given.

    Raises:
        ConfigError: the file cannot be read, or a value does not mean anything.
    """
    values: dict[str, Any] = {}
    origins: dict[str, ValueOrigin] = {}
    file = path if path is not None else default_path(environ)
    _take_file(_read_toml(file, must_exist=path is not None), file, values, origins)
    _take_environment(environ, values, origins)
    for key, (flag, value) in (flags or {}).items():
        if value is not None:
            _set(key, KINDS[key].read, value, ValueOrigin(kind="flag", where=flag), values, origins)
    settings = _build(values, origins)
    if settings.evaluator.min > settings.evaluator.max:
        raise ConfigError(
            f"evaluator.min ({settings.evaluator.min:g}, {settings.origin('evaluator.min')}) is above evaluator.max "
            f"({settings.evaluator.max:g}, {settings.origin('evaluator.max')}).",
            "Give a min that is at most max.",
        )
    return settings


def _read_toml(file: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        data = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if must_exist:
            raise ConfigError(f"The configuration file {file} does not exist.", "Check --config.") from None
        return {}
    except OSError as error:
        raise ConfigError(f"The configuration file {file} cannot be read: {error.strerror}.") from None
    import tomllib  # 5 ms, and most machines have no file

    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 (byte {error.start}).", "Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not TOML: {error}.", "Mend that line.") from None


def _take_file(table: dict[str, Any], file: Path, values: dict[str, Any], origins: dict[str, ValueOrigin]) -> None:
    origin = ValueOrigin(kind="file", where=str(file))
    known = {*KEYS, *SECTIONS}

    def walk(inner: dict[str, Any], prefix: str) -> None:
        for name, value in inner.items():
            key = prefix + name
            if key == "services":
                values[key] = service_rules(value, file)
                origins[key] = origin
            elif key == "alerts":
                from gpu_tui.config.alert_tables import alert_rules  # most files have none

                values[key] = alert_rules(value, file)
                origins[key] = origin
            elif key in KINDS:
                _set(key, KINDS[key].read, value, origin, values, origins)
            elif key not in SECTIONS:
                raise ConfigError(f"{file}: {show(key)[1:-1]} is not a setting.", nearest(key, known))
            elif not isinstance(value, dict):
                raise ConfigError(f"{file}: {key} is {show(value)}.", f"It is a table: write [{key}].")
            else:
                walk(value, f"{key}.")

    walk(table, "")


def _take_environment(environ: Mapping[str, str], values: dict[str, Any], origins: dict[str, ValueOrigin]) -> None:
    known = {ENV_PREFIX + key.replace(".", "_").upper(): key for key in KINDS}
    for variable in sorted(environ):
        if not variable.startswith(ENV_PREFIX) or variable in ENV_NOT_SETTINGS or not environ[variable].strip():
            continue
        key = known.get(variable)
        if key is None:
            raise ConfigError(
                f"The environment variable {show(variable)[1:-1]} is not a setting.",
                nearest(variable, known, "variables"),
            )
        origin = ValueOrigin(kind="environment", where=variable)
        _set(key, KINDS[key].from_text, environ[variable].strip(), origin, values, origins)


def _set(
    key: str,
    read: Callable[[Any], Any],
    value: Any,
    origin: ValueOrigin,
    values: dict[str, Any],
    origins: dict[str, ValueOrigin],
) -> None:
    try:
        taken = read(value)
    except (ValueError, OverflowError):
        taken = None
    if taken is None:
        raise ConfigError(f"{origin.where}: {key} is {show(value)}.", f"Allowed: {KINDS[key].allowed}.")
    values[key] = taken
    origins[key] = origin


def _build(values: dict[str, Any], origins: dict[str, ValueOrigin]) -> Settings:
    built = Settings(origins=origins)
    # Innermost first, so that a section is whole before it is put into its own.
    for section in sorted(SECTIONS, key=lambda name: -name.count(".")):
        inner = {key.rpartition(".")[2]: value for key, value in values.items() if key.rpartition(".")[0] == section}
        if inner:
            values[section] = replace(values.get(section, built.at(section)), **inner)
    return replace(built, **{key: value for key, value in values.items() if "." not in key})
