"""Several pictures of one terminal as one SVG that moves: CSS alone, no script, nothing fetched.

Whatever is the same in several frames is drawn once, and shown while those frames are. Where motion is not wanted
(`prefers-reduced-motion`) or not understood, one frame stands still.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate, groupby
from xml.etree import ElementTree

_NAMESPACE = "{http://www.w3.org/2000/svg}"
_FONT = 'text{font-family:"DejaVu Sans Mono",monospace;font-size:20px}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One picture, as Textual exports it, and how long it stands."""

    svg: str
    seconds: float
    words: str
    """What it shows, for those who do not see it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Something that is drawn. Two frames that draw the same have equal ones."""

    layer: int
    """0 lies lowest."""
    moved: str
    """Its ``transform``."""
    kind: str
    style: str
    """CSS declarations."""
    attributes: tuple[tuple[str, str], ...]
    text: str = ""


def animate(frames: Sequence[Frame], *, title: str, still: int) -> str:
    """The frames as one SVG, shown in their order again and again.

    Args:
        frames: at least one; all of one size.
        title: what the whole is.
        still: number of the frame that stands where nothing moves, from 0.

    Raises:
        ValueError: no frames, of different sizes, or one without time; no such `still`.
    """
    if any(frame.seconds <= 0 for frame in frames) or not 0 <= still < len(frames):
        raise ValueError("Every frame needs its time, and one of them has to stand still.")
    roots = [ElementTree.fromstring(frame.svg) for frame in frames]
    (box,) = {root.attrib["viewBox"] for root in roots}
    seen: dict[_Piece, list[int]] = {}
    for number, root in enumerate(roots):
        for piece in dict.fromkeys(_joined(_pieces(root))):
            seen.setdefault(piece, []).append(number)
    shown = {piece: tuple(numbers) for piece, numbers in seen.items()}
    always = tuple(range(len(frames)))
    sets = {numbers: f"f{i}" for i, numbers in enumerate(sorted(set(shown.values()) - {always}))}
    styles = {style: f"s{i}" for i, style in enumerate(dict.fromkeys(piece.style for piece in shown if piece.style))}
    begins = list(accumulate((frame.seconds for frame in frames), initial=0.0))
    told = [f"{begin:g} s: {frame.words}" for begin, frame in zip(begins, frames, strict=False)]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(chr(10).join(told), quote=False)}</desc>",
        "<style>",
        _FONT,
        *(f".{name}{{{style}}}" for style, name in styles.items()),
        *_timing(sets, begins, still),
        "</style>",
        *_drawn(shown, styles, sets),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _pieces(root: ElementTree.Element) -> Iterator[_Piece]:
    """All that a picture draws, its classes replaced by what they mean."""
    css = "".join(style.text or "" for style in root.iter(f"{_NAMESPACE}style"))
    rules = {
        name: ";".join(re.split(r"\s*;\s*", body.strip())) for name, body in re.findall(r"\.([\w-]+)\s*{([^}]*)}", css)
    }

    def under(parent: ElementTree.Element, moved: str, layer: int) -> Iterator[_Piece]:
        for element in parent:
            kind = element.tag.removeprefix(_NAMESPACE)
            if kind == "g":
                inner = element.get("transform")
                yield from under(element, inner or moved, 2 if inner else layer)
            text = (element.text or "").rstrip("\n") if kind == "text" else ""
            if kind in ("rect", "circle") or text.strip():
                yield _Piece(
                    layer=layer + (kind == "text"),
                    moved=moved,
                    kind=kind,
                    style=rules.get(element.get("class", ""), ""),
                    attributes=tuple((k, v) for k, v in element.items() if k not in ("class", "clip-path")),
                    text=text,
                )

    return under(root, "", 0)


def _joined(pieces: Iterator[_Piece]) -> Iterator[_Piece]:
    """Grounds of one colour that lie side by side as one."""
    last: _Piece | None = None
    for piece in pieces:
        one, other = dict(last.attributes) if last is not None else {}, dict(piece.attributes)
        if last is not None and piece.kind == last.kind == "rect" and _beside(one, other):
            width = float(one["width"]) + float(other["width"])
            last = _Piece(
                layer=last.layer,
                moved=last.moved,
                kind="rect",
                style=last.style,
                attributes=tuple({**one, "width": f"{width:.1f}"}.items()),
            )
            continue
        if last is not None:
            yield last
        last = piece
    if last is not None:
        yield last


def _beside(one: dict[str, str], other: dict[str, str]) -> bool:
    same = all(one.get(name) == other.get(name) for name in ("fill", "y", "height", "stroke"))
    return same and abs(float(one["x"]) + float(one["width"]) - float(other["x"])) < 0.05


def _timing(sets: dict[tuple[int, ...], str], begins: Sequence[float], still: int) -> Iterator[str]:
    """What hides and shows each set of frames. `begins` ends with the time when all is over."""
    whole = begins[-1]
    for numbers, name in sets.items():
        if still not in numbers:
            yield f".{name}{{visibility:hidden}}"
    yield "@media (prefers-reduced-motion:no-preference){"
    for numbers, name in sets.items():
        steps, before = [], None
        for number, begin in enumerate(begins[:-1]):
            word = "visible" if number in numbers else "hidden"
            if word != before:
                steps.append(f"{100 * begin / whole:.6g}%{{visibility:{word}}}")
            before = word
        yield f"@keyframes {name}{{{''.join(steps)}}}"
        yield f".{name}{{animation:{name} {whole:g}s step-end infinite}}"
    yield "}"


def _drawn(
    shown: dict[_Piece, tuple[int, ...]], styles: dict[str, str], sets: dict[tuple[int, ...], str]
) -> Iterator[str]:
    def key(piece: _Piece) -> tuple[int, str, str]:
        return piece.layer, piece.moved, sets.get(shown[piece], "")

    for (_, moved, name), group in groupby(sorted(shown, key=key), key):
        pieces = [_element(piece, styles) for piece in group]
        said = "".join(f' {word}="{value}"' for word, value in (("class", name), ("transform", moved)) if value)
        yield f"<g{said}>" if said else "<g>"
        yield from pieces
        yield "</g>"


def _element(piece: _Piece, styles: dict[str, str]) -> str:
    named = (("class", styles[piece.style]),) if piece.style else ()
    said = "".join(f' {name}="{escape(value)}"' for name, value in (*named, *piece.attributes))
    if piece.kind != "text":
        return f"<{piece.kind}{said}/>"
    return f"<text{said}>{escape(piece.text, quote=False).replace(chr(160), '&#160;')}</text>"
