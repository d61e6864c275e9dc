"""``python -m gpu_tui``."""

from gpu_tui.cli.main import entry

if __name__ == "__main__":
    entry()
