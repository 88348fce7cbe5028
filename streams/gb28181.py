"""Alarms of video devices: the XML body of GB/T 28181 (A.2.5, alarm notification) and its answer; no SIP.

    <Notify><CmdType>Alarm</CmdType><SN>12</SN><DeviceID>42010600001320000007</DeviceID><AlarmPriority>1</AlarmPriority>
    <AlarmMethod>5</AlarmMethod><AlarmTime>2026-11-22T22:00:05</AlarmTime><AlarmDescription>...</AlarmDescription>
    <Longitude>114.3</Longitude><Latitude>30.6</Latitude><Info><AlarmType>6</AlarmType></Info></Notify>

The body is in GB2312 or GB18030 as it declares. Its time has no offset: it is of the zone that the caller names.
"""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

from citytwin.streams import markup
from citytwin.streams.rules import Refusal

MAX_BYTES = 64 << 10
#: Source of all events of this door.
SOURCE = "gb28181"


@dataclass(frozen=True, slots=True)
class Word:
    """A code of ours for a number of the standard, with what operators read."""

    code: str
    zh: str
    en: str


#: AlarmMethod.
METHODS: dict[int, Word] = {
    1: Word("phone", "电话报警", "Phone"),
    2: Word("device", "设备报警", "Device"),
    3: Word("sms", "短信报警", "Text message"),
    4: Word("gps", "GPS报警", "GPS"),
    5: Word("video", "视频报警", "Video"),
    6: Word("fault", "设备故障报警", "Device fault"),
    7: Word("other", "其他报警", "Other"),
}
#: AlarmType by AlarmMethod; methods without a table have no types.
TYPES: dict[int, dict[int, Word]] = {
    2: {
        1: Word("video_lost", "视频丢失报警", "Video lost"),
        2: Word("tamper", "设备防拆报警", "Tampering"),
        3: Word("disk_full", "存储设备磁盘满报警", "Disk full"),
        4: Word("hot", "设备高温报警", "Device too hot"),
        5: Word("cold", "设备低温报警", "Device too cold"),
    },
    5: {
        1: Word("manual", "人工视频报警", "Raised by hand"),
        2: Word("moving_target", "运动目标检测报警", "Moving target"),
        3: Word("left_object", "遗留物检测报警", "Object left behind"),
        4: Word("removed_object", "物体移除检测报警", "Object removed"),
        5: Word("line_crossing", "绊线检测报警", "Line crossed"),
        6: Word("intrusion", "入侵检测报警", "Intrusion"),
        7: Word("wrong_way", "逆行检测报警", "Wrong way"),
        8: Word("loitering", "徘徊检测报警", "Loitering"),
        9: Word("flow_count", "流量统计报警", "Flow count"),
        10: Word("density", "密度检测报警", "Density"),
        11: Word("abnormal_video", "视频异常检测报警", "Abnormal video"),
        12: Word("fast_move", "快速移动报警", "Fast movement"),
    },
    6: {
        1: Word("disk_fault", "存储设备磁盘故障报警", "Disk fault"),
        2: Word("fan_fault", "存储设备风扇故障报警", "Fan fault"),
    },
}
_LOCAL = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True, slots=True)
class Alarm:
    """A notification: time ms UTC, place NaN where none was told."""

    sn: int
    device: str
    priority: int
    method: int
    kind: int | None
    time: int
    text: str = ""
    lon: float = math.nan
    lat: float = math.nan

    @property
    def words(self) -> Word:
        """What it is, in both languages: the type, else the method."""
        return TYPES[self.method][self.kind] if self.kind is not None else METHODS[self.method]


def read(body: bytes, zone: ZoneInfo) -> Alarm:
    """The alarm of a body. Raises Refusal."""
    root = markup.read(body, MAX_BYTES)
    if root.tag != "Notify" or _text(root, "CmdType", required=True) != "Alarm":
        raise Refusal("unknown_type", "CmdType", "this door takes Notify with the CmdType Alarm")
    device = _text(root, "DeviceID", required=True)
    if len(device) != 20 or not (device.isascii() and device.isdigit()):
        raise Refusal("bad_code", "DeviceID", "a DeviceID has 20 digits")
    method = _whole(root, "AlarmMethod", 1, 7)
    lon, lat = _place(root)
    return Alarm(
        sn=_whole(root, "SN", 0, 2**31 - 1), device=device, priority=_whole(root, "AlarmPriority", 1, 4),
        method=method, kind=_kind(root, method), time=_time(_text(root, "AlarmTime", required=True), zone),
        text=_text(root, "AlarmDescription"), lon=lon, lat=lat,
    )  # fmt: skip


