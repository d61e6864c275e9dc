"""Run a command on the stand-in machine: ``python -m tests.standin [--large] -- gpu-tui services``."""

from __future__ import annotations

import argparse
import subprocess
import sys

from tests.standin import Sleepers, StandIn, known_machine, large_machine


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.standin", description=__doc__)
    parser.add_argument("--large", action="store_true", help="8 GPUs with 200 processes each")
    parser.add_argument("command", nargs="+", help="what to run there")
    arguments = parser.parse_args()
    with StandIn.temporary() as standin, Sleepers(standin.built) as sleepers:
        (large_machine if arguments.large else known_machine)(standin, sleepers)
        sys.stderr.write(f"state file: {standin.path}\n")
        return subprocess.run(arguments.command, env=standin.env(), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
