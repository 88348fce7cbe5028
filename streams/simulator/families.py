"""All families that are planned by the day, and what is told once when a city begins."""

from __future__ import annotations

import numpy as np

from citytwin.streams.simulator import emergency, exchange, offices, registry, social
from citytwin.streams.simulator.calls import codes_of_day
from citytwin.streams.simulator.day import Day, Family
from citytwin.streams.simulator.nights import nights_of_day

FAMILIES: tuple[Family, ...] = (
    Family(codes_of_day, kept=4), Family(nights_of_day),
    Family(emergency.runs_of_day), Family(emergency.accidents_of_day, lasts=7),
    Family(emergency.hazards_of_day, lasts=22), Family(emergency.reports_of_day), Family(emergency.calls_of_the_old),
    Family(emergency.patrols_of_day, kept=3),
    Family(exchange.batches_of_day, lasts=2), Family(exchange.exchanges_of_day, lasts=2, kept=4),
    Family(exchange.catalogue_of_day), Family(exchange.records_of_day, kept=4),
    Family(exchange.credits_of_day, lasts=25, before=14),
    Family(offices.applications_of_day, lasts=20), Family(offices.lists_of_day),
    Family(offices.inspections_of_day, lasts=21),
    Family(social.schools_of_day), Family(social.bookings_of_day, lasts=1, kept=9), Family(social.heating_of_day),
    Family(registry.organisations_of_day), Family(registry.components_of_day),
)  # fmt: skip


def census(day: Day, at_ms: int) -> None:
    """Every entry of the lists as it is when a city begins at `at_ms`, within half a minute."""

    def spread(n: int) -> np.ndarray:
        return at_ms + 2_000 + np.arange(n, dtype=np.int64) * 25_000 // max(n, 1)

    items, apps, services = (np.arange(n, dtype=np.int64) for n in (offices.ITEMS, offices.APPS, offices.SERVICES))
    offices.say_items(day, items, spread(len(items)), b"c")
    offices.say_live(day, "office.app", b"app-", apps, spread(len(apps)), b"c")
    offices.say_live(day, "citycode.service", b"code-", services, spread(len(services)), b"c")
    entry, _ = exchange.entries(day.seed)
    exchange.say_entries(day, entry, spread(len(entry)), b"c")
    social.say_heating(day, spread(1))
