"""Days and moments: the same day is read that was written, in every zone, whatever clocks do."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amo_mcp.amocrm.zones import UNKNOWN, Zone, zone_of

NAMES = sorted(available_timezones() - {"localtime", "Factory"})
ZONES = st.sampled_from(NAMES).map(lambda name: zone_of(name, ""))
DAYS = st.dates(date(1970, 1, 2), date(2100, 12, 31))
MOMENTS = st.integers(0, 4_133_980_799)
"""Unix seconds from 1970 to 2100."""

MOSCOW = zone_of("Europe/Moscow", "+03:00")
BOGOTA = zone_of("America/Bogota", "-05:00")
SAO_PAULO = zone_of("America/Sao_Paulo", "-03:00")
APIA = zone_of("Pacific/Apia", "+13:00")


def left_out(zone: Zone, day: date) -> bool:
    """Whether a zone never had this day: clocks went over all of it."""
    before, after = zone.start(day - timedelta(days=1)), zone.start(day + timedelta(days=1))
    return all(zone.day(seconds) != day for seconds in range(before, after, 900))


@pytest.mark.requirement("DATE-1")
@given(zone=ZONES, day=DAYS)
@example(SAO_PAULO, date(2018, 11, 4))
@example(zone_of("America/St_Johns", ""), date(2006, 10, 29))
@example(zone_of("America/Havana", ""), date(2020, 11, 1))
@example(zone_of("Africa/Cairo", ""), date(2024, 4, 26))
@example(APIA, date(2011, 12, 30))
def test_a_day_that_is_written_is_read_back_and_begins_at_its_first_moment(zone: Zone, day: date) -> None:
    start = zone.start(day)
    if zone.day(start) != day:
        assert left_out(zone, day)
        day += timedelta(days=1)
    assert zone.day(start) == day
    assert zone.day(start - 1) == day - timedelta(days=1) or left_out(zone, day - timedelta(days=1))
    assert zone.seconds_of_day(str(zone.day(start))) == start


@given(zone=ZONES, seconds=MOMENTS)
def test_the_day_of_a_moment_is_written_back_without_a_drift(zone: Zone, seconds: int) -> None:
    shown = str(zone.day(seconds))
    start = zone.seconds_of_day(shown)
    assert str(zone.day(start)) == shown
    assert start <= seconds
    assert zone.seconds_of_day(zone.moment(seconds).isoformat()) == start


@given(zone=ZONES, seconds=MOMENTS)
def test_a_moment_is_the_same_however_it_is_written(zone: Zone, seconds: int) -> None:
    moment = zone.moment(seconds)
    assert zone.seconds_of_moment(moment.isoformat()) == seconds
    assert zone.seconds_of_moment(moment.astimezone(UTC).isoformat()) == seconds
    bare = moment.replace(tzinfo=None)
    candidates = {int(bare.replace(tzinfo=zone.tz, fold=fold).timestamp()) for fold in (0, 1)}
    assert zone.seconds_of_moment(bare.isoformat()) in candidates
    assert seconds in candidates


@pytest.mark.parametrize(
    ("zone", "text", "seconds"),
    [
        (MOSCOW, "2021-10-19", 1_634_590_800),
        (MOSCOW, "2021-10-18T21:00:00Z", 1_634_590_800),
        (MOSCOW, "2021-10-19T23:59:59", 1_634_590_800),
        (BOGOTA, "2021-10-19", 1_634_619_600),
        (BOGOTA, "2021-10-19T02:00:00Z", 1_634_533_200),
        (SAO_PAULO, "2018-11-04", 1_541_300_400),
    ],
)
def test_a_day_is_the_one_on_which_a_moment_falls_in_the_account(zone: Zone, text: str, seconds: int) -> None:
    assert zone.seconds_of_day(text) == seconds


@pytest.mark.requirement("DATE-1")
def test_a_midnight_that_a_change_of_clocks_leaves_out_is_the_first_moment_of_the_day() -> None:
    start = SAO_PAULO.start(date(2018, 11, 4))
    assert SAO_PAULO.moment(start).isoformat() == "2018-11-04T01:00:00-02:00"
    assert SAO_PAULO.moment(start - 1).isoformat() == "2018-11-03T23:59:59-03:00"
    # Of a gap that begins before midnight the first moment is the end of the gap: half past twelve.
    toronto = zone_of("America/Toronto", "")
    assert toronto.moment(toronto.start(date(1919, 3, 31))).isoformat() == "1919-03-31T00:30:00-04:00"


def test_the_first_of_two_midnights_is_taken_and_a_day_that_never_was_is_the_next_one() -> None:
    havana = zone_of("America/Havana", "")
    assert havana.moment(havana.start(date(2020, 11, 1))).isoformat() == "2020-11-01T00:00:00-04:00"
    assert APIA.moment(APIA.start(date(2011, 12, 30))).isoformat() == "2011-12-31T00:00:00+14:00"


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "Europe", "/etc/localtime", "a" * 300, "\0"])
def test_an_unknown_zone_falls_back_on_its_offset_and_then_on_utc(name: str) -> None:
    zone = zone_of(name, "-05:30")
    assert (zone.name, zone.is_known) == ("-05:30", True)
    assert zone.moment(0).utcoffset() == timedelta(hours=-5, minutes=-30)
    for offset in ("", "3", "+25:00", "+03:99", "MSK"):
        assert zone_of(name, offset) == UNKNOWN


def test_a_known_zone_is_taken_whatever_the_offset_says() -> None:
    assert zone_of("Europe/Moscow", "+09:00") == Zone("Europe/Moscow", ZoneInfo("Europe/Moscow"))


@pytest.mark.parametrize(
    ("zone", "seconds", "words"),
    [
        (MOSCOW, 1_637_573_400, "2021-11-22 12:30 (UTC+03:00)"),
        (BOGOTA, 1_637_573_401, "2021-11-22 04:30:01 (UTC-05:00)"),
        (UNKNOWN, 1_637_573_400, "2021-11-22 09:30 (UTC)"),
    ],
)
def test_a_moment_is_worded_with_its_offset(zone: Zone, seconds: int, words: str) -> None:
    assert zone.words(seconds) == words


def test_what_is_outside_of_the_calendar_is_no_moment() -> None:
    with pytest.raises(OverflowError):
        MOSCOW.moment(10**15)
    assert MOSCOW.moment(-1).astimezone(UTC) == datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)
