from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.bench.sse import SseDecoder, SseError

texts = st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), max_size=20), max_size=8)
ends = st.sampled_from(["\n", "\r\n", "\r"])


def fed(pieces: list[bytes]) -> list[str]:
    decoder = SseDecoder()
    got = [event for piece in pieces for event in decoder.feed(piece)]
    return got + decoder.finish()


@given(texts, ends, st.data())
def test_however_the_bytes_are_cut_the_events_are_the_same(texts: list[str], end: str, data: st.DataObject) -> None:
    stream = "".join(f": comment{end}data: {text}{end}data: more{end}{end}" for text in texts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    events = [f"{text}\nmore" for text in texts]
    assert fed(pieces) == events
    assert fed([stream[i : i + 1] for i in range(len(stream))]) == events


def test_an_event_is_given_as_soon_as_its_blank_line_is_there() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\n") == []
    assert decoder.pending
    assert decoder.feed(b"\n") == ["a"]
    assert not decoder.pending


def test_a_line_that_ends_in_a_carriage_return_waits_for_nothing() -> None:
    """Else the first token would bear the arrival of the second."""
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\r\r") == ["a"]
    assert not decoder.pending
    assert decoder.feed(b"\ndata: b\r") == []  # the LF belonged to the last CR
    assert decoder.feed(b"\n\r") == ["b"]
    assert decoder.feed(b"\n") == []


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b"data:a\n\ndata:  b\n\n", ["a", " b"]),
        (b": only a comment\n\n", []),
        (b"event: x\nid: 7\nretry: 10\ndata: a\n\n", ["a"]),
        (b"data\n\n", [""]),
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b"data: [DONE]", ["[DONE]"]),
        (b"data: a\r\n\r\ndata: b\r\r", ["a", "b"]),
        (b"\n\n\n", []),
        (b"", []),
    ],
)
def test_what_the_standard_says(stream: bytes, events: list[str]) -> None:
    assert fed([stream]) == events


@pytest.mark.parametrize("cut", [1, 1000])
def test_an_endless_line_ends(cut: int) -> None:
    decoder = SseDecoder(max_line=5000)

    def endless() -> None:
        for _ in range(10_000 // cut):
            decoder.feed(b"x" * cut)

    with pytest.raises(SseError) as caught:
        endless()
    assert caught.value.kind == "line_too_long"


def test_an_endless_event_ends() -> None:
    decoder = SseDecoder(max_event=5000)

    def endless() -> None:
        for _ in range(1000):
            decoder.feed(b"data: 0123456789\n")

    with pytest.raises(SseError) as caught:
        endless()
    assert caught.value.kind == "line_too_long"


def test_half_a_character_is_named() -> None:
    with pytest.raises(SseError) as caught:
        SseDecoder().feed(b"data: \xe2\x82\n\n")
    assert caught.value.kind == "bad_encoding"
