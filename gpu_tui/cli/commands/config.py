"""``gpu-tui config``: the settings in effect, as a TOML file that says where each value comes from."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from gpu_tui import config, wiring
from gpu_tui.cli import exit_codes, output
from gpu_tui.config import Settings
from gpu_tui.view.text import clean, mask_cmdline, mask_url

READS_SETTINGS = False
"""It answers `--path` although the file is mistaken."""

_EPILOG = """\
A later layer wins: default, file, environment (GPU_TUI_<SECTION>_<KEY>, as GPU_TUI_MODEL_MODEL_MIB), flag.
The output is itself a configuration file.

exit codes: 0 all is well, 2 a setting is mistaken
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.epilog = _EPILOG
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--path", action="store_true", help="print where the configuration file is looked for")
    only.add_argument("--check", action="store_true", help="only say whether the settings mean something")


def run(args: argparse.Namespace, settings: Settings | None) -> int:
    """Print.

    Raises:
        ConfigError: a setting is mistaken.
    """
    path = args.options.config or config.default_path()
    if args.path:
        output.write(clean(str(path)))
        return exit_codes.OK
    settings = wiring.load_settings(args.options)
    there = "" if path.exists() else " (not there)"
    if args.check:
        output.write(f"The settings are in order: {clean(str(path))}{there}")
    else:
        output.write("\n".join([f"# {clean(str(path))}{there}", *lines(settings)]))
    return exit_codes.OK


def lines(settings: Settings) -> Iterator[str]:
    """The settings as TOML; what is not set is a comment."""
    section = ""
    for key in config.KEYS:
        if key == "services":
            yield from _rules(settings)
            continue
        if key == "alerts":
            yield from _alerts(settings)
            continue
        table, _, name = key.rpartition(".")
        if table != section:
            section = table
            yield ""
            yield f"[{table}]"
        value = settings.at(key)
        if key == "alerting.webhook" and value is not None:
            value = mask_url(value)  # its path is often all there is of a secret
        told = f"{name} = {_toml(value)}" if value is not None else f"# {name} is not set"
        yield f"{told:<40} # {clean(str(settings.origin(key)))}"


def _rules(settings: Settings) -> Iterator[str]:
    from gpu_tui.core.services import DEFAULT_RULES

    for rule in settings.services:
        yield ""
        yield f"[[services]]  # {'default' if rule in DEFAULT_RULES else clean(str(settings.origin('services')))}"
        yield f"name = {_toml(rule.name)}"
        yield f"match = {_toml(rule.match)}"
        yield f"field = {_toml(rule.field)}"
        yield f"restarts = {_toml(rule.restarts)}"
        if rule.if_loaded_mib is not None:
            yield f"if_loaded_mib = {_toml(rule.if_loaded_mib)}"


def _alerts(settings: Settings) -> Iterator[str]:
    from gpu_tui.core.alert_rules import UNITS, When

    if not settings.alerts:
        yield ""
        yield "# alerts is not set"
    for rule in settings.alerts:
        yield ""
        yield f"[[alerts]]  # {clean(str(settings.origin('alerts')))}"
        unit = UNITS.get(rule.when)
        told: dict[str, Any] = {"name": rule.name, "when": rule.when.value, "service": rule.service, "gpu": rule.gpu}
        if unit is not None:
            told |= {f"above_{unit}": rule.above, f"clear_{unit}": rule.clear}
        if rule.when is When.GROWTH:
            told["window_s"] = rule.window_s
        if rule.when is When.LATENCY:
            told["figure"] = rule.figure
        told |= {"for_s": rule.for_s, "clear_for_s": rule.clear_for_s, "latch": rule.latch}
        yield from (f"{key} = {_toml(value)}" for key, value in told.items() if value is not None)


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(word) for word in mask_cmdline(value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        import json

        # A TOML basic string is a JSON string, save for surrogates, which the settings refuse.
        return json.dumps(mask_cmdline([value])[0])
    return repr(value)
