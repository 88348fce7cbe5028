"""Applications, items, targets, data, credit, datastreams and the platform, counted plainly."""

from __future__ import annotations

import random
from typing import Any

from tests.indicators.oracle_law import DAY, MINUTE, SILENT_S, rounded
from tests.indicators.recounts.services import CODES, organisations, ratio, right

Event = dict[str, Any]

HORIZON = {"data.exchange": 35 * DAY, "record.ingested": 2 * DAY, "credit.record": 105 * DAY} | dict.fromkeys(
    ("platform.lag", "platform.intake", "ws.push"), DAY
)
SKETCHES = {"ws_push_latency_p95": 0}
ALONE = ("service.item",)
SCALES = (
    ("gov_service", "elicence_use_rate", 95, 90, 85), ("gov_service", "online_items", 1100, 1050, 1000),
    ("gov_service", "online_doable_ratio", 97, 96, 95), ("gov_service", "full_online_ratio", 74, 72, 70),
    ("gov_service", "office_apps", 34, 32, 30), ("gov_service", "citycode_services", 132, 126, 120),
    ("gov_service", "service_on_time_rate", 100, 99, 97), ("gov_service", "indicator_models", 72, 66, 60),
    ("data_governance", "data_accuracy_rate", 100, 99, 97),
    ("data_governance", "catalogue_linkage_rate", 100, 95, 90),
    ("data_governance", "data_exchange_rate", 100, 98, 95), ("data_governance", "address_match_rate", 100, 95, 90),
    ("data_governance", "twin_link_completeness", 100, 95, 90),
    ("credit", "credit_report_timeliness", 100, 98, 95), ("credit", "uscc_valid_rate", 100, 99.9, 99),
    ("iot", "data_freshness_rate", 100, 95, 90), ("platform", "consumer_lag_max", 0, 10_000, 100_000),
    ("platform", "late_event_ratio", 0, 1, 5), ("platform", "duplicate_event_ratio", 0, 1, 5),
    ("platform", "ws_push_latency_p95", 0, 500, 2000),
)  # fmt: skip
_ITEMS, _RECORDS, _INTAKE = (("service.item", ""),), (("record.ingested", ""),), (("platform.intake", ""),)
FEEDS = {
    "elicence_use_rate": ((("service", ""),), 1, True),
    "online_items": (_ITEMS, 0, False),
    "online_doable_ratio": (_ITEMS, 1, False),
    "full_online_ratio": (_ITEMS, 1, False),
    "office_apps": ((("office.app", ""),), 0, False),
    "citycode_services": ((("citycode.service", ""),), 0, False),
    "service_on_time_rate": ((("service", ""),), 2, True),
    "indicator_models": ((("indicator.value", ""),), 0, False),
    "data_accuracy_rate": ((("data.batch", ""),), 1, True),
    "catalogue_linkage_rate": ((("catalogue", ""),), 1, False),
    "data_exchange_rate": ((("data.exchange", ""),), 1, True),
    "address_match_rate": (_RECORDS, 3, True),
    "twin_link_completeness": ((), 4, False),
    "credit_report_timeliness": ((("credit.record", ""),), 1, True),
    "uscc_valid_rate": (_RECORDS, 1, True),
    "data_freshness_rate": ((("obs", ""),), 4, False),
    "consumer_lag_max": ((("platform.lag", ""),), 0, False),
    "late_event_ratio": (_INTAKE, 0, False),
    "duplicate_event_ratio": (_INTAKE, 0, False),
    "ws_push_latency_p95": ((("ws.push", ""),), 0, False),
}  # fmt: skip


# What a history may say.


def _place(w: bytes) -> int:
    return w[7] if w[8] % 3 == 0 else 0


def application(writer: Any, w: bytes) -> None:
    """An application and its end, in time, late or withdrawn."""
    code, time, choice = f"AP{w[3] % 6}", writer.time(w[1], w[2]), random.Random(w[4])
    due = time + choice.choice((-5 * 60 * MINUTE, 90 * MINUTE, 20 * 60 * MINUTE))
    if w[5] % 6:
        needed, reused = ((None, 2), (0, 0), (3, 2), (4, 4), (1, 3), (2, None))[w[6] % 6]
        writer.add(
            "service.apply", time, code, w[7], item="i", due_at=due, licences_needed=needed, licences_reused=reused
        )
    if w[9] % 3:
        result = ("granted", "refused", "withdrawn")[w[8] % 3]
        done = due + choice.choice((-MINUTE, 0, 1, 3 * 60 * MINUTE))
        writer.add("service.done", done, code, _place(w), result=result)


