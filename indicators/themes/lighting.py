"""Lighting and street furniture: lamps that burn, components that are whole, manhole covers that are closed."""

# ruff: noqa: RUF012 - the class attributes are the declaration; the base class types them as ClassVar
from __future__ import annotations

import numpy as np

from citytwin.indicators.api import Context, Indicator, Spec, indicator, now, row, rows, tally
from citytwin.indicators.expr import ref
from citytwin.indicators.themes.places import counted_above
from citytwin.models.columns import Float64, Int32
from citytwin.models.sun import is_night

#: A state of a lamp counts for 15 minutes, three periods of the usual five.
LAMP_FRESH_MS = 15 * 60_000
#: An alarm of a cover counts for an hour after its last word.
COVER_FRESH_MS = 3_600_000
#: A cover that leans by so much, degrees, is not in its frame.
TILT = 15
#: Kinds of facilities that are city components (classes 1 to 3 of GB/T 30428.2: utilities, traffic, sanitation).
COMPONENTS = (
    "waste_bin", "streetlight", "manhole", "hydrant", "bus_stop", "signal", "transformer", "gas_regulator", "bridge",
    "underpass",
)  # fmt: skip
#: States of a component that is not in service, and so neither whole nor broken.
NOT_IN_SERVICE = ("closed", "out_of_service", "planned", "removed", "void")

_LAMP = (row.property == "lamp.power_state") & (row.quality == "good")
_ALWAYS = ref("ent", "observes.schedule") == "always"
_LAMP_END = row.time + LAMP_FRESH_MS


