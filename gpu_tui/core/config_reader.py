"""Reading a `config.json` that anyone may have written: every value is checked, nothing raises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

MOST = 1 << 40
"""A count or size beyond this is not a model's; the key counts as not given."""
MOST_ITEMS = 4096
"""Of a list with one item a layer."""
TEXT_CONFIGS = (
    "text_config",
    "llm_config",
    "language_config",
    "language_model_config",
    "thinker_config",
    "llama_config",
)
"""Where a multimodal config keeps the language model's own settings (`get_text_config` of Transformers)."""


class ConfigReader:
    """Typed, bounded looks into one mapping. The first name that holds a usable value wins.

    `also` is asked where the mapping itself does not say: a multimodal config's outer part.
    """

    def __init__(self, values: Mapping[str, object], also: ConfigReader | None = None) -> None:
        self._values = values
        self._also = also
        self._integers: dict[str, tuple[int, ...]] = {}

    def raw(self, name: str) -> object:
        """The value as it stands, None where there is none."""
        value = self._values.get(name)
        return self._also.raw(name) if value is None and self._also is not None else value

    def given(self, name: str) -> bool:
        """Whether the key is there, be it null."""
        return name in self._values or (self._also is not None and self._also.given(name))

    def integer(self, *names: str, least: int = 1, most: int = MOST) -> int | None:
        """A whole number between `least` and `most`."""
        return next((n for name in names if (n := whole(self.raw(name), least, most)) is not None), None)

    def number(self, *names: str) -> float | None:
        """A finite number above zero."""
        for name in names:
            value = self.raw(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < MOST:
                return float(value)
        return None

    def flag(self, *names: str) -> bool | None:
        """True or false."""
        return next((v for name in names if isinstance(v := self.raw(name), bool)), None)

    def text(self, *names: str) -> str | None:
        """A text that is not empty."""
        return next((v for name in names if isinstance(v := self.raw(name), str) and v), None)

    def items(self, name: str, most: int = MOST_ITEMS) -> tuple[object, ...]:
        """A list's items, `most` of them; empty where it is none."""
        value = self.raw(name)
        return tuple(islice(value, most)) if isinstance(value, list | tuple) else ()

    def integers(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers; empty unless every item is one."""
        if name not in self._integers:
            # Asked for once a layer.
            found = [whole(item, 0, MOST) for item in self.items(name)]
            self._integers[name] = tuple(n for n in found if n is not None) if None not in found else ()
        return self._integers[name]

    def texts(self, name: str, most: int = MOST_ITEMS) -> tuple[str, ...]:
        """The texts among a list's first items."""
        return tuple(item for item in self.items(name, most) if isinstance(item, str))

    def table(self, *names: str) -> ConfigReader | None:
        """A nested mapping."""
        for name in names:
            value = self.raw(name)
            if isinstance(value, Mapping):
                return ConfigReader(value)
        return None

    def names(self) -> Iterator[str]:
        """The keys of this mapping that are texts."""
        return (key for key in self._values if isinstance(key, str))


def whole(value: object, least: int = 1, most: int = MOST) -> int | None:
    """`value` if it is a whole number between the two, else None."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most else None


def language_model(config: Mapping[str, object]) -> ConfigReader:
    """The part of a config that describes the language model; what it leaves out is looked up outside it."""
    outer = ConfigReader(config)
    inner: Mapping[str, object] = config
    for _ in range(4):
        nested = next((v for name in TEXT_CONFIGS if isinstance(v := inner.get(name), Mapping) and v), None)
        if nested is None:
            break
        inner = nested
    if inner is config:
        return outer
    # Transformers and vLLM let the outer config decide whether the head is the embedding.
    tie = config.get("tie_word_embeddings")
    inner = {**inner, "tie_word_embeddings": tie} if isinstance(tie, bool) else inner
    return ConfigReader(inner, _Shared(config))


_SHARED_KEYS = ("dtype", "torch_dtype", "tie_word_embeddings", "architectures", "quantization_config", "model_type")


class _Shared(ConfigReader):
    """The few keys of an outer config that speak for the language model too."""

    def __init__(self, values: Mapping[str, object]) -> None:
        super().__init__({name: values[name] for name in _SHARED_KEYS if name in values})


def at(items: Sequence[int], index: int) -> int | None:
    """`items[index]`, None where the list is too short."""
    return items[index] if 0 <= index < len(items) else None