def lists(writer: Any, w: bytes) -> None:
    """Items, office applications and services of the city code as they are."""
    time = writer.time(w[1], w[2])
    for k in range(1 + w[9] % 3):
        if w[3] % 3 == 0:
            state = ("live", "live", "testing", "retired")[(w[4] + k) % 4]
            type = ("office.app", "citycode.service")[w[5] % 2]
            writer.add(type, time, f"app{(w[6] + k) % 5}", _place(w), state=state)
        else:
            state, whole = ("online", "online", "offline", "draft")[(w[4] + k) % 4], (None, 0, 1)[(w[5] + k) % 3]
            writer.add("service.item", time, f"item{(w[6] + k) % 7}", w[7], state=state, full_online=whole)


def data(writer: Any, w: bytes) -> None:
    """A delivery with its rows, an exchange, a credit record: in time, late, or still due."""
    time, kind = writer.time(w[1], w[2]), w[3] % 3
    due = time + (w[4] % 5 - 2) * 4 * 60 * MINUTE
    done = (None, due - 3 * MINUTE, due, due + 1, time)[w[5] % 5]
    if kind == 0:
        rows, bad = ((None, 3), (100, None), (100, 3), (1000, 0), (7, 9), (250, 250))[w[6] % 6]
        writer.add(
            "data.batch", time, f"B{w[9] % 4}", w[7], dataset="d", due_at=due, received_at=done, rows=rows, bad_rows=bad
        )
    elif kind == 1:
        writer.add("data.exchange", time, f"X{w[9] % 5}", w[7], due_at=due, done_at=done, ok=(1, 1, 0, None)[w[6] % 4])
    else:
        told = {"decided_at": time, "due_at": due, "reported_at": done, "kind": ("permission", "penalty")[w[6] % 2]}
        writer.add("credit.record", time, f"CR{w[9] % 5}", w[7], **told)


def catalogue(writer: Any, w: bytes) -> None:
    """An entry of the catalogue is told, linked, unlinked."""
    entry, time = f"cat{w[3] % 4}", writer.time(w[1], w[2])
    if w[4] % 4:
        writer.add("catalogue.entry", time, entry, w[7], must_link=int(w[5] % 4 > 0))
    for k in range(w[9] % 3):
        word = ("linked", "unlinked", "linked")[(w[6] + k) % 3]
        writer.add(f"catalogue.{word}", time + (0, -MINUTE, 50 * MINUTE)[(w[8] + k) % 3], entry)


def records(writer: Any, w: bytes) -> None:
    """Records that came in, with and without address and credit code."""
    code = CODES[w[3] % len(CODES)]
    codes = (None, code, code, f"{code[:17]}{'0' if code[17] != '0' else '1'}", "91420100", code.lower(), "９" * 18)
    for k in range(1 + w[9] % 3):
        text, address = ((None, "c-a1"), ("12号", None), ("12号", "c-a1"), ("某路", "c-a1"))[(w[4] + k) % 4]
        uscc = codes[(w[5] + k) % len(codes)]
        time = writer.time(w[1], w[2])
        writer.add("record.ingested", time, "", w[7] + k, address_text=text, address_id=address, uscc=uscc)


def platform(writer: Any, w: bytes) -> None:
    """What the shell says of itself."""
    time, kind = writer.time(w[1], w[2]), w[3] % 3
    if kind == 0:
        for k in range(1 + w[9] % 3):
            said = {"partition": f"p{(w[5] + k) % 3}", "records": (None, 0, 17, 99_999)[(w[6] + k) % 4]}
            writer.add("platform.lag", time - k * 4 * MINUTE, ("log", "kafka")[w[4] % 2], **said)
    elif kind == 1:
        events = (0, 1, 300, 4096)[w[4] % 4]
        late, duplicates = events * w[5] // 256, events * w[6] // 512
        writer.add("platform.intake", time, "", events=events, late=late, duplicates=duplicates)
    else:
        for k in range(1 + w[9] % 4):
            spent = (-2, 0, 7, 120, 3000)[(w[4] + k) % 5]
            writer.add("ws.push", time, "", queued_ts=time - spent, sent_ts=time)


deeds = (application, lists, data, catalogue, records, platform)


