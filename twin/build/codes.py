"""Codes of made entities, by the coding rules of their kinds."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter

_USCC = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_ORG = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: Class and sub-class of each kind of facility: 01 public utilities, 02 traffic, 03 appearance, 04 green, 05 other.
FACILITY_CLASS = {
    "manhole": "0101",
    "hydrant": "0112",
    "streetlight": "0117",
    "transformer": "0121",
    "gas_regulator": "0125",
    "dma": "0130",
    "drain_pump": "0131",
    "elevator": "0140",
    "parking": "0201",
    "bus_stop": "0202",
    "metro_station": "0203",
    "signal": "0204",
    "bridge": "0205",
    "underpass": "0206",
    "road": "0210",
    "waste_bin": "0304",
    "park": "0401",
    "scenic_area": "0402",
    "school": "0501",
    "hospital": "0502",
    "venue": "0503",
    "shelter": "0504",
    "ems_station": "0505",
    "fire_station": "0506",
    "police_station": "0507",
    "low_point": "0508",
    "river_section": "0509",
    "sports_venue": "0510",
    "other": "0599",
}


class Numbers:
    """Counts up within each prefix, so that a code is never given twice."""

    def __init__(self) -> None:
        self._used: Counter[str] = Counter()

    def next(self, prefix: str, digits: int) -> str:
        """`prefix` and the next number of that many digits."""
        self._used[prefix] += 1
        return f"{prefix}{self._used[prefix]:0{digits}d}"

    def facility(self, grid: str, kind: str) -> str:
        """Component code: county 6, class 2, sub-class 2, sequence 6."""
        return self.next(grid[:6] + FACILITY_CLASS[kind], 6)

    def building(self, grid: str) -> str:
        """Building code: community 12 and sequence 5."""
        return self.next(grid[:12], 5)

    def device(self, letters: str, grid: str) -> str:
        """Own id of a device: letters, district and sequence."""
        return self.next(f"{letters}-{grid[:6]}-", 4)

    def camera(self, grid: str) -> str:
        """GB/T 28181 rule A: centre 8, industry 2, type 3 (132, camera), sequence 7."""
        return self.next(grid[:6] + "00" + "00" + "132", 7)


def uscc(county: str, number: int) -> str:
    """A unified social credit code (GB 32100-2015) of a company: 91, county 6, body 9 with its check, check."""
    body = f"MA{number:06d}"
    weights = (3, 7, 9, 10, 5, 8, 4, 2)
    rest = (11 - sum(_ORG.index(c) * w for c, w in zip(body, weights, strict=True)) % 11) % 11
    first = f"91{county}{body}{'X' if rest == 10 else rest}"
    total = sum(_USCC.index(c) * pow(3, i, 31) for i, c in enumerate(first)) % 31
    return first + _USCC[(31 - total) % 31]


def person(number: int, seed: int) -> str:
    """A keyed hash that stands for a made person; nothing leads back to anybody."""
    return hmac.new(f"citytwin made person {seed}".encode(), str(number).encode(), hashlib.sha256).hexdigest()[:32]
