"""Events that come by the doors of others: public warnings (CAP 1.2) and alarms of video devices (GB/T 28181)."""

from __future__ import annotations

from citytwin.models.vocabulary import DAY_MS, EventType, Field, Kind

_CODE, _TEXT, _TIME, _INTEGER = Kind.CODE, Kind.TEXT, Kind.TIME, Kind.INTEGER
#: How long a warning of others can be updated and cancelled.
_WARNING_MS = 35 * DAY_MS
_ALARM_MS = 7 * DAY_MS

#: Enumerations of CAP 1.2, sections 3.2.1 and 3.2.2.
CAP_STATUS = ("Actual", "Exercise", "System", "Test", "Draft")
CAP_MSG_TYPE = ("Alert", "Update", "Cancel", "Ack", "Error")
CAP_SCOPE = ("Public", "Restricted", "Private")
CAP_CATEGORY = (
    "Geo", "Met", "Safety", "Security", "Rescue", "Fire", "Health", "Env", "Transport", "Infra", "CBRNE", "Other",
)  # fmt: skip
CAP_RESPONSE = ("Shelter", "Evacuate", "Prepare", "Execute", "Avoid", "Monitor", "Assess", "AllClear", "None")
CAP_URGENCY = ("Immediate", "Expected", "Future", "Past", "Unknown")
CAP_SEVERITY = ("Extreme", "Severe", "Moderate", "Minor", "Unknown")
CAP_CERTAINTY = ("Observed", "Likely", "Possible", "Unlikely", "Unknown")


def door_types() -> list[EventType]:
    """`cap.alert` (subject: the identifier) and `device.alarm` (subject: the device)."""
    return [
        EventType(
            "cap.alert",
            (
                Field("sender", _TEXT, required=True),
                Field("status", _CODE, required=True, choices=CAP_STATUS),
                Field("msg_type", _CODE, required=True, choices=CAP_MSG_TYPE),
                Field("scope", _CODE, choices=CAP_SCOPE),
                Field("category", _CODE, choices=CAP_CATEGORY),
                Field("event", _TEXT),
                Field("urgency", _CODE, choices=CAP_URGENCY),
                Field("severity", _CODE, choices=CAP_SEVERITY),
                Field("certainty", _CODE, choices=CAP_CERTAINTY),
                Field("effective", _TIME),
                Field("onset", _TIME),
                Field("expires", _TIME),
                Field("headline", _TEXT, max_bytes=2048),
                Field("text", _TEXT, max_bytes=16_384),
                Field("instruction", _TEXT, max_bytes=16_384),
                Field("area", _TEXT, max_bytes=4096),
                # polygons as they came, `lat,lon lat,lon ...`, several parted by `;`
                Field("polygon", _TEXT, max_bytes=65_536),
                Field("circle", _TEXT, max_bytes=2048),
                Field("references", _TEXT, max_bytes=8192),
            ),
            horizon_ms=_WARNING_MS,
        ),
        EventType(
            "device.alarm",
            (
                Field("priority", _INTEGER, lo=1, hi=4, required=True),
                Field("method", _CODE, required=True),
                Field("kind", _CODE),
                Field("text", _TEXT, max_bytes=4096),
                Field("sn", _INTEGER, lo=0, hi=2**31 - 1),
            ),
            horizon_ms=_ALARM_MS,
        ),
    ]


#: Titles of the types in Chinese and English.
DOOR_TITLES: dict[str, tuple[str, str]] = {
    "cap.alert": ("外部预警消息", "Warning of others"),
    "device.alarm": ("设备报警", "Device alarm"),
}
