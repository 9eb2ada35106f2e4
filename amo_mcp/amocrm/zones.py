"""Days and moments of an account: the one place that turns days, moments, texts and Unix seconds into each other.

A field of the type `date` is kept at the first moment of its day in the account's time zone (a public report), and has
to be read and written there. What has no offset is meant in that zone.
"""

import re
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFFSET = re.compile(r"([+-])([01][0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True)
class Zone:
    """The time zone of an account.

    Attributes:
        name: as it is known: `Europe/Moscow`, `+03:00`, `UTC`.
        is_known: whether the account told it; else UTC is taken.
    """

    name: str
    tz: tzinfo
    is_known: bool = True

    def moment(self, seconds: int) -> datetime:
        """The moment of Unix seconds, in this zone.

        Raises:
            OverflowError: it is outside of the years 1 to 9999.
        """
        return (_EPOCH + timedelta(seconds=seconds)).astimezone(self.tz)

    def day(self, seconds: int) -> date:
        """The day on which a moment of Unix seconds falls here; raises OverflowError as `moment` does."""
        return self.moment(seconds).date()

    def start(self, day: date) -> int:
        """The first moment of a day here, in Unix seconds; of a day that a change of clocks leaves out, of the next."""
        midnight = datetime.combine(day, time(), self.tz)
        first, other = (_seconds(midnight.replace(fold=fold)) for fold in (0, 1))
        if first <= other:
            return first
        # There is no midnight on that day: clocks change at a moment between the two.
        return other + bisect_left(range(other, first), day, key=self.day)

    def read(self, text: str) -> datetime:
        """A moment in ISO 8601; without an offset it is meant in this zone.

        Raises:
            ValueError: it is none.
        """
        moment = datetime.fromisoformat(text.strip())
        return moment if moment.tzinfo else moment.replace(tzinfo=self.tz)

    def seconds_of_moment(self, text: str) -> int:
        """Unix seconds of a moment, read as by `read`; of a day, its first moment."""
        try:
            return self.start(date.fromisoformat(text.strip()))
        except ValueError:
            return _seconds(self.read(text))

    def seconds_of_day(self, text: str) -> int:
        """The first moment, in Unix seconds, of a day in ISO 8601, or of the day on which a moment falls here.

        Raises:
            ValueError: it is neither.
        """
        try:
            day = date.fromisoformat(text.strip())
        except ValueError:
            day = self.read(text).astimezone(self.tz).date()
        return self.start(day)

    def words(self, seconds: int) -> str:
        """A moment as a person reads it: `2026-11-22 12:30 (UTC+03:00)`, with its seconds where it has some."""
        moment = self.moment(seconds)
        clock = moment.time().isoformat(timespec="seconds" if moment.second else "minutes")
        return f"{moment.date()} {clock} ({offset_of(moment)})"


def offset_of(moment: datetime) -> str:
    """The offset of an aware moment: `UTC+03:00`, `UTC`."""
    text = moment.isoformat(timespec="seconds")[19:]
    return "UTC" if text == "+00:00" else f"UTC{text}"


def zone_of(name: str, offset: str) -> Zone:
    """The zone that an account tells: by its name, else by its offset such as `+03:00`; without either, UTC."""
    try:
        return Zone(name, ZoneInfo(name))
    except (LookupError, ValueError, OSError):
        # It is no name of a zone, or this machine has no data for it.
        if match := _OFFSET.fullmatch(offset):
            distance = timedelta(hours=int(match[2]), minutes=int(match[3]))
            return Zone(offset, timezone(-distance if match[1] == "-" else distance))
        return UNKNOWN


def _seconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(seconds=1)


UNKNOWN = Zone("UTC", UTC, is_known=False)
"""The zone of an account that tells none."""