class StreetlightsLit(Indicator):
    """Lamps that are lit over lamps that must be lit now, of those with a good reading within 15 minutes.

    A lamp whose street light has the schedule "always", as in underpasses, must be lit at any hour, any other from
    sunset to sunrise in the middle of the city (the mean place of all that is registered); so by day only the former
    count. The others count from a quarter of an hour after sunset to a quarter of an hour before sunrise: no reading
    from before the sunset is then held against a lamp, nor a switch that is some minutes early. The catalogue's limits
    by class of road (98 % for main roads, 96 % for others) are the two bands here, as a scope has roads of all. In a
    city of which no place is known all lamps count at any hour.
    """

    id = "streetlight_lit_rate"
    theme = "lighting"
    window = "instant"
    unit = "%"
    better = "up"
    levels = "city district street grid"
    decimals = 2
    name = {"zh": "路灯亮灯率", "en": "Street light lit rate"}
    meaning = {
        "zh": "当前应亮的路灯中实际亮灯的比例（白天仅计全天照明的路灯）",
        "en": "Share of the lamps that must be lit now which are (by day only those that burn at any hour)",
    }
    bands = {"yellow": 98, "red": 96}
    source = "CJJ 89-2012: main roads at least 98 %, secondary and branch roads 96 %, unconfirmed"
    status = "K"
    owner = "lighting"
    feeds = (("obs", "lamp.power_state"),)
    every = "10s"
    aggregates = {
        "lit_always": tally("obs", where=_LAMP & _ALWAYS & (row.value == 1), end=_LAMP_END),
        "always": tally("obs", where=_LAMP & _ALWAYS, end=_LAMP_END),
        "lit_dusk": tally("obs", where=_LAMP & ~_ALWAYS & (row.value == 1), end=_LAMP_END),
        "dusk": tally("obs", where=_LAMP & ~_ALWAYS, end=_LAMP_END),
    }

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Lit over must be lit, by scope; no number where no lamp must be lit."""
        lit, wanted = ctx.tally("lit_always"), ctx.tally("always")
        if self._dark(ctx):
            lit, wanted = lit + ctx.tally("lit_dusk"), wanted + ctx.tally("dusk")
        at = np.flatnonzero(wanted > 0).astype(np.int32)
        return at, 100 * lit[at] / wanted[at]

    @staticmethod
    def _dark(ctx: Context) -> bool:
        """Whether the sun is down, was as long ago as the oldest reading that counts, and will be as long from now."""
        lon, lat = ctx.entities.lon, ctx.entities.lat
        placed = np.isfinite(lon) & np.isfinite(lat)
        if not placed.any():
            return True
        times = ctx.now + np.array([-LAMP_FRESH_MS, 0, LAMP_FRESH_MS])
        return bool(is_night(lon[placed].mean(), lat[placed].mean(), times).all())


_COMPONENT = (
    row.facility_kind.isin(COMPONENTS) & row.state.known() & ~row.state.isin(NOT_IN_SERVICE) & ~row.valid_to.known()
)


@indicator(
    "facility_intact_rate", theme="lighting", window="instant", unit="%", better="up",
    levels="city district street grid", decimals=2, name={"zh": "城市部件完好率", "en": "Component intact rate"},
    meaning={
        "zh": "在用城市部件中状态为正常的比例",
        "en": "Share of the city components in service whose state is normal",
    },
    bands={"yellow": 98, "red": 95}, source="GB/T 30428.2 for the components; limits are a local default", status="L",
    owner="urban management",
    examples=[
        {"normal": 98, "components": 100, "gives": 98.0}, {"normal": 3, "components": 3, "gives": 100.0},
        {"normal": 0, "components": 0, "gives": None},
    ],
)  # fmt: skip
def facility_intact_rate(
    normal: Float64 = tally("facility", where=_COMPONENT & (row.state == "normal")),
    components: Float64 = tally("facility", where=_COMPONENT),
) -> Float64:
    """Components whose state is "normal" over all in service, by the register of facilities.

    The catalogue's events of fault and repair are changes of the register here (`facility.changed` with the new
    state), so the register is what is counted. Components are the kinds of GB/T 30428.2 that the register knows; one
    that never had a state is in neither number. Registers have no period, so the value has no inputs that can be late.
    """
    return 100 * normal / components


_GOOD_COVER = row.quality == "good"
_OPEN, _TILT = row.property == "manhole.open", row.property == "manhole.tilt"
_COVER_END = row.time + COVER_FRESH_MS
_NOT_HANDLED = (row.open == 1) & ~row.state.isin(("handled", "verified"))


class ManholeAlarms(Indicator):
    """Covers whose device says now that they are open or lean by 15 degrees, plus people's open cases about covers.

    "Case not handled" of the catalogue is meant so: what a device says counts until the device itself says that the
    cover is back, for the sensor is the check of the repair; a cover that only people reported counts while its case
    (category `facility.manhole...`, any channel but iot, whose cases come from those same devices) is open and the
    unit has not said that it is handled. A device that says both, open and leaning, is one cover. The newest good
    reading counts for an hour. There is no number where no device was heard within the hour and no case is open.
    """

    id = "manhole_alarm_open"
    theme = "lighting"
    window = "instant"
    unit = "count"
    better = "down"
    levels = "city district street grid"
    decimals = 0
    name = {"zh": "井盖异常未处置数", "en": "Open manhole cover alarms"}
    meaning = {
        "zh": "传感器报开启或倾斜的井盖数，加上人工上报未处置的井盖案件数",
        "en": "Covers that sensors say are open or tilted, plus open cases about covers that people reported",
    }
    bands = {"yellow": 1, "red": 5}
    source = "local default: limits and the tilt of 15 degrees"
    status = "L"
    owner = "urban management"
    feeds = (("obs", "manhole.open"), ("obs", "manhole.tilt"), ("case", ""))
    every = "10s"
    aggregates = {
        "alarms": rows(
            "obs",
            ((_OPEN & (row.value == 1)) | (_TILT & (row.value >= TILT))) & _GOOD_COVER & (now < _COVER_END),
        ),
        "heard_open": tally("obs", where=_OPEN & _GOOD_COVER, end=_COVER_END),
        "heard_tilt": tally("obs", where=_TILT & _GOOD_COVER, end=_COVER_END),
        "cases": tally(
            "case", where=_NOT_HANDLED & row.category.startswith("facility.manhole") & ~(row.channel == "iot")
        ),
    }  # fmt: skip

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Devices with an alarm at their own place, each once, plus cases."""
        found = ctx.rows("alarms")
        device, first = np.unique(found.entity, return_index=True)
        first = first[device >= 0]
        own = ctx.entities.scope[found.entity[first]]
        covers = counted_above(ctx, np.where(own < 0, found.scope[first], own))
        cases = ctx.tally("cases")
        heard = ctx.tally("heard_open") + ctx.tally("heard_tilt") > 0
        at = np.flatnonzero(heard | (cases > 0) | (covers > 0)).astype(np.int32)
        return at, covers[at] + cases[at]


INDICATORS: tuple[Spec | type[Indicator], ...] = (StreetlightsLit, facility_intact_rate, ManholeAlarms)