def revise(first: Event, w: bytes) -> Event:
    """How a correction differs."""
    if "licences_needed" in first or "licences_reused" in first:
        return {"licences_needed": 1 + w[6] % 4, "licences_reused": w[7] % 4}
    if first["type"] in ("service.item", "office.app", "citycode.service"):
        states = ("online", "offline", "draft") if first["type"] == "service.item" else ("live", "testing", "retired")
        return {"state": states[w[6] % 3]}
    if "rows" in first:
        return {"rows": 100 + w[6], "bad_rows": w[7]}
    if first["type"] == "record.ingested":
        return {"uscc": CODES[w[6] % len(CODES)], "address_id": ("", "c-a1")[w[7] % 2]}
    if "must_link" in first:
        return {"must_link": w[6] % 2}
    if "partition" in first:
        return {"records": w[6] * 1000}
    if first["type"] == "platform.intake":
        return {"events": 500, "late": w[6], "duplicates": w[7]}
    return {}


# The recounts.


def recount(oracle: Any, live: list[Event], newest: dict[tuple[str, str], Event], out: dict[str, Any]) -> None:
    """All but the number of indicator models, which needs the others: see `models`."""
    _applications(oracle, live, out)
    _lists(oracle, live, out)
    _data(oracle, live, out)
    _records(oracle, live, out)
    out["twin_link_completeness"] = oracle.share(_links(oracle))
    out["data_freshness_rate"] = ratio(oracle, 4, _streams(oracle, newest))
    _platform(oracle, live, out)


def _due(oracle: Any, rows: Any, name: str, length: int, back: int) -> list[Event]:
    """Rows of which a time has passed within the window."""
    known = [r for r in rows if r.get(name) is not None and r[name] <= oracle.now]
    return [r for r in known if oracle.inside(r[name], length, length, back)]


def _applications(oracle: Any, live: list[Event], out: dict[str, Any]) -> None:
    rows = [a for a in oracle.journeys(live, "service.apply", "service.done").values() if "apply_at" in a]
    for tail, back in (("", 0), ("|closed", 1)):
        used = []
        for a in _due(oracle, rows, "apply_at", 30 * DAY, back):
            needed, reused = a.get("licences_needed"), a.get("licences_reused")
            if needed is not None and reused is not None:
                used.append((a["at"], (min(needed, reused), needed)))
        out[f"elicence_use_rate{tail}"] = ratio(oracle, 1, used)
        due = [a for a in _due(oracle, rows, "due_at", 30 * DAY, back) if a.get("result") != "withdrawn"]
        on_time = ((a["at"], "done_at" in a and a["done_at"] <= a["due_at"]) for a in due)
        out[f"service_on_time_rate{tail}"] = oracle.upto(2, oracle.share(on_time))


def _lists(oracle: Any, live: list[Event], out: dict[str, Any]) -> None:
    zero = dict.fromkeys(range(len(oracle.world.level)), 0.0)
    items = list({e["subject"]: e for e in live if e["type"] == "service.item"}.values())
    online = oracle.grouped((e["at"], 1) for e in items if e["state"] == "online")
    out["online_items"] = oracle.upto(0, zero | {r: float(len(v)) for r, v in online.items()})
    ruled = [e for e in items if e["state"] != "draft"]
    out["online_doable_ratio"] = oracle.upto(1, oracle.share((e["at"], e["state"] == "online") for e in ruled))
    whole = ((e["at"], e["state"] == "online" and e.get("full_online") == 1) for e in ruled)
    out["full_online_ratio"] = oracle.upto(1, oracle.share(whole))
    for id, type in (("office_apps", "office.app"), ("citycode_services", "citycode.service")):
        states = {e["subject"]: e["state"] for e in live if e["type"] == type}
        out[id] = {0: float(sum(s == "live" for s in states.values()))}


