from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_tui.bench.plan import MeasurePlan
from gpu_tui.bench.shapes import WhisperSize
from gpu_tui.bench.sizes import local_size, size_of
from gpu_tui.bench.whisper_folder import look
from gpu_tui.errors import EndpointError
from tests.bench.whispers import folder, model_bin


def told(path: Path) -> str:
    with pytest.raises(EndpointError) as caught:
        look(path)
    assert caught.value.remedy
    return caught.value.message


def test_the_weights_tell_the_size(tmp_path: Path) -> None:
    assert look(folder(tmp_path / "a")).size == "tiny.en"
    assert look(folder(tmp_path / "b", width=1280, layers=32, vocabulary=51866)).size == "large-v3"
    assert look(folder(tmp_path / "c", width=640)).size is None


def test_what_is_no_model_is_told(tmp_path: Path) -> None:
    assert told(tmp_path / "absent").endswith("absent does not exist.")
    (tmp_path / "file").touch()
    assert told(tmp_path / "file").endswith("file is not a folder.")
    assert told(tmp_path).endswith("is no Whisper model for CTranslate2: it has no model.bin.")
    mine = folder(tmp_path / "mine", spec="TransformerSpec")
    assert told(mine).endswith("its model.bin is another's.")
    (folder(mine) / "tokenizer.json").unlink()
    assert told(mine).endswith("it has no tokenizer.json."), "faster-whisper would download one"


def test_a_name_that_a_terminal_would_obey_is_made_safe(tmp_path: Path) -> None:
    assert "\x1b" not in told(tmp_path / "\x1b[31mred")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, len(model_bin())), noise=st.binary(max_size=60))
def test_a_file_of_any_content_is_a_model_or_none(tmp_path: Path, cut: int, noise: bytes) -> None:
    mine = folder(tmp_path / "mine")
    (mine / "model.bin").write_bytes(model_bin()[:cut] + noise)
    if cut < 6 + len("WhisperSpec") + 1:  # with its closing zero
        with suppress(EndpointError):  # noise may make the head whole
            assert look(mine).size is None
    else:
        assert look(mine).size in (None, "tiny.en")


TINY = MeasurePlan(stt_size="tiny", stt_size_origin="--stt-size")
NONE = MeasurePlan()


@pytest.mark.parametrize(
    ("plan", "model", "where", "wanted"),
    [
        (NONE, "whisper-base", "x/v1/models", WhisperSize(name="base", origin="measured", source="x/v1/models")),
        (NONE, "whisper-base", None, WhisperSize(name="base", origin="assumed", source="the model's name")),
        (NONE, "whisper-1", "x/v1/models", None),
        (NONE, None, None, None),
        (TINY, "whisper-1", "x/v1/models", WhisperSize(name="tiny", origin="assumed", source="--stt-size")),
        (TINY, "whisper-base", None, WhisperSize(name="tiny", origin="assumed", source="--stt-size")),
        (TINY, "whisper-tiny.en", "x", WhisperSize(name="tiny.en", origin="measured", source="x")),
    ],
)
def test_who_says_which_size_it_is(
    plan: MeasurePlan, model: str | None, where: str | None, wanted: WhisperSize | None
) -> None:
    assert size_of(plan, model, where) == (wanted, ())


def test_what_is_told_outranks_a_label_that_says_otherwise() -> None:
    size, notes = size_of(TINY, "whisper-base", "x/v1/models")
    assert size == WhisperSize(name="base", origin="measured", source="x/v1/models")
    assert notes == ("STT is whisper base (x/v1/models), not tiny (--stt-size).",)
    size, notes = local_size(TINY, "/models/whisper-small", "base")
    assert size is not None
    assert (size.name, size.origin, len(notes)) == ("base", "derived", 1)


def test_the_size_of_a_local_model_of_no_known_shape() -> None:
    assert local_size(TINY, "/models/whisper-small", None) == (
        WhisperSize(name="tiny", origin="assumed", source="--stt-size"),
        (),
    )
    by_name, _ = local_size(NONE, "/models/whisper-small", None)
    assert by_name == WhisperSize(name="small", origin="assumed", source="the folder's name")
    assert local_size(NONE, "/models/mine", None) == (None, ())
