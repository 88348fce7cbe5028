"""The data platform by the day: deliveries, exchanges, the catalogue, records that came in, credit records."""

from __future__ import annotations

import numpy as np

from citytwin.models.columns import Coded, Float64, Int64, Strings
from citytwin.streams.simulator import noise
from citytwin.streams.simulator.day import DAY, HOUR, MINUTE, Day, Stem, hours_of, office_hours
from citytwin.streams.simulator.incidents import BY_HOUR, WorkClock
from citytwin.streams.simulator.writer import Plain, joined, only

_EXCHANGE = "exchange"
#: Entries of the catalogue; most must have a resource behind them.
ENTRIES = 640
_MUST = 0.85
DATASETS = ("resident", "organisation", "permit", "subsidy", "insurance", "estate")
_ALPHABET = np.frombuffer(b"0123456789ABCDEFGHJKLMNPQRTUWXY", np.uint8)
#: By byte: another one of the alphabet.
_NEXT = np.full(256, ord("0"), np.uint8)
_NEXT[_ALPHABET] = np.roll(_ALPHABET, 7)


def batches_of_day(day: Day, datasets: int = 4) -> None:
    """Deliveries of a day: announced at 00:05 with their due time, then received, a few late or not at all.

    One more of each department is due minutes after the next midnight, some only then received: a day has its first
    before its third minute.
    Half of them belong to a district and have the place of its seat.
    """
    town, rng = day.town, day.random("batches")
    n = len(town.departments) * (datasets + 1)
    dept = np.repeat(np.arange(len(town.departments)), datasets + 1)
    which = np.tile(np.arange(datasets + 1), len(town.departments))
    night = which == datasets
    due = day.midnight + np.where(
        night, DAY + MINUTE + dept % 2 * 90_000, (7 + 3 * which) * HOUR + (dept % 4) * 15 * MINUTE
    )
    late, lost = rng.random(n) < 0.025, rng.random(n) < 0.006
    received = due + np.where(late, rng.uniform(5, 180, n), -rng.uniform(2, 110, n)).astype(np.int64) * MINUTE
    received = np.where(night & (dept % 2 == 1), due - (rng.uniform(0.2, 2.2, n) * MINUTE).astype(np.int64), received)
    rows = rng.integers(200, 50_000, n)
    names = tuple(f"{d}/{k}" for d in town.departments for k in range(1, datasets + 2))
    common: dict[str, Plain] = {
        "dataset": Coded(np.arange(n, dtype=np.int32), names), "dept": Coded(dept.astype(np.int32), town.departments),
        "due_at": due,
    }  # fmt: skip
    stem, at = day.stem(b"D", n, 4), seats(day, (dept + which) % 2 == 0, dept)
    begin = np.where(night, day.midnight + 20 * HOUR, day.midnight + 5 * MINUTE).astype(np.int64)
    day.say("data.batch", begin, stem, _EXCHANGE, word="due", subject=joined(stem, n), at=at, fields=common, delay=50)
    full: dict[str, Plain] = {
        **common, "received_at": received, "rows": rows, "bad_rows": (rows * rng.beta(1, 200, n)).astype(np.int64),
    }  # fmt: skip
    day.say("data.batch", received, stem, _EXCHANGE, word="got", subject=joined(stem, n), at=at, fields=full,
            who=~lost, delay=50)  # fmt: skip


def seats(day: Day, who: np.ndarray, which: Int64) -> tuple[Float64, Float64]:
    """Place of a district's seat for those in `who`, none (NaN) for the others."""
    rows = day.town.seats
    row = rows[which % len(rows)]
    return np.where(who, day.town.grids.lon[row], np.nan), np.where(who, day.town.grids.lat[row], np.nan)


def exchanges_of_day(day: Day, per_day: float = 900.0) -> None:
    """Requests for data of others, due within half an hour to four; one at least every two minutes."""
    rng = day.random("exchanges")
    time = day.midnight + hours_of(rng, per_day, BY_HOUR + 3.0, 2 * MINUTE)
    n = len(time)
    due = time + rng.choice(np.array([2, 10, 60, 240]), n, p=(0.45, 0.25, 0.2, 0.1)) * MINUTE
    late, failed = rng.random(n) < 0.008, rng.random(n) < 0.006
    done = np.where(late, due + rng.integers(1, 60, n) * MINUTE, time + ((due - time) * rng.beta(2, 4, n)).astype(int))
    stem, at = day.stem(b"X", n), seats(day, rng.random(n) < 0.7, rng.integers(0, 20, n))
    asked: dict[str, Plain] = {"due_at": due}
    day.say(
        "data.exchange", time, stem, _EXCHANGE, word="asked", subject=joined(stem, n), at=at, fields=asked, begun=time
    )
    answer: dict[str, Plain] = {"due_at": due, "done_at": done, "ok": np.where(failed, 0, 1)}
    day.say(
        "data.exchange", done, stem, _EXCHANGE, word="done", subject=joined(stem, n), at=at, fields=answer, begun=time
    )


def linked(seed: int, entry: Int64, day: int) -> np.ndarray:
    """Whether the resource of each entry is alive on a day (bool[n]): most always, some for weeks at a time."""
    never = noise.uniform(seed, "never linked", entry) < 0.02
    weeks = (day + entry * 3) // 14
    return ~never & (noise.uniform(seed, "linked", entry, weeks) < 0.985)


