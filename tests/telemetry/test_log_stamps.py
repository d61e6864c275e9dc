"""When a log's lines were written: stamps without a year or a zone, read beside the process that wrote them."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.start_values import Phase, StartLog, StartPhase
from gpu_tui.telemetry.log_stamps import SLACK_S, phase_times, seconds_of

BERLIN = timezone(timedelta(hours=1))
NEW_YORK = timezone(timedelta(hours=-5))
KIRITIMATI = timezone(timedelta(hours=14))

BEGAN = datetime(2026, 11, 24, 10, 0, tzinfo=UTC).timestamp()
ORDER = (Phase.STARTING, Phase.LOADING, Phase.SERVING)


def log(*stamps: str | None) -> StartLog:
    phases = zip(ORDER, stamps, strict=False)
    return StartLog(phases=tuple(StartPhase(phase=phase, line_no=1, timestamp=stamp) for phase, stamp in phases))


def own(at: float, zone: tzinfo) -> str:
    """As vLLM prints it."""
    return datetime.fromtimestamp(at, zone).strftime("%m-%d %H:%M:%S")


def at(year: int, *rest: int, zone: tzinfo = UTC) -> float:
    return datetime(year, *rest, tzinfo=zone).timestamp()  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("stamp", "told"),
    [
        ("11-24 10:00:07", at(2026, 11, 24, 10, 0, 7)),
        ("2026-11-24 10:00:07", at(2026, 11, 24, 10, 0, 7)),
        ("2026-11-24T10:00:07Z", at(2026, 11, 24, 10, 0, 7)),
        ("2026-11-24T10:00:07.250000000Z", at(2026, 11, 24, 10, 0, 7) + 0.25),
        ("2026-11-24 10:00:07,250", at(2026, 11, 24, 10, 0, 7) + 0.25),
        ("2026-11-24T12:00:07.5+02:00", at(2026, 11, 24, 10, 0, 7) + 0.5),
        ("2026-11-24T12:00:07+0200", at(2026, 11, 24, 10, 0, 7)),
        ("Nov 24 10:00:07", at(2026, 11, 24, 10, 0, 7)),
        ("Nov  4 10:00:07", at(2026, 11, 4, 10, 0, 7)),
        ("Nov 24 10:00:07.125", at(2026, 11, 24, 10, 0, 7) + 0.125),
        ("  11-24 10:00:07 ", at(2026, 11, 24, 10, 0, 7)),
    ],
)
def test_every_form_of_a_stamp(stamp: str, told: float) -> None:
    assert seconds_of(stamp, BEGAN + 60, UTC) == pytest.approx(told, abs=1e-6)


def test_a_stamp_without_a_zone_is_in_the_one_that_is_asked_about_and_one_with_its_own_is_not() -> None:
    for stamp in ("11-24 10:00:07", "2026-11-24 10:00:07", "Nov 24 10:00:07"):
        assert seconds_of(stamp, BEGAN, NEW_YORK) == at(2026, 11, 24, 10, 0, 7, zone=NEW_YORK)
    assert seconds_of("2026-11-24T10:00:07Z", BEGAN, NEW_YORK) == at(2026, 11, 24, 10, 0, 7)


@pytest.mark.parametrize(
    "stamp",
    ["", "soon", "11-24", "13-24 10:00:00", "11-31 10:00:00", "11-24 25:00:00", "Nev 24 10:00:07", "2026-11-24T",
     "9999-99-99 00:00:00", "02-29 10:00:00", "2026-11-24 10:00:07 and more", "1.2.3", "\x00" * 40],
)  # fmt: skip
def test_what_is_no_time_is_none(stamp: str) -> None:
    assert seconds_of(stamp, BEGAN, UTC) is None


def test_a_stamp_without_a_year_may_be_of_the_year_before() -> None:
    new_year = at(2027, 1, 1, 0, 0, 5)
    assert seconds_of("12-31 23:59:58", new_year, UTC) == at(2026, 12, 31, 23, 59, 58)
    assert seconds_of("Dec 31 23:59:58.5", new_year, UTC) == at(2026, 12, 31, 23, 59, 58) + 0.5
    assert seconds_of("01-01 00:00:03", new_year, UTC) == at(2027, 1, 1, 0, 0, 3)
    # Clocks differ: what lies a few hours ahead is still this year's, and a year that is printed stands.
    assert seconds_of("01-01 03:00:00", new_year, UTC) == at(2027, 1, 1, 3)
    assert seconds_of("2027-12-31 23:59:58", new_year, UTC) == at(2027, 12, 31, 23, 59, 58)
    # 29 February of the leap year before a year that has none cannot be told from a mistake.
    assert seconds_of("02-29 10:00:00", at(2029, 1, 5), UTC) is None
    assert seconds_of("02-29 10:00:00", at(2028, 3, 5), UTC) == at(2028, 2, 29, 10)
    assert seconds_of("02-29 10:00:00", at(2028, 1, 5), UTC) is None


def test_the_year_is_the_one_in_the_zone_of_the_stamp() -> None:
    now = at(2027, 1, 1, 0, 30, zone=KIRITIMATI)  # in UTC it is still 2026
    assert seconds_of("01-01 00:20:00", now, KIRITIMATI) == at(2027, 1, 1, 0, 20, zone=KIRITIMATI)


@given(st.text(alphabet="0123456789-:., TZ+JanDec", max_size=40), st.floats(0, 4e9))
def test_no_text_raises(stamp: str, now: float) -> None:
    told = seconds_of(stamp, now, UTC)
    assert told is None or isinstance(told, float)


@given(st.integers(0, 300 * 86400), st.sampled_from([UTC, BERLIN, NEW_YORK, KIRITIMATI]))
def test_what_was_printed_within_the_last_months_is_read_back(age: int, zone: tzinfo) -> None:
    then = BEGAN - age
    assert seconds_of(own(then, zone), BEGAN, zone) == then


def test_phases_within_the_start_are_told_and_no_others() -> None:
    told = log(own(BEGAN - 3, UTC), own(BEGAN + 20, UTC), own(BEGAN + 90, UTC))
    assert phase_times(told, BEGAN, BEGAN + 60, UTC) == {Phase.STARTING: BEGAN - 3, Phase.LOADING: BEGAN + 20}
    early = log(own(BEGAN - SLACK_S - 1, UTC), own(BEGAN + 20, UTC))
    assert phase_times(early, BEGAN, BEGAN + 60, UTC) == {Phase.LOADING: BEGAN + 20}
    # A second that is cut, and clocks that differ a little: never later than now.
    ahead = log(own(BEGAN + 62, UTC))
    assert phase_times(ahead, BEGAN, BEGAN + 60, UTC) == {Phase.STARTING: BEGAN + 60}


def test_without_a_start_or_stamps_nothing_is_told() -> None:
    assert phase_times(log(own(BEGAN, UTC)), None, BEGAN, UTC) == {}
    assert phase_times(log(None, "soon"), BEGAN, BEGAN + 60, UTC) == {}
    assert phase_times(StartLog(), BEGAN, BEGAN + 60, UTC) == {}


@pytest.mark.parametrize("here", [BERLIN, NEW_YORK, KIRITIMATI], ids=["berlin", "new-york", "kiritimati"])
@pytest.mark.parametrize("hours_later", [0.1, 3, 30, 300])
@pytest.mark.parametrize("container", [False, True])
def test_a_containers_clock_runs_in_utc(here: tzinfo, hours_later: float, container: bool) -> None:
    """Also when it is looked at so late that the other zone's reading lies in the past as well."""
    zone = UTC if container else here
    times = [BEGAN + 2, BEGAN + 30, BEGAN + 90]
    told = phase_times(log(*(own(one, zone) for one in times)), BEGAN, BEGAN + hours_later * 3600, here)
    assert told == dict(zip(ORDER, times, strict=True))


def test_a_start_of_hours_in_a_container_is_not_taken_for_one_in_this_zone() -> None:
    times = [BEGAN + 2, BEGAN + 4000, BEGAN + 4100]
    told = phase_times(log(*(own(one, UTC) for one in times)), BEGAN, BEGAN + 9000, BERLIN)
    assert told == dict(zip(ORDER, times, strict=True))


def test_this_machines_zone_is_the_systems() -> None:
    code = (
        "from gpu_tui.telemetry.log_stamps import seconds_of;"
        f"print(seconds_of('11-24 10:00:07', {BEGAN}), seconds_of('Dec 31 10:00:07', {at(2027, 1, 9)}))"
    )
    env = {**os.environ, "TZ": "XXX5"}  # five hours behind UTC
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.split() == [str(BEGAN + 5 * 3600 + 7), str(at(2026, 12, 31, 15, 0, 7))]
