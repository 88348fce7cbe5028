"""Schools, bookings of sports venues and the heating season by the day."""

from __future__ import annotations

import numpy as np

from citytwin.models.columns import Bool, Coded, Float64, Int64, Strings
from citytwin.streams.simulator import noise
from citytwin.streams.simulator.day import DAY, HOUR, MINUTE, Day, Stem
from citytwin.streams.simulator.writer import Plain, joined

#: Heat networks: that of the hospitals is in season all the year, that of the few heated blocks from 15 November on.
NETWORKS = ("heat-hospitals", "heat-blocks")
#: First and last day (month, day) of the heating season of blocks; Wuhan has no district heating by rule.
SEASON = ((11, 15), (3, 15))
#: Bookings are made up to so many days before.
AHEAD = 3
#: Names of the courts of a venue.
COURTS = tuple(f"court-{i + 1}" for i in range(100))
#: First hour at which courts are open.
OPENS = 8


def schools_of_day(day: Day) -> None:
    """Boarding schools count soon after midnight; all count in the morning of a school day, by half past eight.

    On other days the boarding schools and a third of the others, which give extra classes, count too.
    """
    sites = day.town.sites
    rows = sites.of("school")
    number = np.arange(len(rows), dtype=np.int64)
    enrolled = np.nan_to_num(sites.capacity[rows], nan=900.0).astype(np.int64)
    boards = (noise.uniform(day.seed, "boarding", number) < 0.25) | (number == 0)
    night = day.midnight + 10_000 + (noise.uniform(day.seed, "night roll", number, day.day) * 80_000).astype(np.int64)
    _attend(day, rows[boards], (enrolled[boards] * 0.3).astype(np.int64), night[boards], b"n")
    extra = noise.uniform(day.seed, "extra", number, day.day) < 0.33
    comes = np.ones(len(rows), np.bool_) if day.works else boards | extra
    share = 1.0 if day.works else 0.25
    morning = noise.uniform(day.seed, "morning roll", number, day.day) * 40 * MINUTE
    time = day.midnight + 7 * HOUR + 48 * MINUTE + morning.astype(np.int64)
    _attend(day, rows[comes], (enrolled[comes] * share).astype(np.int64), time[comes], b"m")