def entries(seed: int) -> tuple[Int64, np.ndarray]:
    """Numbers of all entries, and which must have a resource."""
    entry = np.arange(ENTRIES, dtype=np.int64)
    return entry, noise.uniform(seed, "must link", entry) < _MUST


def say_entries(day: Day, entry: Int64, time: Int64, mark: bytes) -> None:
    """Entries as they are on the day: that they are there, and that their resource lives or does not."""
    n = len(entry)
    must = entries(day.seed)[1][entry]
    alive = linked(day.seed, entry, day.day)
    stem: Stem = [mark, noise.digits(time, 13), b"-", noise.digits(entry, 4)]
    subject, at = joined([b"cat-", noise.digits(entry, 4)], n), seats(day, entry % 3 > 0, entry)
    for word, type_, who, fields in (
        ("entry", "catalogue.entry", alive | ~alive, {"must_link": must.astype(np.int8)}),
        ("linked", "catalogue.linked", alive, {}), ("unlinked", "catalogue.unlinked", ~alive, {}),
    ):  # fmt: skip
        day.say(type_, time + (word != "entry"), stem, "exchange/catalogue", word=word, subject=subject, at=at,
                fields=fields, who=who)  # fmt: skip


def catalogue_of_day(day: Day) -> None:
    """Links that were made or broken since the day before, and every quarter of an hour one entry looked at again."""
    entry, _ = entries(day.seed)
    rng = day.random("catalogue")
    moved = entry[linked(day.seed, entry, day.day) != linked(day.seed, entry, day.day - 1)]
    say_entries(day, moved, day.midnight + np.sort(rng.integers(0, DAY, len(moved))), b"m")
    again = (np.arange(96) + day.day * 96) % ENTRIES
    say_entries(day, again, day.midnight + np.arange(96) * 15 * MINUTE + 30_000, b"q")


def records_of_day(day: Day, per_day: float = 5_200.0) -> None:
    """Records of the departments: most name a standard address, two in three an organisation; a few are wrong."""
    town, rng = day.town, day.random("records")
    time = day.midnight + hours_of(rng, per_day, BY_HOUR + 5.0, MINUTE)
    n = len(time)
    known = rng.integers(0, max(len(town.addresses), 1), n)
    matched = (rng.random(n) < 0.962) & (len(town.addresses) > 0)
    told = rng.random(n) < 0.97
    wrong, named = rng.random(n) < 0.0006, rng.random(n) < 0.66
    uscc = _codes(town.organisations, rng, n)
    text = joined([noise.digits(known % 900 + 100, 3), "号".encode()], n)
    fields: dict[str, Plain] = {
        "dataset": Coded(rng.integers(0, len(DATASETS), n).astype(np.int32), DATASETS),
        "address_text": only(text, told),
        "address_id": only(_codes(town.addresses, rng, n, known), matched & told),
        "uscc": only(mistyped(uscc, wrong), named | wrong),
    }  # fmt: skip
    day.say("record.ingested", time, day.stem(b"I", n, 6), "exchange/records", at=town.near(rng, town.draw(rng, n)),
            fields=fields)  # fmt: skip


def _codes(codes: Strings, rng: np.random.Generator, n: int, rows: Int64 | None = None) -> Strings:
    """Codes of the town by chance, or at `rows`; one well-known code where it has none."""
    if not len(codes):
        return joined([b"91350100M000100Y43"], n)
    return codes.take(rng.integers(0, len(codes), n) if rows is None else rows)


def mistyped(codes: Strings, wrong: np.ndarray) -> Strings:
    """Credit codes with another check character in the rows of the mask, as people mistype it."""
    data = codes.data.copy()
    at = codes.offsets[1:][wrong] - 1
    data[at] = _NEXT[data[at]]
    return Strings(data, codes.offsets)


def credits_of_day(day: Day) -> None:
    """Permissions and penalties: reported within seven working days of the decision, a few later.

    Penalties have until the end of the seventh day, whether people work on it or not.
    """
    town, rng = day.town, day.random("credit")
    n = int(rng.poisson(70 if day.works else 5)) + 1
    decided = day.midnight + office_hours(rng, n)
    clock = WorkClock.around(day.midnight, town.offset_ms, town.off, town.on)
    penalty = (rng.random(n) < 0.2) | (np.arange(n) == 0)
    due = np.where(penalty, day.midnight + 8 * DAY, clock.after(decided, np.full(n, 7 * 8.0 * HOUR)))
    share = np.where(rng.random(n) < 0.99, 0.05 + 0.85 * rng.beta(1.5, 3, n), rng.uniform(1.05, 1.5, n))
    late = decided + ((due - decided) * share).astype(np.int64)
    reported = np.where(penalty, late, clock.after(decided, share * 7 * 8 * HOUR))
    stem, at = day.stem(b"R", n, 4), seats(day, rng.random(n) < 0.8, rng.integers(0, 20, n))
    about: dict[str, Plain] = {
        "kind": Coded(penalty.astype(np.int32), ("permission", "penalty")), "decided_at": decided,
        "due_at": due,
    }  # fmt: skip
    day.say("credit.record", decided, stem, "credit", word="decided", subject=joined(stem, n), at=at, fields=about,
            begun=decided)  # fmt: skip
    # told of decisions before the cut too: a record is whole without the one before
    day.say("credit.record", reported, stem, "credit", word="reported", subject=joined(stem, n), at=at,
            fields={**about, "reported_at": reported})  # fmt: skip
