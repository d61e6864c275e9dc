"""``gpu-tui``: reads the command line, loads the one module that answers it, and turns errors into exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_tui import __version__
from gpu_tui.cli import exit_codes, heap, output
from gpu_tui.errors import GpuTuiError, UsageError

if TYPE_CHECKING:
    from gpu_tui.wiring import Options

COMMANDS = {
    "services": "who holds the GPU's memory, once",
    "check": "would vLLM start with this utilization: three checks, once",
    "evaluate": "judge and measure candidates, JSON lines in and out",
    "measure": "STT and LLM latency of the live services",
    "record": "what is seen of the machine into a file, second by second",
    "history": "the runs in the journal: list, show, compare, plot, export, delete",
    "watch": "events and alerts as they happen, for a terminal or a service",
    "exporter": "serve metrics for Prometheus on 127.0.0.1:9835",
    "config": "the settings in effect, and where each comes from",
    "doctor": "what works here, and what to do about what does not",
    "completion": "print the completion script of a shell",
}

FLAG_SETTINGS = {
    "interval": "interval_s",
    "quiet": "alerting.bell",
    "journal": "journal",
    "model_mib": "model.model_mib",
    "min_kv_mib": "model.min_kv_cache_mib",
    "headroom_mib": "model.headroom_mib",
    "headroom_pct": "model.headroom_pct",
    "llm": "endpoints.llm",
    "llm_model": "endpoints.llm_model",
    "stt": "endpoints.stt",
    "stt_model": "endpoints.stt_model",
    "stt_local": "endpoints.stt_local",
    "stt_device": "endpoints.stt_device",
    "stt_size": "endpoints.stt_size",
    "requests": "measure.requests",
    "concurrency": "measure.concurrency",
    "warmup": "measure.warmup",
    "timeout": "measure.timeout_s",
    "prompt_tokens": "measure.prompt_tokens",
    "output_tokens": "measure.output_tokens",
}
"""Flags of any command that outrank a setting: the attribute argparse gives them -> the key path."""

EXAMPLES = """\
examples:
  gpu-tui --demo                            the explorer, on a simulated machine
  gpu-tui                                   the explorer, on this machine
  gpu-tui check --util 0.50                 would vLLM start with 0.50 here?
  gpu-tui services --json                   who holds the memory, for a script
  gpu-tui record today.rec                  keep what happens; Ctrl-C ends
  gpu-tui --replay today.rec@14:03          look at it later; check and services take it too
  gpu-tui doctor                            what works here and what does not

exit codes:
  0 yes, or done   1 check: no   2 wrong usage or configuration   3 machine or service unreachable, or unknown
  70 a mistake in gpu-tui (GPU_TUI_DEBUG=1 shows the traceback)   74 output not written   130 interrupted
"""


COMPLETE_FOLDER = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/", "tcsh": "d"}
"""shtab's mark for an argument that is a folder."""
COMPLETE_FILE = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}
"""shtab's mark for an argument that is a file; written out, because importing shtab takes 30 ms."""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Finds the width without shutil, whose import costs `check` 3 ms: argparse formats at every `add_argument`."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    told = os.environ.get("COLUMNS", "")
    if told.isascii() and told.isdigit() and int(told) > 20:
        return int(told)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


class _Parser(argparse.ArgumentParser):
    """Tells a mistake in one line, without repeating the usage above it."""

    def error(self, message: str) -> Any:
        output.note(f"{message}.")
        output.note(f"See {self.prog} --help.")
        self.exit(exit_codes.USAGE)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < value <= 1:  # refuses NaN as well
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0 and at most 1")
    return value


share = _share
"""Type of ``--util``."""


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a pid nor a port")
    return int(text)


def global_flags(default: Any) -> _Parser:
    """The flags that stand before or after a command; after it they must not put defaults over those before it."""
    flags = _Parser(add_help=False, argument_default=default, formatter_class=_Formatter)
    group = flags.add_argument_group("machine and settings")
    group.add_argument("--gpu", metavar="N|UUID", help="NVML's index, 0:1 for MIG, a UUID; check and services: all")
    file = group.add_argument("--config", metavar="FILE", type=Path, help="settings instead of the user's own file")
    group.add_argument("--restarts", metavar="PID|PORT", type=_positive, help="the vLLM instance that restarts")
    group.add_argument("--demo", action="store_true", help="the simulated machine kloros instead of this one")
    scenario = group.add_argument("--scenario", metavar="NAME|FILE", help="another simulated machine")
    recording = group.add_argument("--replay", metavar="FILE[@TIME]", help="a recorded machine; 14:03, +90s, 50%%, end")
    journal = group.add_argument("--journal", metavar="FILE", help="where runs are kept instead of in the data folder")
    group.add_argument("--no-journal", dest="journal", action="store_const", const="off", help="keep no run")
    for action in (file, scenario, recording, journal):
        vars(action)["complete"] = COMPLETE_FILE
    return flags


