"""The rules of the city over what devices say is wrong: an alarm of a video platform becomes one of the desk."""

from __future__ import annotations

import re

from citytwin.twin.pack import CITIES
from tests.indicators.rules.street import Street

_RULES = (CITIES / "wuhan" / "rules" / "devices.toml").read_text("utf-8")


def test_an_alarm_of_a_device_is_raised_by_its_priority_and_ends_by_itself() -> None:
    alarms = "[[rule]]".join(["", *(r for r in _RULES.split("[[rule]]") if re.search(r'type = "device.alarm"', r))])
    s = Street(alarms)
    s.say("device.alarm", {"min": 0, "who": "D00", "priority": 1, "method": "video", "id": "a1"})
    s.say("device.alarm", {"min": 0, "who": "D01", "priority": 3, "method": "device", "id": "a2"})
    assert s.tick(0) == ["alarm.raised device.alarm@D00", "alarm.raised device.alarm_low@D01"]
    urgent, low = s.drafts
    assert (urgent.fields["priority"], urgent.fields.get("notice", 0)) == (2, 0)
    assert low.fields["notice"] == 1, "3 and 4 need no response"
    s.say("device.alarm", {"min": 8, "who": "D00", "priority": 2, "method": "video", "id": "a3"})
    said = {m / 2: found for m in range(16, 50) if (found := s.tick(m / 2))}
    assert said == {11.0: ["alarm.cleared device.alarm_low@D01"], 19.0: ["alarm.cleared device.alarm@D00"]}