def event_of(alarm: Alarm, zone: ZoneInfo) -> dict[str, Any]:
    """The CloudEvent `device.alarm`: the same notification, sent again, has the same id."""
    when = datetime.datetime.fromtimestamp(alarm.time / 1000, zone).isoformat(timespec="milliseconds")
    data = {
        "priority": alarm.priority, "method": METHODS[alarm.method].code, "sn": alarm.sn,
        "kind": TYPES[alarm.method][alarm.kind].code if alarm.kind is not None else None, "text": alarm.text or None,
    }  # fmt: skip
    event: dict[str, Any] = {
        "specversion": "1.0", "type": "device.alarm", "source": SOURCE, "subject": alarm.device,
        "id": f"{alarm.device}/{alarm.sn}/{alarm.time}", "time": when,
        "data": {k: v for k, v in data.items() if v is not None},
    }  # fmt: skip
    return event if math.isnan(alarm.lon) else {**event, "lon": alarm.lon, "lat": alarm.lat}


def answer(body: bytes, *, taken: bool, why: str = "") -> bytes:
    """The Response of the standard, with SN and DeviceID where the body has such, and in a comment why not."""
    root = ET.Element("Response")
    markup.add(root, "CmdType", "Alarm")
    try:
        asked = markup.read(body, MAX_BYTES)
        sn, device = (_text(asked, n) for n in ("SN", "DeviceID"))
    except Refusal:
        sn = device = ""
    markup.add(root, "SN", sn if sn.isascii() and sn.isdigit() and len(sn) <= 10 else "0")
    markup.add(root, "DeviceID", device if device.isascii() and device.isdigit() and len(device) == 20 else "")
    markup.add(root, "Result", "OK" if taken else "ERROR")
    if why:  # the standard has no element for it
        root.append(ET.Comment(f" {markup.clean(why).replace('--', '- -')[:300].rstrip('-')} "))
    return markup.written(root, "gb2312")


def _text(at: ET.Element, name: str, *, required: bool = False) -> str:
    found = at.findall(name)
    if len(found) > 1 or (found and len(found[0])):
        raise Refusal("wrong_type", name, f"{name} is one element with a text")
    text = (found[0].text or "").strip() if found else ""
    if required and not text:
        raise Refusal("missing", name, f"{name} is required")
    return text


def _number(text: str, name: str, lo: int, hi: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise Refusal("wrong_type", name, f"{name} is {text[:20]!r}, a whole number was expected")
    if not lo <= int(text) <= hi:
        raise Refusal("out_of_range", name, f"{name} is {text[:20]}; it goes from {lo} to {hi}")
    return int(text)


def _whole(root: ET.Element, name: str, lo: int, hi: int) -> int:
    return _number(_text(root, name, required=True), name, lo, hi)


def _kind(root: ET.Element, method: int) -> int | None:
    info = root.find("Info")
    text = _text(info, "AlarmType") if info is not None else ""
    known = TYPES.get(method)
    if not text or known is None:
        return None
    kind = _number(text, "AlarmType", 1, 99)
    if kind not in known:
        raise Refusal("bad_code", "AlarmType", f"the method {method} has the types 1 to {max(known)}, not {kind}")
    return kind


def _time(text: str, zone: ZoneInfo) -> int:
    for form in _LOCAL:
        try:
            when = datetime.datetime.strptime(text, form).replace(tzinfo=zone)
        except ValueError:
            continue
        if when.year >= 1970:
            return round(when.timestamp() * 1000)
    raise Refusal(
        "bad_time", "AlarmTime", f"AlarmTime is {text[:40]!r}; it is written 2026-11-22T22:00:05, without offset"
    )


def _place(root: ET.Element) -> tuple[float, float]:
    """Longitude and latitude, both or none; devices without a position send 0 and 0."""
    texts = _text(root, "Longitude"), _text(root, "Latitude")
    if not any(texts):
        return math.nan, math.nan
    try:
        lon, lat = float(texts[0]), float(texts[1])
    except ValueError:
        lon = lat = math.nan
    if not (math.isfinite(lon) and math.isfinite(lat)):
        raise Refusal("bad_number", "Longitude", "Longitude and Latitude are both numbers, or both left away")
    if (lon, lat) == (0.0, 0.0):
        return math.nan, math.nan
    if abs(lat) > 90 and abs(lon) <= 90:
        raise Refusal("swapped_lonlat", "Latitude", "longitude and latitude seem to be exchanged")
    if abs(lat) > 90 or abs(lon) > 180:
        raise Refusal("out_of_range", "Latitude", "latitude goes to 90 degrees, longitude to 180")
    return lon, lat
