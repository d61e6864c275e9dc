"""Alerts in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpu_tui.core.alert_rules import Rule, When
from gpu_tui.core.alerts import Alert, Phase
from gpu_tui.view.alerts import alert_row, count_words, newest_line, rule_words
from gpu_tui.view.spans import plain, width

RULE = Rule(name="full", when=When.MEMORY_ABOVE, service="ollama", above=11000, clear=10500, for_s=10, latch=True)
ALERT = Alert(rule=RULE, gpu="GPU-0", gpu_index=0, phase=Phase.RAISED, words="ollama holds 11200 MiB", raised_s=1.0)


def test_the_count() -> None:
    seen = replace(ALERT, acknowledged=True)
    assert count_words([]) == ""
    assert count_words([ALERT]) == "! 1 ALERT (A)"
    assert count_words([ALERT, ALERT, seen]) == "! 2 ALERTS (A)"
    assert count_words([seen]) == "1 alert seen (A)"


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_line_fits_and_tells_the_newest(columns: int) -> None:
    line = newest_line([ALERT, replace(ALERT, rule=replace(RULE, name="other"))], columns)
    assert width(line) <= columns
    assert plain(line).startswith(" ! --:--:-- full: ")
    assert columns < 80 or "+1 more" in plain(line)
    assert newest_line([replace(ALERT, acknowledged=True)], columns) == []


def test_what_others_wrote_stays_visible_text() -> None:
    hostile = replace(ALERT, words="\x1b[31mred\nnew line " + "x" * 5000)
    for line in (newest_line([hostile], 80), alert_row(hostile)):
        assert plain(line).isprintable()
        assert len(plain(line)) < 400


def test_a_row_says_whether_it_stands_and_was_seen() -> None:
    assert plain(alert_row(ALERT)).startswith("! new  stands ")
    assert plain(alert_row(replace(ALERT, phase=Phase.LATCHED))).startswith("! new  over ")
    assert plain(alert_row(replace(ALERT, acknowledged=True))).startswith("✓ seen stands ")


def test_a_rule_in_words() -> None:
    told = "full: memory of ollama above 11000 MiB, over at 10500 MiB for 10 s until acknowledged"
    assert plain(rule_words(RULE)) == told
