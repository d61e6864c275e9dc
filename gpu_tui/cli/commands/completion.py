"""``gpu-tui completion``: the completion script of a shell, by shtab."""

from __future__ import annotations

import argparse

from gpu_tui.cli import exit_codes, output
from gpu_tui.config import Settings

READS_SETTINGS = False

_EPILOG = """\
examples:
  gpu-tui completion bash > ~/.local/share/bash-completion/completions/gpu-tui
  gpu-tui completion zsh > ~/.zfunc/_gpu-tui          (with ~/.zfunc in $fpath)
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Its argument."""
    parser.epilog = _EPILOG
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))


def run(args: argparse.Namespace, settings: Settings | None) -> int:
    """Print the script."""
    import shtab

    from gpu_tui.cli.main import build_parser

    output.write(shtab.complete(build_parser(), shell=args.shell))
    return exit_codes.OK