def build_parser(wanted: Sequence[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """The parser. It knows the commands in `wanted` alone: each costs the import of its module.

    With none wanted it knows the explorer's flags, and of the commands their names.
    """
    parser = _Parser(
        prog="gpu-tui",
        description="Choose vLLM's --gpu-memory-utilization on a shared GPU without breaking production. "
        "Without a command: the explorer.",
        epilog=EXAMPLES,
        formatter_class=_Formatter,
        parents=[global_flags(None)],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gpu-tui {__version__}")
    if not wanted:
        _module("tui").configure(parser)
    parser.set_defaults(command=None, demo=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    for name in wanted or COMMANDS:
        words = COMMANDS[name]
        command = commands.add_parser(
            name,
            help=words,
            description=f"{words[0].upper()}{words[1:]}.",
            parents=[global_flags(argparse.SUPPRESS)] if wanted else [],
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        command.set_defaults(command=name)
        if wanted:
            _module(name).configure(command)
    return parser


def _module(name: str) -> Any:
    return import_module(f"gpu_tui.cli.commands.{name}")


def options_of(args: argparse.Namespace) -> Options:
    """The command line as `wiring` takes it."""
    from gpu_tui.wiring import Options

    overrides = {
        key: (f"--{attribute.replace('_', '-')}", getattr(args, attribute))
        for attribute, key in FLAG_SETTINGS.items()
        if getattr(args, attribute, None) is not None
    }
    return Options(
        gpu=args.gpu,
        config=args.config,
        restarts=args.restarts,
        scenario=args.scenario,
        demo=args.demo and args.scenario is None,
        replay=args.replay,
        overrides=overrides,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Raises:
        SystemExit: from argparse, for ``--help``, ``--version`` and wrong usage.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    args = build_parser([name for name in COMMANDS if name in words]).parse_args(words)
    try:
        args.options = options_of(args)
        _refuse_contradictions(args)
        code = _run(args)
    except GpuTuiError as error:
        output.error(error)
        return exit_codes.of(error)
    return code


def _refuse_contradictions(args: argparse.Namespace) -> None:
    if args.replay is None:
        return
    for flag, given in (("--demo", args.demo), ("--scenario", args.scenario is not None)):
        if given:
            raise UsageError(f"--replay and {flag} name two machines.", "Leave one of them out.")
    if (why := getattr(_module(args.command or "tui"), "NO_REPLAY", None)) is not None:
        raise UsageError(why, "Leave --replay out.")


def _run(args: argparse.Namespace) -> int:
    module = _module(args.command or "tui")
    settings = None
    if getattr(args, "plan", None):
        # The child of a measurement: all that counts is in the plan, whatever configuration its parent had.
        from gpu_tui.config import Settings

        settings = Settings()
    elif getattr(module, "READS_SETTINGS", True):
        from gpu_tui.wiring import load_settings

        settings = load_settings(args.options)
    arguments = (args, args.options, settings) if args.command is None else (args, settings)
    code: int = module.run(*arguments)
    return code


def entry() -> None:
    """The console script: never a traceback, never a hang on the way out."""
    heap.start()
    output.prepare()
    output.leave(_guarded())


def _guarded() -> int:
    try:
        return main()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else exit_codes.OK
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        # What is still buffered has no reader; without this the flush at exit would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the last resort before a user sees a traceback
        return _unexpected(error)


def _unexpected(error: Exception) -> int:
    if os.environ.get("GPU_TUI_DEBUG"):
        import traceback

        traceback.print_exc()
    if isinstance(error, OSError) and _is_output(error):
        output.note(f"The output could not be written: {error.strerror}.")
        return exit_codes.OUTPUT
    from gpu_tui.view.text import clean

    output.note(f"gpu-tui has made a mistake: {type(error).__name__}: {clean(str(error), 200)}")
    output.note("Please report it with the output of the same command after GPU_TUI_DEBUG=1.")
    return exit_codes.INTERNAL


def _is_output(error: OSError) -> bool:
    import errno

    return error.filename is None and error.errno in (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG)