def _attend(day: Day, rows: Int64, enrolled: Int64, time: Int64, mark: bytes) -> None:
    """Schools count who is there: 97 to 99 in a hundred, fewer in a school with an outbreak."""
    sick = noise.uniform(day.seed, "outbreak", rows, day.day // 5) < 0.03
    share = 0.978 + 0.008 * noise.normal(day.seed, "present" + mark.decode(), rows, day.day) - np.where(sick, 0.09, 0.0)
    present = np.minimum(np.rint(enrolled * np.clip(share, 0.5, 1.0)).astype(np.int64), enrolled)
    stem: Stem = [b"school", mark, noise.digits(rows, 6), b"-", noise.digits(time, 13)]
    fields: dict[str, Plain] = {"present": present, "enrolled": np.maximum(enrolled, 1)}
    subject = day.town.sites.places.code.take(rows)
    day.say("school.attendance", time, stem, "education/attendance", subject=subject, fields=fields)


def slots(day: Day, of: int) -> tuple[Int64, Int64, Int64, Int64, Bool]:
    """Hours of all courts that are booked on local day `of`: venue row, court, hour, when it was booked, called off."""
    sites = day.town.sites
    rows = sites.of("sports_venue")
    courts = np.nan_to_num(sites.courts[rows], nan=4.0).astype(np.int64)
    venue = np.repeat(rows, courts)
    court = np.arange(len(venue)) - np.repeat(np.cumsum(courts) - courts, courts)
    hours = np.nan_to_num(sites.hours[venue], nan=12.0)
    venue, court, hours = np.repeat(venue, 24), np.repeat(court, 24), np.repeat(hours, 24)
    hour = np.tile(np.arange(24), len(venue) // 24)
    key = venue * 100 + court
    want = 0.25 + 0.55 * np.exp(-(((hour - 19.5) / 2.6) ** 2)) + (0.0 if day.town.works(of) else 0.22)
    open_ = (hour >= OPENS) & (hour < OPENS + hours)
    booked = open_ & (noise.uniform(day.seed, "slot", key, hour, of) < want)
    start = of * DAY - day.town.offset_ms + hour * HOUR
    early = (noise.uniform(day.seed, "booked at", key, hour, of) ** 1.6 * AHEAD * DAY).astype(np.int64)
    made = start - 10 * MINUTE - early
    off = noise.uniform(day.seed, "called off", key, hour, of) < 0.03
    return venue[booked], court[booked], hour[booked], made[booked], off[booked]


def bookings_of_day(day: Day) -> None:
    """Bookings that are made on a day, for that day or one of the next; some are called off within the hour."""
    rows = day.town.sites.of("sports_venue")
    names = tuple(day.town.sites.places.code.take(rows).tolist())
    for of in range(day.day, day.day + AHEAD + 1):
        venue, court, hour, made, off = slots(day, of)
        mine = (made >= day.midnight) & (made < day.midnight + DAY)
        venue, court, hour, made, off = venue[mine], court[mine], hour[mine], made[mine], off[mine]
        n = len(venue)
        start = of * DAY - day.town.offset_ms + hour * HOUR
        stem: Stem = [
            b"B",
            noise.digits(np.full(n, of), 6),
            noise.digits(venue, 5),
            noise.digits(court, 2),
            noise.digits(hour, 2),
        ]
        fields: dict[str, Plain] = {
            "court": Coded(court.astype(np.int32), COURTS), "start": start, "end": start + HOUR,
            "venue": Coded(np.searchsorted(rows, venue).astype(np.int32), names),
        }  # fmt: skip
        places = day.town.sites.places
        subject, at = joined(stem, n), (places.lon[venue], places.lat[venue])
        day.say("venue.booking", made, stem, "venues/bookings", subject=subject, at=at, fields=fields)
        day.say("venue.booking", made + 5 * MINUTE, stem, "venues/bookings", word="off", subject=subject, at=at,
                fields={**fields, "cancelled": np.ones(n, np.int8)}, who=off)  # fmt: skip


def heating_on(day: int) -> tuple[bool, ...]:
    """Whether each of NETWORKS heats on local day number `day`."""
    date = np.datetime64(day, "D").astype(object)
    first, last = SEASON
    return True, (date.month, date.day) >= first or (date.month, date.day) <= last


def say_heating(day: Day, time: Int64) -> None:
    """Every network says whether it is in season; `time` (int64 ms) has a row for each time it does."""
    on = heating_on(day.day)
    for name, state in zip(NETWORKS, on, strict=True):
        n = len(time)
        stem: Stem = [name.encode(), b"-", noise.digits(time, 13)]
        day.say("heating.season", time, stem, "heating/dispatch", subject=Strings.of([name] * n),
                fields={"on": np.full(n, int(state), np.int8)})  # fmt: skip


def heating_of_day(day: Day) -> None:
    """Said after midnight and at noon."""
    say_heating(day, np.array([day.midnight + 20_000, day.midnight + 12 * HOUR], np.int64))


def visitors(hour: Float64, capacity: Float64, busy: Float64) -> tuple[Float64, Float64]:
    """People that came and went until a local hour: shares of a day whose visits are `busy` times the capacity."""

    def share(middle: float, pace: float) -> Float64:
        at, first, last = (1 / (1 + np.exp(-(h - middle) / pace)) for h in (hour, 0.0, 22.5))
        return np.asarray(np.clip((at - first) / (last - first), 0.0, 1.0))

    return np.floor(capacity * busy * share(10.8, 1.1)), np.floor(capacity * busy * share(15.6, 1.2))
