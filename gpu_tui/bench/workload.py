"""What is sent: prompts that follow from a seed and differ per request, or a user's own; and a clip of speech."""

from __future__ import annotations

import io
import random
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from gpu_tui.bench.plan import DEFAULT_CLIP
from gpu_tui.errors import UsageError

MAX_WAV_BYTES = 25 * 1024 * 1024
"""OpenAI's own limit of a transcription; servers refuse more."""
MAX_PROMPTS_BYTES = 512 * 1024
"""Of a file of prompts: they all cross to the measuring process in one line."""
_WAV_REMEDY = "Convert it: ffmpeg -i IN -ar 16000 -ac 1 -c:a pcm_s16le OUT.wav"
_PROMPTS_REMEDY = 'Write one prompt a line, or a JSON object with "prompt" a line.'

_TEXT = (
    "river stone lantern winter copper garden signal quiet orange bridge paper thunder harbor velvet candle meadow "
    "engine pillow silver forest ladder window marble basket anchor feather kettle island mirror pepper saddle "
    "tunnel violin walnut zipper almond blanket cactus desert ember falcon glacier hammer ivory jacket kernel lemon "
    "magnet needle olive pencil quartz ribbon shadow timber umbrella valley wagon yellow acorn barrel cherry dolphin "
    "eagle fabric ginger hollow insect jungle kitten ledger mango nectar oyster parrot quiver rocket sailor temple"
)
_WORDS = _TEXT.split()
_ASK = "Write a long story in which each of these words occurs, in this order. Do not stop early."


def prompt(seed: int, index: int, words: int, run: str = "") -> str:
    """The prompt of request `index`: `words` random words, then what to do with them.

    The random part comes first, so that no two requests share a prefix and a server's prefix cache cannot flatter
    the time to first token.
    """
    return f"{noise(seed, index, words, run)}\n\n{_ASK}"


def noise(seed: int, index: int, words: int, run: str = "") -> str:
    """`words` random words that follow from seed and index, in an order that follows from `run` too.

    A server remembers the prompts of the run before. The same words cost it the same; another order, no prefix of it.
    """
    chosen = random.Random(f"{seed}:{index}").choices(_WORDS, k=words)  # noqa: S311 - variety, no secret
    random.Random(f"{run}:{index}").shuffle(chosen)  # noqa: S311 - likewise
    return " ".join(chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSize:
    """How many words make a prompt of so many tokens, on this server's tokenizer and template: a straight line."""

    tokens_per_word: float = 1.3
    """Until the server has told: these words are one or two tokens each."""
    overhead_tokens: float = 30.0
    """The closing sentence and the chat template."""

    def words_for(self, tokens: int) -> int:
        """Words of a prompt of about `tokens`; at least 1."""
        return max(1, round((tokens - self.overhead_tokens) / self.tokens_per_word))


def fitted(sizes: Sequence[tuple[int, int]]) -> PromptSize | None:
    """The line through the prompts sent so far, (words, tokens) each, by least squares; None when they give none.

    They must differ in length: with one length alone, words and template cannot be told apart.
    """
    if len({words for words, _ in sizes}) < 2:
        return None
    mean_words = sum(words for words, _ in sizes) / len(sizes)
    mean_tokens = sum(tokens for _, tokens in sizes) / len(sizes)
    spread = sum((words - mean_words) ** 2 for words, _ in sizes)
    slope = sum((words - mean_words) * (tokens - mean_tokens) for words, tokens in sizes) / spread
    if slope <= 0:
        return None
    return PromptSize(tokens_per_word=slope, overhead_tokens=mean_tokens - slope * mean_words)


def read_prompts(path: Path) -> tuple[str, ...]:
    """A user's own prompts: one a line, or a JSON object with ``prompt`` a line; empty lines are left out.

    Raises:
        UsageError: the file cannot be read, is too large, is not text, or has no prompt; names the line.
    """
    data = _read_file(path, "--prompts", MAX_PROMPTS_BYTES)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"--prompts: {path} is not UTF-8 (byte {error.start}).", "Save it as UTF-8.") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]
    prompts = tuple(_one_prompt(line, f"{path}, line {number}") for number, line in lines if line)
    if not prompts:
        raise UsageError(f"--prompts: {path} has no prompt.", _PROMPTS_REMEDY)
    return prompts


def _one_prompt(line: str, where: str) -> str:
    if not line.startswith("{"):
        return line
    import msgspec  # a run loads it anyway; a help page does not

    try:
        value = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise UsageError(f"--prompts: {where} is not JSON: {error}.", _PROMPTS_REMEDY) from None
    found = value.get("prompt") if isinstance(value, dict) else None
    if not isinstance(found, str) or not found.strip():
        raise UsageError(f'--prompts: {where} has no "prompt" with text.', _PROMPTS_REMEDY)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A sound to be transcribed."""

    name: str
    """The file's name, without its folder."""
    wav: bytes
    audio_s: float
    """Its length in seconds, from its header."""


def load_clip(name: str = DEFAULT_CLIP) -> Clip:
    """A shipped clip, one of `gpu_tui.bench.plan.CLIPS`: 16 kHz, mono, 16 bit."""
    file = f"{name}.wav"
    return _clip(file, files("gpu_tui.bench").joinpath("data", file).read_bytes())


def load_wav(path: Path) -> Clip:
    """A user's own WAV: PCM of 16 bit, mono or stereo, at any rate; sent as it is.

    Raises:
        UsageError: it cannot be read, or is something else; says what was found.
    """
    return _clip(path.name, _read_file(path, "--wav", MAX_WAV_BYTES))


def _clip(name: str, wav: bytes) -> Clip:
    try:
        with wave.open(io.BytesIO(wav)) as reader:
            channels, bits = reader.getnchannels(), 8 * reader.getsampwidth()
            rate, frames = reader.getframerate(), len(reader.readframes(reader.getnframes()))
    except (wave.Error, EOFError) as error:
        raise UsageError(
            f"--wav: {name} is not a PCM WAV file ({str(error) or 'it ends early'}).", _WAV_REMEDY
        ) from None
    if bits != 16 or channels not in (1, 2):
        raise UsageError(f"--wav: {name} has {channels} channels of {bits} bit, not 1 or 2 of 16.", _WAV_REMEDY)
    # What the header promises and the file does not hold is no audio: RTF would divide by it.
    audio_s = frames / (rate * channels * 2) if rate else 0.0
    if audio_s <= 0:
        raise UsageError(f"--wav: {name} holds no sound.", _WAV_REMEDY)
    return Clip(name=name, wav=wav, audio_s=audio_s)


def _read_file(path: Path, flag: str, limit: int) -> bytes:
    try:
        if not path.is_file():
            what = "is not a file" if path.exists() else "does not exist"
            raise UsageError(f"{flag}: {path} {what}.", f"Check {flag}.")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"{flag}: {path} cannot be read: {error.strerror}.", f"Check {flag}.") from None
    if len(data) > limit:
        raise UsageError(f"{flag}: {path} is larger than {limit // 1024} KiB.", "Give a smaller one.")
    return data
