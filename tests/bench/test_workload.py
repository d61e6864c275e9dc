from __future__ import annotations

import io
import os
import re
import wave
from pathlib import Path

import pytest

from gpu_tui.bench.plan import CLIPS, MeasurePlan
from gpu_tui.bench.prompts import Prompts
from gpu_tui.bench.workload import PromptSize, fitted, load_clip, load_wav, read_prompts
from gpu_tui.errors import UsageError


def sound(channels: int = 1, width: int = 2, rate: int = 8000, frames: int = 4000) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(b"\1" * (channels * width * frames))
    return out.getvalue()


@pytest.mark.parametrize(("name", "seconds"), zip(CLIPS, (1, 5, 15), strict=True))
def test_the_shipped_clips_are_what_they_say(name: str, seconds: int) -> None:
    clip = load_clip(name)
    with wave.open(io.BytesIO(clip.wav)) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (16000, 1, 2)
        assert any(wav.readframes(wav.getnframes()))
    assert clip.audio_s == seconds


@pytest.mark.parametrize("channels", [1, 2])
def test_a_users_own_wav(tmp_path: Path, channels: int) -> None:
    file = tmp_path / "mine.wav"
    file.write_bytes(sound(channels, rate=44100, frames=22050))
    clip = load_wav(file)
    assert (clip.name, clip.audio_s, clip.wav) == ("mine.wav", 0.5, file.read_bytes())


def test_a_wav_that_ends_early_is_as_long_as_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "cut.wav"
    file.write_bytes(sound(frames=4000)[: 44 + 4000])
    assert load_wav(file).audio_s == 0.25


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "it ends early"),
        (b"ID3\3 this is an mp3", "not a PCM WAV"),
        (sound()[:30], "not a PCM WAV"),
        (sound(width=1), "8 bit"),
        (sound(width=3), "24 bit"),
        (sound(channels=6), "6 channels"),
        (sound(frames=0), "no sound"),
        (sound()[:20] + b"\3\0" + sound()[22:], "not a PCM WAV"),
    ],
)
def test_another_wav_is_refused_with_what_was_found(tmp_path: Path, data: bytes, told: str) -> None:
    file = tmp_path / "x.wav"
    file.write_bytes(data)
    with pytest.raises(UsageError, match=told) as caught:
        load_wav(file)
    assert "ffmpeg" in caught.value.remedy


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, told in (
        (tmp_path / "none", "does not exist"),
        (tmp_path, "not a file"),
        (tmp_path / "pipe", "not a file"),
    ):
        with pytest.raises(UsageError, match=told):
            load_wav(path)
        with pytest.raises(UsageError, match=told):
            read_prompts(path)


def test_prompts_one_a_line_or_as_json(tmp_path: Path) -> None:
    file = tmp_path / "prompts"
    file.write_text('\ufeffWhat is it?\n\n  {"prompt": "two\\nlines", "id": 7}\r\nÜber uns\n')
    assert read_prompts(file) == ("What is it?", "two\nlines", "Über uns")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\n \n", "has no prompt"),
        (b"ok\n{nonsense}\n", "line 2 is not JSON"),
        (b'{"text": "x"}\n', 'line 1 has no "prompt"'),
        (b'{"prompt": 3}\n', 'line 1 has no "prompt"'),
        (b"a\xff\n", "not UTF-8"),
        (b"x" * 600_000, "larger than 512 KiB"),
    ],
)
def test_a_bad_file_of_prompts_is_named(tmp_path: Path, data: bytes, told: str) -> None:
    file = tmp_path / "prompts"
    file.write_bytes(data)
    with pytest.raises(UsageError, match=told):
        read_prompts(file)


def test_the_length_of_prompts_is_found_from_the_servers_counts() -> None:
    # A tokenizer of 1.5 tokens a word, and 40 tokens around them.
    prompts = Prompts(MeasurePlan(prompt_tokens=340))
    for index in (0, 1):
        words = len(prompts.warmup(index).split())
        prompts.learn(index, round(1.5 * words + 10))
    assert prompts.calibrated
    asked = len(prompts.measured(0).split())
    assert 1.5 * asked + 10 == pytest.approx(340, abs=2)
    assert PromptSize().words_for(1) == 1


def test_two_runs_send_the_same_words_and_no_common_beginning() -> None:
    runs = Prompts(MeasurePlan()), Prompts(MeasurePlan())
    for index in range(20):
        for first, second in (
            [run.measured(index) for run in runs],
            [run.turn(index, "Hello.") for run in runs],
            [run.warmup(index) for run in runs],
        ):
            assert sorted(re.findall(r"\w+", first)) == sorted(re.findall(r"\w+", second)), "equal load"
            assert first.split()[:8] != second.split()[:8], "or a prefix cache answers"


@pytest.mark.parametrize("sizes", [[], [(10, 30)], [(10, 30), (10, 31)], [(10, 30), (20, 20)]])
def test_counts_that_tell_nothing_are_not_used(sizes: list[tuple[int, int]]) -> None:
    assert fitted(sizes) is None


def test_a_users_prompts_go_round_and_are_no_warm_ups() -> None:
    prompts = Prompts(MeasurePlan(prompts=("a", "b")))
    assert [prompts.measured(index) for index in range(3)] == ["a", "b", "a"]
    assert prompts.warmup(0) not in ("a", "b")
    assert prompts.turn(1, "hello") != prompts.turn(2, "hello")


@pytest.mark.parametrize(
    "load",
    [
        {"rate": 0.0},
        {"rate": 1e9},
        {"duration_s": 0.0},
        {"duration_s": float("nan")},
        {"prompt_tokens": 0},
        {"output_tokens": 200_000},
        {"clip": "long"},
    ],
)
def test_a_load_out_of_bounds_is_refused(load: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        MeasurePlan(**load)  # type: ignore[arg-type]


def test_warm_ups_are_at_least_one_a_connection() -> None:
    assert MeasurePlan(warmup=2, concurrency=8).warmups == 8
    assert MeasurePlan(warmup=9, concurrency=8).warmups == 9
    assert MeasurePlan(warmup=0, concurrency=8).warmups == 0
    assert MeasurePlan(warmup=1, prompt_tokens=100).warmups == 2
