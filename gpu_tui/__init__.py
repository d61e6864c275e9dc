"""gpu-tui: choose vLLM's ``--gpu-memory-utilization`` on a shared GPU without breaking production.

Importing the package loads nothing else: `Evaluator` is resolved on first use, and never brings Textual with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu_tui.wiring import Evaluator as Evaluator

__all__ = ["Evaluator", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Evaluator":
        from gpu_tui.wiring import Evaluator

        return Evaluator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
