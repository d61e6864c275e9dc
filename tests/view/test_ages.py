"""How old a figure is, as people say it."""

import pytest

from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.view.explain import age_words


@pytest.mark.parametrize(
    ("age_s", "told"),
    [
        (None, ""),
        (0.4, "just now"),
        (12, "12 s ago"),
        (119, "119 s ago"),
        (120, "2 min ago"),
        (7199, "120 min ago"),
        (7200, "2 h ago"),
        (3 * 86400, "3 d ago"),
    ],
)
def test_ages(age_s: float | None, told: str) -> None:
    assert age_words(Origin(kind=OriginKind.MEASURED, source="log", age_s=age_s)) == told
