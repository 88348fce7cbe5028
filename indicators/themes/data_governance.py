"""Data governance: data that come in time, are right, are linked, are exchanged; records that lead to places.

及时率, 准确率, 挂接率 and 交换率 are named by the project (status S); what they count and their limits are ours (L).
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np

from citytwin.indicators.api import col, count, indicator, row, tally
from citytwin.indicators.expr import Expr, ref
from citytwin.models.columns import Float64


@indicator(
    "data_timeliness_rate", theme="data_governance", window="tumbling 1d", unit="%", better="up",
    levels="city district", decimals=2, name={"zh": "数据汇聚及时率", "en": "Data timeliness"},
    meaning={
        "zh": "当日应到批次中按时到达的比例",
        "en": "Share of the deliveries due today that came by their deadline",
    },
    bands={"yellow": 95, "red": 90}, source="named by the project; limits are a local default", status="S+L",
    owner="data centre", feeds=(("data.batch", ""),),
    examples=[{"in_time": 19, "due": 20, "gives": 95.0}, {"in_time": 0, "due": 0, "gives": None}],
)  # fmt: skip
def data_timeliness_rate(
    in_time: Float64 = tally("data.batch", where=row.received_at <= row.due_at, at=row.due_at),
    due: Float64 = tally("data.batch", at=row.due_at),
) -> Float64:
    """Deliveries received by their deadline over all whose deadline has passed today; one never received is late."""
    return 100 * in_time / due


_COUNTED = row.rows.known() & row.bad_rows.known() & (row.bad_rows <= row.rows)


@indicator(
    "data_accuracy_rate", theme="data_governance", window="tumbling 1d", unit="%", better="up",
    levels="city district", decimals=2, name={"zh": "数据准确率", "en": "Data accuracy"},
    meaning={
        "zh": "当日到达批次中未发现错误的数据行比例",
        "en": "Share of the rows of the deliveries received today in which no error was found",
    },
    bands={"yellow": 99, "red": 97}, source="named by the project; limits are a local default", status="S+L",
    owner="data centre", feeds=(("data.batch", ""),),
    examples=[{"bad": 3, "rows": 1000, "gives": 99.7}, {"bad": 0, "rows": 0, "gives": None}],
)  # fmt: skip
def data_accuracy_rate(
    bad: Float64 = tally("data.batch", row.bad_rows, _COUNTED, at=row.received_at),
    rows: Float64 = tally("data.batch", row.rows, _COUNTED, at=row.received_at),
) -> Float64:
    """(rows - bad rows) / rows over the deliveries that were received in the local day, each by its newest word.

    A delivery that does not tell how many of its rows are bad, or tells more bad rows than rows, is in neither sum.
    """
    return 100 * (np.asarray(rows) - bad) / rows


#: The newest move of an entry that links it is later than any that unlinks it; of equal times the unlinking holds.
_LIVE = row.linked_last.known() & ~(row.unlinked_last >= row.linked_last)
_MUST = row.entry_at.known() & (row.must_link == 1)


@indicator(
    "catalogue_linkage_rate", theme="data_governance", window="instant", unit="%", better="up",
    levels="city district", decimals=2, name={"zh": "数据挂接率", "en": "Catalogue linkage rate"},
    meaning={
        "zh": "应挂接目录条目中已挂接有效资源的比例",
        "en": "Share of the catalogue entries that must have a resource and do have a live one",
    },
    bands={"yellow": 95, "red": 90}, source="named by the project; limits are a local default", status="S+L",
    owner="data centre", feeds=(("catalogue", ""),),
    examples=[{"linked": 19, "entries": 20, "gives": 95.0}, {"linked": 0, "entries": 0, "gives": None}],
)  # fmt: skip
def catalogue_linkage_rate(
    linked: Float64 = tally("catalogue", where=_MUST & _LIVE), entries: Float64 = tally("catalogue", where=_MUST)
) -> Float64:
    """Entries that must be linked and are, over those that must be.

    An entry is linked from `catalogue.linked` until a later `catalogue.unlinked`. Whether it must be is what its newest
    `catalogue.entry` says; a link of an entry that was never entered counts nowhere.
    """
    return 100 * linked / entries


@indicator(
    "data_exchange_rate", theme="data_governance", window="tumbling 1d", unit="%", better="up",
    levels="city district", decimals=2, name={"zh": "数据交换率", "en": "Data exchange rate"},
    meaning={
        "zh": "当日到期的数据交换请求中按时成功完成的比例",
        "en": "Share of the exchange requests due today that were fulfilled within their limit",
    },
    bands={"yellow": 98, "red": 95}, source="named by the project; definition and limits are ours", status="S+L",
    owner="data centre", feeds=(("data.exchange", ""),),
    examples=[{"fulfilled": 49, "due": 50, "gives": 98.0}, {"fulfilled": 0, "due": 0, "gives": None}],
)  # fmt: skip
def data_exchange_rate(
    fulfilled: Float64 = tally("data.exchange", where=(row.ok == 1) & (row.done_at <= row.due_at), at=row.due_at),
    due: Float64 = tally("data.exchange", at=row.due_at),
) -> Float64:
    """Requests done in time and well, over all whose limit passed in the local day.

    A request that was answered with an error, too late or never is due and not fulfilled. It counts when its limit
    passes and not before, so that requests just made do not lower the rate.
    """
    return 100 * fulfilled / due


_ADDRESSED = col.address_text.known()


@indicator(
    "address_match_rate", theme="data_governance", window="tumbling 1d", unit="%", better="up",
    levels="city district street community", decimals=2,
    name={"zh": "标准地址匹配率", "en": "Standard address match rate"},
    meaning={
        "zh": "当日入库且带地址文本的记录中匹配到标准地址的比例",
        "en": "Share of the day's records with an address text that were resolved to a standard address",
    },
    bands={"yellow": 95, "red": 90}, source="local default", status="L", owner="data centre",
    feeds=(("record.ingested", ""),),
    examples=[{"matched": 95, "addressed": 100, "gives": 95.0}, {"matched": 0, "addressed": 0, "gives": None}],
)  # fmt: skip
def address_match_rate(
    matched: Float64 = count("record.ingested", _ADDRESSED & col.address_id.known()),
    addressed: Float64 = count("record.ingested", _ADDRESSED),
) -> Float64:
    """Records of the local day with an address text and the code of a standard address, over those with a text.

    Matching is the work of the source; a code is taken as it is told. A record with a code and no text is in neither.
    """
    return 100 * matched / addressed


#: By kind: what each entry must be linked to, of address, building and grid those that the kind has.
LINKS = {
    "population": ("grid",),
    "house": ("building", "address", "grid"),
    "organisation": ("address", "grid"),
    "facility": ("building", "grid"),
    "device": ("building", "grid"),
}


def _linked(kind: str) -> Expr:
    """Every link of the kind leads to an entry that has not ended."""
    links = [ref("row", name).known() & ~ref("row", f"{name}.valid_to").known() for name in LINKS[kind]]
    return functools.reduce(operator.and_, links)


def _entries(kind: str, where: Expr | None = None) -> Any:
    """Entries of a kind that are in force."""
    return tally(kind, where=where, start=row.since, end=row.valid_to)


@indicator(
    "twin_link_completeness", theme="data_governance", window="instant", unit="%", better="up",
    levels="city district street community grid", decimals=2,
    name={"zh": "四标五实关联完整率", "en": "Four-standards link completeness"},
    meaning={
        "zh": "实有人口、房屋、单位、设施、感知设备中与标准地址、建筑物、网格关联齐全的比例",
        "en": "Share of people, houses, organisations, facilities and devices whose standard links are all known",
    },
    bands={"yellow": 95, "red": 90}, source="local default", status="L", owner="data centre",
    examples=[
        {**dict.fromkeys(("population_linked", "house_linked", "organisation_linked", "facility_linked"), 10),
         "device_linked": 5, **dict.fromkeys(LINKS, 10), "gives": 90.0},
        {**dict.fromkeys(LINKS, 0), **{f"{kind}_linked": 0 for kind in LINKS}, "gives": None},
    ],
)  # fmt: skip
def twin_link_completeness(
    population: Float64 = _entries("population"),
    population_linked: Float64 = _entries("population", _linked("population")),
    house: Float64 = _entries("house"),
    house_linked: Float64 = _entries("house", _linked("house")),
    organisation: Float64 = _entries("organisation"),
    organisation_linked: Float64 = _entries("organisation", _linked("organisation")),
    facility: Float64 = _entries("facility"),
    facility_linked: Float64 = _entries("facility", _linked("facility")),
    device: Float64 = _entries("device"),
    device_linked: Float64 = _entries("device", _linked("device")),
) -> Float64:
    """Entries of the five kinds of 五实 whose links are all known, over all of them that are in force.

    The catalogue asks address, building and grid of all five; a kind can only have the links that its register knows:
    people the grid (their address and building are those of the house), houses building, address and grid,
    organisations address and grid, facilities and devices building and grid. A link to an entry that is not registered
    or has ended is none. Registers have no period, so nothing makes it stale.
    """
    every = np.asarray(population) + house + organisation + facility + device
    linked = np.asarray(population_linked) + house_linked + organisation_linked + facility_linked + device_linked
    return 100 * linked / every


INDICATORS = (
    data_timeliness_rate,
    data_accuracy_rate,
    catalogue_linkage_rate,
    data_exchange_rate,
    address_match_rate,
    twin_link_completeness,
)
