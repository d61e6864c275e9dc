"""What a headless question says of the model and its flags: `gpu-tui check --model … --serve "vllm serve …"`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gpu_tui.core.serve_args import is_server
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.vllm_version import accounting_of
from gpu_tui.errors import UsageError
from gpu_tui.view.text import mask_cmdline

if TYPE_CHECKING:
    from gpu_tui.core.model_facts import ModelFacts
    from gpu_tui.core.what_to_type_values import RunningServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """As typed; None: not given."""

    model: str | None = None
    """A name in the local cache, a folder or a GGUF file."""
    serve: str | None = None
    """A command line of `vllm serve`."""
    max_model_len: str | None = None
    version: str | None = None

    @property
    def empty(self) -> bool:
        """Nothing is said of any model."""
        return self == Question()


def asked_inputs(question: Question, find: Callable[[str], ModelFacts] | None = None) -> StartInputs | None:
    """The model and its flags; None where nothing is said.

    Args:
        question: as typed.
        find: reads a model's files; None: this machine's.

    Raises:
        UsageError: something of it means nothing.
        GpuTuiError: the model cannot be found or read.
    """
    if question.empty:
        return None
    # Imported at their first use, here and below: a check that asks of no model would pay for them in its start-up.
    from gpu_tui.core.serve_options import AUTO, options_of
    from gpu_tui.core.start_evidence import inputs_of_options

    argv = _serve(question.serve)
    inputs = inputs_of_options(options_of(argv))
    name = question.model or options_of(argv).model
    if question.max_model_len is not None:
        length = options_of(["vllm", "serve", "--max-model-len", question.max_model_len]).max_model_len
        if length is None:
            raise UsageError(
                f"--max-model-len {question.max_model_len!r} is no length.", "Give tokens, such as 8192 or 8k, or auto."
            )
        fits = length == AUTO
        inputs = replace(inputs, max_model_len=None if fits else length, fit_max_model_len=True if fits else None)
    if question.version is not None and _means_nothing(question.version):
        raise UsageError(f"--vllm-version {question.version!r} is no version.", "Give one such as 0.19.1.")
    facts = (find or _files)(name) if name is not None else None
    return replace(inputs, facts=facts, model=name, version=question.version)


def asked_server(question: Question, running: RunningServer | None) -> RunningServer | None:
    """The command line that what is to be typed is compared with: the one asked about, else the running server's.

    None where the question names a model and no command line, and another model runs.
    """
    from gpu_tui.core.serve_options import options_of
    from gpu_tui.core.what_to_type_values import RunningServer

    if question.serve is not None:
        argv = tuple(_serve(question.serve))
        return RunningServer(argv=argv, masked=mask_cmdline(argv))
    if question.model is None or running is None or options_of(running.argv).model == question.model:
        return running
    return None


def _serve(text: str | None) -> list[str]:
    if text is None:
        return []
    import shlex

    try:
        argv = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--serve cannot be split into words: {error}.", "Close every quote.") from None
    if not is_server(argv):
        raise UsageError(
            "--serve is no vLLM server.", 'Give a command line such as "vllm serve MODEL --max-model-len 8192".'
        )
    return argv


def _means_nothing(version: str) -> bool:
    rules = accounting_of(version)
    return rules.release is None and not rules.v0


def _files(name: str) -> ModelFacts:
    from gpu_tui.wiring.evidence import model_facts

    return model_facts(name)
