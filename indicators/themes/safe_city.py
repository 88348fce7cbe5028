"""Safe city: cameras that work, people where they crowd."""

from __future__ import annotations

import numpy as np

from citytwin.indicators.api import col, ent, indicator, maximum, row, tally
from citytwin.indicators.expr import Expr, ref
from citytwin.indicators.themes.devices import IN_SERVICE, online
from citytwin.models.columns import Float64

_CAMERA = IN_SERVICE & (row.device_kind == "camera")


def _intact() -> Expr:
    """Newest status of a key-area camera in service: online, and its picture found good."""
    mine = (ent.device_kind == "camera") & (ent.role == "key_area") & (ent.in_service == 1) & ~ent.valid_to.known()
    return mine & (row.state == "online") & (row.diagnosis == "ok")


def _area() -> Expr:
    """Usable area of what the counter observes, else of the subject itself; NaN where none is above 0."""
    seen, own = ref("ent", "observes.usable_area_m2"), ref("ent", "usable_area_m2")
    area = seen.where(seen.known(), own)
    return area.where(area > 0, float("nan"))


@indicator(
    "camera_intact_key_rate", theme="safe_city", window="instant", unit="%", better="up",
    levels="city district street grid", decimals=2,
    name={"zh": "重点区域视频完好率", "en": "Camera intact rate, key areas"},
    meaning={
        "zh": "重点区域在用摄像机中在线且画面诊断正常的比例",
        "en": "Share of the key-area cameras in service that are online with a good picture",
    },
    bands={"yellow": 98, "red": 95}, source="NDRC 2015 no. 996: 98 % in key public areas, 95 % in other key sectors",
    status="V", owner="public security", feeds=(("device.status", ""),),
    examples=[
        {"intact": 49, "cameras": 50, "gives": 98.0}, {"intact": 0, "cameras": 3, "gives": 0.0},
        {"intact": 0, "cameras": 0, "gives": None},
    ],
)  # fmt: skip
def camera_intact_key_rate(
    intact: Float64 = tally("device.status", where=_intact()),
    cameras: Float64 = tally("device", where=_CAMERA & (row.role == "key_area")),
) -> Float64:
    """Key-area cameras whose newest status is online with diagnosis ok, over those in service.

    A camera that never told its status is in service and not intact. A status counts until the next one: whether the
    camera is heard at all is what `camera_online_rate` tells. The warning and the alarm are the two goals of the
    document. At most 100: a status may be told at another place than where the register has the camera.
    """
    return 100 * np.minimum(intact, cameras) / cameras


@indicator(
    "camera_online_rate", theme="safe_city", window="instant", unit="%", better="up",
    levels="city district street grid", decimals=2, name={"zh": "视频在线率", "en": "Camera online rate"},
    meaning={
        "zh": "在用摄像机中最近一次消息不早于三个上报周期的比例",
        "en": "Share of the cameras in service whose last message is at most three periods old",
    },
    bands={"yellow": 95, "red": 90},
    source="NDRC 2015 no. 996: 95 % in other key sectors; the alarm is a local default", status="V+L",
    owner="public security", feeds=(("device.status", ""),),
    examples=[{"online": 95, "cameras": 100, "gives": 95.0}, {"online": 0, "cameras": 0, "gives": None}],
)  # fmt: skip
def camera_online_rate(online: Float64 = online(_CAMERA), cameras: Float64 = tally("device", where=_CAMERA)) -> Float64:
    """Cameras online by the clock over those in service, as `device_online_rate` has it for all devices.

    A message is a status or a reading of the camera. The catalogue takes the state that the camera tells of itself;
    one that is cut off tells nothing, so the age of its last message decides here, with no event arriving too.
    """
    return 100 * online / cameras


@indicator(
    "crowd_density_max", theme="safe_city", window="sliding 5m/30s", unit="persons/m2", better="down",
    levels="city district street grid", decimals=2, name={"zh": "最大人群密度", "en": "Highest crowd density"},
    meaning={
        "zh": "5 分钟内各区域人数与可用面积之比的最大值",
        "en": "Largest number of people per usable square metre of any area in 5 minutes",
    },
    bands={"yellow": 2.15, "red": 4},
    source="Fruin 1971: level of service F begins below 5 ft2 a person (2.15 /m2); 4 /m2: crowd-safety literature",
    status="V+K", owner="public security", feeds=(("obs", "crowd.count"),),
    examples=[{"density": 2.15, "gives": 2.15}, {"density": float("nan"), "gives": None}],
)  # fmt: skip
def crowd_density_max(
    density: Float64 = maximum("obs", col.value / _area(), (col.property == "crowd.count") & (col.quality == "good")),
) -> Float64:
    """Largest good count of people over the usable area of what the counter observes, or of the counter's own entry.

    A counter without a usable area counts nowhere. It is a density over the whole area: how people stand in it,
    and so the level of service of a corner of it, cannot be told from a count.
    """
    return density


INDICATORS = (camera_intact_key_rate, camera_online_rate, crowd_density_max)
