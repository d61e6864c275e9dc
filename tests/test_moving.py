"""The picture that moves: at every instant it shows one frame's own drawing and no other; README's is the story's."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.telemetry.scenario import load_scenario, snapshot_at
from tests.moving import Frame, animate
from tests.story import SCENARIO, SCENES, TITLE

ROOT = Path(__file__).parents[1]
COMMITTED = ROOT / "screenshots" / f"{SCENARIO}-story.svg"
SVG = "{http://www.w3.org/2000/svg}"
HEAD = (
    '<svg viewBox="0 0 40 40" xmlns="http://www.w3.org/2000/svg"><style>.a-r1 { fill: #fff;font-weight: bold }</style>'
)


def picture(words: list[str]) -> str:
    """A terminal of some rows, as Textual would draw it."""
    rows = "".join(
        f'<text class="a-r1" x="0" y="{20 * i}" clip-path="url(#l{i})">{word}</text>' for i, word in enumerate(words)
    )
    return f'{HEAD}<rect fill="#111" x="1" y="1" width="9" height="9"/><g transform="translate(9, 41)">{rows}</g></svg>'


def shown_at(svg: str, second: float | None) -> list[tuple[float, str]]:
    """The rows that can be seen at a second: what a browser makes of its CSS. None: where nothing moves."""
    root = ElementTree.fromstring(svg)
    css = root.findtext(f"{SVG}style") or ""
    still, _, moving = css.partition("@media")
    hidden = set(re.findall(r"\.(f\d+)\{visibility:hidden\}", still))
    if second is not None:
        hidden = set()
        for name, whole in re.findall(r"\.(f\d+)\{animation:f\d+ ([\d.]+)s step-end infinite\}", moving):
            (body,) = re.findall(rf"@keyframes {name}\{{((?:[\d.]+%\{{visibility:\w+\}})+)\}}", moving)
            steps = [(float(at), word) for at, word in re.findall(r"([\d.]+)%\{visibility:(\w+)\}", body)]
            assert [at for at, _ in steps] == sorted({at for at, _ in steps})
            share = 100 * (second % float(whole)) / float(whole)
            if [word for at, word in steps if at <= share][-1] == "hidden":
                hidden.add(name)
    texts = [
        text
        for group in root.findall(f"{SVG}g")
        if group.get("class") not in hidden
        for text in group.iter(f"{SVG}text")
    ]
    texts.sort(key=lambda text: (float(text.get("y", "0")), float(text.get("x", "0"))))
    return [(float(text.get("y", "0")), text.text or "") for text in texts]


def words_at(svg: str, second: float | None) -> str:
    """The same as one text, its blanks as one."""
    return " ".join(" ".join(text for _, text in shown_at(svg, second)).split())


FRAMES = st.lists(
    st.tuples(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.integers(1, 7)), min_size=1, max_size=9
)


@given(FRAMES, st.data())
def test_every_instant_shows_its_frame_alone(made: list[tuple[list[str], int]], data: st.DataObject) -> None:
    still = data.draw(st.integers(0, len(made) - 1))
    frames = [Frame(svg=picture(words), seconds=seconds, words="w") for words, seconds in made]
    svg = animate(frames, title="t", still=still)
    begin = 0
    for words, seconds in made:
        rows = [(20.0 * i, word) for i, word in enumerate(words)]
        for second in (begin + 0.25, begin + seconds - 0.25):
            assert shown_at(svg, second) == rows
        begin += seconds
    assert shown_at(svg, None) == [(20.0 * i, word) for i, word in enumerate(made[still][0])]


def test_what_stays_is_drawn_once_and_grounds_of_one_colour_are_one() -> None:
    ground = (
        '<rect fill="#222" x="0" y="0" width="4" height="9"/><rect fill="#222" x="4" y="0" width="3.5" height="9"/>'
    )
    frames = [
        Frame(svg=picture([word]).replace("<text", ground + "<text", 1), seconds=1, words=word) for word in ("a", "b")
    ]
    svg = animate(frames, title="t", still=0)
    assert svg.count("<rect") == 2
    assert 'width="7.5"' in svg


@pytest.mark.parametrize(("seconds", "still"), [(0.0, 0), (1.0, 1), (1.0, -1)])
def test_a_frame_without_time_and_one_that_is_not_there_are_refused(seconds: float, still: int) -> None:
    with pytest.raises(ValueError, match="needs its time"):
        animate([Frame(svg=picture(["a"]), seconds=seconds, words="w")], title="t", still=still)


def test_words_are_text() -> None:
    frame = Frame(svg=picture(["&lt;b&gt; &amp; &#160;c"]), seconds=1, words="<b> & co")
    root = ElementTree.fromstring(animate([frame], title="<t>", still=0))
    assert root.findtext(f"{SVG}title") == "<t>"
    assert root.findtext(f"{SVG}desc") == "0 s: <b> & co"
    assert [text.text for text in root.iter(f"{SVG}text")] == ["<b> & \u00a0c"]


@pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="only the source tree has it beside the tests")
def test_the_committed_picture_is_of_these_scenes_in_their_order() -> None:
    svg = COMMITTED.read_text(encoding="utf-8")
    root = ElementTree.fromstring(svg)
    scenario = load_scenario(SCENARIO)
    begins = [sum(scene.seconds for scene in SCENES[:number]) for number in range(len(SCENES))]
    told = [scene.words or snapshot_at(scenario, scene.at_s).caption for scene in SCENES]
    assert [scene.at_s for scene in SCENES] == sorted({scene.at_s for scene in SCENES})
    assert root.findtext(f"{SVG}title") == TITLE
    assert root.findtext(f"{SVG}desc") == "\n".join(
        f"{at:g} s: {words}" for at, words in zip(begins, told, strict=True)
    )
    for number, (begin, scene) in enumerate(zip(begins, SCENES, strict=True), start=1):
        for words in (f"simulated, {number}/{len(SCENES)}", "SIMULATED deploy", scene.shows):
            assert words in words_at(svg, begin + 0.5)
    assert [scene.shows for scene in SCENES if scene.still] == ["INVALID, WILL NOT START"]
    assert "INVALID, WILL NOT START" in words_at(svg, None)


@pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="only the source tree has it beside the tests")
def test_the_committed_picture_fetches_runs_and_names_nothing() -> None:
    svg = COMMITTED.read_text(encoding="utf-8")
    assert len(svg.encode()) < 1_000_000
    assert not re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", svg)
    assert svg.count("http") == 1  # its namespace
    for word in (
        "<script",
        "<image",
        "<foreignObject",
        "@import",
        "@font-face",
        "url(",
        "href",
        "/home",
        "/work",
        "/tmp",
    ):
        assert word not in svg, word
    assert not re.findall(r"<[^>]* on\w+=", svg)
