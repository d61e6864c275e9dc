"""Which size of Whisper was measured, and who says so: the server, the weights, or only a label."""

from __future__ import annotations

from gpu_tui.bench.plan import MeasurePlan
from gpu_tui.bench.shapes import WhisperSize
from gpu_tui.bench.untrusted import shown
from gpu_tui.core.whisper import size_in


def size_of(plan: MeasurePlan, model: str | None, where: str | None) -> tuple[WhisperSize | None, tuple[str, ...]]:
    """The size behind an endpoint, and what the user should know about it.

    Args:
        plan: its label, if it has one.
        model: the name that is sent.
        where: the page on which the server lists that name; None where it lists it nowhere.
    """
    named = size_in(model) if model else None
    if named is not None and where is not None:
        return against_label(plan, WhisperSize(name=named, origin="measured", source=where))
    if plan.stt_size is not None:
        return _label(plan), ()
    if named is not None:
        return WhisperSize(name=named, origin="assumed", source="the model's name"), ()
    return None, ()


def local_size(plan: MeasurePlan, folder: str, by_shape: str | None) -> tuple[WhisperSize | None, tuple[str, ...]]:
    """The size of a local model.

    Args:
        plan: its label, if it has one.
        folder: the model's.
        by_shape: as its weights tell.
    """
    if by_shape is not None:
        return against_label(plan, WhisperSize(name=by_shape, origin="derived", source="the shape of model.bin"))
    named = size_in(folder)
    if plan.stt_size is not None or named is None:
        return _label(plan), ()
    return WhisperSize(name=named, origin="assumed", source="the folder's name"), ()


def against_label(plan: MeasurePlan, told: WhisperSize) -> tuple[WhisperSize, tuple[str, ...]]:
    """What is told outranks the label; where they differ, that is told too."""
    label = plan.stt_size
    if label is None or _plain(label) == _plain(told.name):
        return told, ()
    return told, (f"STT is whisper {told.name} ({told.source}), not {shown(label, 40)} ({plan.stt_size_origin}).",)


def _label(plan: MeasurePlan) -> WhisperSize | None:
    if plan.stt_size is None:
        return None
    return WhisperSize(name=shown(plan.stt_size, 40), origin="assumed", source=plan.stt_size_origin)


def _plain(label: str) -> str:
    """``whisper-tiny.en`` and ``tiny`` are one size."""
    return (size_in(label) or label.lower()).removesuffix(".en")
