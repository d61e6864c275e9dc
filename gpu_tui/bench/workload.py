"""What is sent: prompts that follow from a seed and differ per request, and a clip of speech."""

from __future__ import annotations

import io
import random
import wave
from dataclasses import dataclass
from importlib.resources import files

_TEXT = (
    "river stone lantern winter copper garden signal quiet orange bridge paper thunder harbor velvet candle meadow "
    "engine pillow silver forest ladder window marble basket anchor feather kettle island mirror pepper saddle "
    "tunnel violin walnut zipper almond blanket cactus desert ember falcon glacier hammer ivory jacket kernel lemon "
    "magnet needle olive pencil quartz ribbon shadow timber umbrella valley wagon yellow acorn barrel cherry dolphin "
    "eagle fabric ginger hollow insect jungle kitten ledger mango nectar oyster parrot quiver rocket sailor temple"
)
_WORDS = _TEXT.split()
_ASK = "Write a long story in which each of these words occurs, in this order. Do not stop early."


def prompt(seed: int, index: int, words: int) -> str:
    """The prompt of request `index`: `words` random words, then what to do with them.

    The random part comes first, so that no two requests share a prefix and a server's prefix cache cannot flatter
    the time to first token.
    """
    source = random.Random(f"{seed}:{index}")  # noqa: S311 - variety, no secret
    return f"{' '.join(source.choices(_WORDS, k=words))}\n\n{_ASK}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A sound to be transcribed."""

    name: str
    wav: bytes
    audio_s: float
    """Its length in seconds, from its header."""


def load_clip(name: str = "command.wav") -> Clip:
    """A shipped clip: 16 kHz, mono, 16 bit."""
    wav = files("gpu_tui.bench").joinpath("data", name).read_bytes()
    with wave.open(io.BytesIO(wav)) as reader:
        return Clip(name=name, wav=wav, audio_s=reader.getnframes() / reader.getframerate())