def _data(oracle: Any, live: list[Event], out: dict[str, Any]) -> None:
    batches, exchanges, credits = (
        list({e["subject"]: e for e in live if e["type"] == type}.values())
        for type in ("data.batch", "data.exchange", "credit.record")
    )
    for tail, back in (("", 0), ("|closed", 1)):
        got = []
        for b in _due(oracle, batches, "received_at", DAY, back):
            rows, bad = b.get("rows"), b.get("bad_rows")
            if rows is not None and bad is not None and bad <= rows:
                got.append((b["at"], (rows - bad, rows)))
        out[f"data_accuracy_rate{tail}"] = ratio(oracle, 1, got)
        done = (
            (e["at"], e.get("ok") == 1 and e.get("done_at") is not None and e["done_at"] <= e["due_at"])
            for e in _due(oracle, exchanges, "due_at", DAY, back)
        )
        out[f"data_exchange_rate{tail}"] = oracle.upto(1, oracle.share(done))
        told = (
            (e["at"], e.get("reported_at") is not None and e["reported_at"] <= e["due_at"])
            for e in _due(oracle, credits, "due_at", 30 * DAY, back)
        )
        out[f"credit_report_timeliness{tail}"] = oracle.upto(1, oracle.share(told))
    entries = oracle.journeys(live, "catalogue.entry", "catalogue.linked", "catalogue.unlinked").values()
    linked = (
        (c["at"], "linked_last" in c and not c.get("unlinked_last", c["linked_last"] - 1) >= c["linked_last"])
        for c in entries if "entry_at" in c and c["must_link"] == 1
    )  # fmt: skip
    out["catalogue_linkage_rate"] = oracle.upto(1, oracle.share(linked))


def _records(oracle: Any, live: list[Event], out: dict[str, Any]) -> None:
    for tail, back in (("", 0), ("|closed", 1)):
        day = [e for e in live if e["type"] == "record.ingested" and oracle.inside(e["time"], DAY, DAY, back)]
        matched = ((e["at"], bool(e.get("address_id"))) for e in day if e.get("address_text"))
        out[f"address_match_rate{tail}"] = oracle.upto(3, oracle.share(matched))
        valid = ((e["at"], right(e["uscc"])) for e in day if e.get("uscc"))
        out[f"uscc_valid_rate{tail}"] = oracle.upto(1, oracle.share(valid))


_LINKS = {
    "population": ("grid",), "house": ("building", "address", "grid"), "organisation": ("address", "grid"),
    "facility": ("building", "grid"), "device": ("building", "grid"),
}  # fmt: skip


def _links(oracle: Any) -> list[tuple[int, bool]]:
    entities = oracle.world.entities
    out = []
    for e in entities.values():
        if e["kind"] in _LINKS and e["kind"] != "organisation":
            links = [(name, e.get(name)) for name in _LINKS[e["kind"]]]
            out.append((e["scope"], all(code in entities and entities[code]["kind"] == name for name, code in links)))
    for one in organisations(oracle).values():
        if one["since"] <= oracle.now and (one["end"] is None or one["end"] > oracle.now):
            links = [(name, one.get(name)) for name in _LINKS["organisation"]]
            known = all(code in entities and entities[code]["kind"] == name for name, code in links)
            out.append((one.get("scope", -1), known))
    return out


def _streams(oracle: Any, newest: dict[tuple[str, str], Event]) -> list[tuple[int, tuple[float, float]]]:
    """Fresh and expected datastreams of devices that are not out of service."""
    entities = oracle.world.entities
    declared = {
        (code, name) for code, e in entities.items() if e.get("in_service") != 0
        for name in e.get("properties", "").split()
    }  # fmt: skip
    out = [(entities[code]["scope"], (0.0, 1.0)) for code, _ in declared]
    for (subject, name), e in newest.items():
        device = entities.get(subject, {})
        if device.get("in_service") != 0:
            fresh = oracle.now < e["time"] + 2000 * device.get("period_s", SILENT_S)
            out.append((device.get("scope", e["at"]), (float(fresh), float((subject, name) not in declared))))
    return out


def _platform(oracle: Any, live: list[Event], out: dict[str, Any]) -> None:
    lags = {(e["subject"], e["partition"]): e for e in live if e["type"] == "platform.lag"}.values()
    waiting = [e["records"] for e in lags if e.get("records") is not None and oracle.now < e["time"] + 10 * MINUTE]
    out["consumer_lag_max"] = {0: float(max(waiting))} if waiting else {}
    told = [e for e in live if e["type"] == "platform.intake" and oracle.inside(e["time"], 5 * MINUTE, 10_000)]
    events = sum(e["events"] for e in told)
    for id, name in (("late_event_ratio", "late"), ("duplicate_event_ratio", "duplicates")):
        out[id] = {0: rounded(100 * sum(e[name] for e in told) / events, 2)} if events else {}
    pushes = [e for e in live if e["type"] == "ws.push" and oracle.inside(e["time"], 5 * MINUTE, 10_000)]
    spent = sorted(max(0, e["sent_ts"] - e["queued_ts"]) for e in pushes)
    out["ws_push_latency_p95"] = {0: oracle.quantile(spent)} if spent else {}
