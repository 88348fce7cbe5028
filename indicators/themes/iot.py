"""Devices: online, how many of their readings are valid, how many of their datastreams are fresh."""

from __future__ import annotations

from citytwin.indicators.api import col, count, datastreams, indicator, tally
from citytwin.indicators.themes.devices import IN_SERVICE, online
from citytwin.models.columns import Float64


@indicator(
    "device_online_rate", theme="iot", window="instant", unit="%", better="up", levels="city district street grid",
    decimals=2, name={"zh": "物联设备在线率", "en": "IoT device online rate"},
    meaning={
        "zh": "在用设备中最近一次消息不早于三个上报周期的比例",
        "en": "Share of the devices in service whose last message is at most three periods old",
    },
    bands={"yellow": 95, "red": 90}, source="local default", status="L", owner="iot", feeds=(("device", ""),),
    examples=[{"online": 95, "n": 100, "gives": 95.0}, {"online": 0, "n": 0, "gives": None}],
)  # fmt: skip
def device_online_rate(online: Float64 = online(IN_SERVICE), n: Float64 = tally("device", where=IN_SERVICE)) -> Float64:
    """Online over in service; a device that never sent anything, or has no period, is in service and not online."""
    return 100 * online / n


@indicator(
    "obs_valid_rate", theme="iot", window="sliding 1h/1m", unit="%", better="up", levels="city district street grid",
    decimals=2, name={"zh": "观测有效率", "en": "Valid observation rate"},
    meaning={"zh": "一小时内质量标识为有效的观测比例", "en": "Share of the hour's readings that are flagged good"},
    bands={"yellow": 98, "red": 95}, source="local default", status="L", owner="iot", feeds=(("obs", ""),),
    examples=[{"good": 49, "n": 50, "gives": 98.0}, {"good": 0, "n": 0, "gives": None}],
)  # fmt: skip
def obs_valid_rate(good: Float64 = count("obs", col.quality == "good"), n: Float64 = count("obs")) -> Float64:
    """Good readings over all; a reading that came without a flag was taken as good at the door."""
    return 100 * good / n


@indicator(
    "data_freshness_rate", theme="iot", window="instant", unit="%", better="up", levels="city district street grid",
    decimals=2, name={"zh": "数据新鲜率", "en": "Fresh data rate"},
    meaning={
        "zh": "应有数据流中最近一次观测不足两个上报周期的比例",
        "en": "Share of the expected datastreams whose newest reading is less than two periods old",
    },
    bands={"yellow": 95, "red": 90}, source="local default", status="L", owner="iot", feeds=(("obs", ""),),
    examples=[{"fresh": 95, "streams": 100, "gives": 95.0}, {"fresh": 0, "streams": 0, "gives": None}],
)  # fmt: skip
def data_freshness_rate(
    fresh: Float64 = datastreams(count="fresh"), streams: Float64 = datastreams(count="expected")
) -> Float64:
    """Datastreams with a reading less than two periods old, over those that are expected, at the place of the device.

    A datastream is one property of one device. Expected are the properties that a device in service declares, heard or
    not, and those that it sends without declaring them; a device out of service or removed counts nowhere. The period
    is the device's, one hour where none is said. The catalogue lets a reading of exactly two periods be fresh; the
    quality of all values takes it as stale, and one rule is better than two.
    """
    return 100 * fresh / streams


INDICATORS = (device_online_rate, obs_valid_rate, data_freshness_rate)
