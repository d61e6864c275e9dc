"""``gpu-tui measure`` alone: what the child runs, without the other commands."""

from __future__ import annotations

import argparse
import sys

from gpu_tui.cli.commands import measure
from gpu_tui.config import Settings
from gpu_tui.errors import GpuTuiError
from gpu_tui.wiring import Options


def main() -> int:
    parser = argparse.ArgumentParser()
    measure.configure(parser)
    try:
        return measure.run(parser.parse_args(namespace=argparse.Namespace(options=Options())), Settings())
    except GpuTuiError as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
