"""Event types of the family `case`, with titles in both languages; the subject is the code of the case.

What each does is the table of models.lifecycle. Every type but the import door `case.history` has `actor`, `reason` and
`rev`, the revision of the case that a command knows: another one is refused with `stale_rev`.
"""

from __future__ import annotations

from citytwin.models.lifecycle import MOVE_TYPES
from citytwin.models.vocabulary import ALWAYS, EventType, Field, Kind

_CODE, _NUMBER, _INTEGER, _TIME, _TEXT, _FLAG = (
    Kind.CODE,
    Kind.NUMBER,
    Kind.INTEGER,
    Kind.TIME,
    Kind.TEXT,
    Kind.FLAG,
)
_COMMON = (Field("actor", _CODE), Field("reason", _TEXT), Field("rev", _INTEGER, lo=0))
#: Longest report, note or reply in bytes: some thousand Chinese characters.
TEXT_MAX = 4096
_SAYS = Field("text", _TEXT, max_bytes=TEXT_MAX)
_LEVEL = Field("level", _INTEGER, lo=0, hi=4)
_UNIT = Field("unit", _CODE)
_REPORT = (Field("category", _CODE), Field("channel", _CODE), Field("component", _TEXT), _LEVEL)

#: Fields of each type besides the common ones.
CASE_FIELDS: dict[str, tuple[Field, ...]] = {
    "reported": (
        *_REPORT,
        _SAYS,
        Field("address", _TEXT),
        Field("caller", Kind.SECRET),
        Field("confidential", _FLAG),
        Field("source_alarm", _TEXT),
        Field("rule", _TEXT),
        Field("backfilled", _FLAG),
        # when it happened, of a report that is taken in afterwards; no clock begins with it
        Field("happened_at", _TIME),
    ),
    "accepted": (),
    "rejected": (_SAYS,),
    "filed": (
        Field("due_at", _TIME, required=True),
        *_REPORT,
        Field("customers", _INTEGER, lo=0, hi=100_000_000),
        Field("unit_due_at", _TIME),
    ),
    "dispatched": (
        _UNIT,
        Field("strategy", _CODE),
        Field("score", _NUMBER, per_unit=1000),
        Field("candidates", _TEXT, max_bytes=16_384),
        Field("unit_due_at", _TIME),
    ),
    "received": (_UNIT,),
    "arrived": (_UNIT,),
    "handled": (Field("evidence", _TEXT), _UNIT, _SAYS),
    "returned": (Field("why", _CODE), _UNIT),
    "verified": (Field("passed", _FLAG, required=True),),
    "closed": (_SAYS,),
    "reopened": (Field("due_at", _TIME),),
    "deferred": (Field("until", _TIME, required=True),),
    "extended": (Field("due_at", _TIME, required=True),),
    "escalated": (Field("to", _CODE),),
    "merged": (Field("into", _TEXT, required=True),),
    "voided": (),
    "evaluated": (Field("satisfied", _FLAG), Field("resolved", _FLAG)),
    "answered": (_SAYS,),
    "transferred": (Field("to", _CODE, required=True), Field("receipt", _TEXT)),
    "withdrawn": (),
    "parked": (Field("until", _TIME, required=True),),
    "unmerged": (),
    "designated": (Field("to", _CODE, required=True),),
    "assigned": (Field("unit", _CODE, required=True), Field("role", _CODE, choices=("lead", "support"))),
    "unassigned": (Field("unit", _CODE, required=True),),
    "enroute": (_UNIT,),
    "cleared": (_UNIT,),
    # a new deadline, or a time until which to defer
    "extension_asked": (Field("due_at", _TIME), Field("until", _TIME)),
    "extension_refused": (),
    # the unit that is urged, where it is one
    "urged": (Field("to", _CODE), _UNIT, _SAYS),
    "supervised": (Field("to", _CODE), _SAYS),
    "instructed": (_SAYS,),
    "noted": (_SAYS,),
    "evidence": (Field("hash", _TEXT), _SAYS),
    "unlike": (Field("other", _TEXT, required=True),),
    "called_back": (Field("satisfied", _FLAG), _SAYS),
    # what the other side answered a transfer with: its number there, or the name of who took it
    "acknowledged": (Field("receipt", _TEXT, required=True),),
}

_HISTORY = (
    Field("created_at", _TIME, required=True),
    Field("closed_at", _TIME),
    Field("due_at", _TIME),
    Field("category", _CODE),
    Field("agency", _CODE),
    Field("status", _CODE),
    Field("channel", _CODE),
)


def case_types() -> list[EventType]:
    """The moves of a case and the import door for records of other systems, in the order of their codes."""
    fields = {f"case.{name}": (*own, *_COMMON) for name, own in CASE_FIELDS.items()} | {"case.history": _HISTORY}
    return [EventType(name, fields[name], family="case", horizon_ms=ALWAYS) for name in MOVE_TYPES]


CASE_TITLES: dict[str, tuple[str, str]] = {
    "case.reported": ("案件上报", "Case reported"),
    "case.accepted": ("案件受理", "Case accepted"),
    "case.rejected": ("案件不予受理", "Case rejected"),
    "case.filed": ("案件立案", "Case filed"),
    "case.dispatched": ("案件派遣", "Case dispatched"),
    "case.received": ("案件签收", "Case received"),
    "case.arrived": ("到达现场", "Unit on site"),
    "case.handled": ("处置完成", "Case handled"),
    "case.returned": ("案件退回", "Case returned"),
    "case.verified": ("案件核查", "Case verified"),
    "case.closed": ("案件结案", "Case closed"),
    "case.reopened": ("案件重开", "Case reopened"),
    "case.deferred": ("案件缓办", "Case deferred"),
    "case.extended": ("案件延期", "Case extended"),
    "case.escalated": ("案件升级", "Case escalated"),
    "case.merged": ("案件合并", "Case merged"),
    "case.voided": ("案件作废", "Case voided"),
    "case.evaluated": ("案件评价", "Case evaluated"),
    "case.history": ("历史案件", "Case record imported"),
    "case.answered": ("直接答复", "Report answered at once"),
    "case.transferred": ("转办", "Report transferred"),
    "case.withdrawn": ("撤销诉求", "Report withdrawn"),
    "case.parked": ("案件挂账", "Case parked"),
    "case.unmerged": ("取消合并", "Merge taken back"),
    "case.designated": ("指定管辖", "Unit designated"),
    "case.assigned": ("增派力量", "Unit assigned"),
    "case.unassigned": ("撤回力量", "Unit taken off"),
    "case.enroute": ("力量出发", "Unit en route"),
    "case.cleared": ("力量撤离", "Unit clear"),
    "case.extension_asked": ("申请延期或缓办", "Extension or deferral asked for"),
    "case.extension_refused": ("不同意延期或缓办", "Extension or deferral refused"),
    "case.urged": ("催办", "Case urged"),
    "case.supervised": ("督办", "Case under supervision"),
    "case.instructed": ("批示", "Instruction given"),
    "case.noted": ("备注", "Note"),
    "case.evidence": ("取证", "Evidence"),
    "case.unlike": ("确认非重复", "No duplicate"),
    "case.called_back": ("回访", "Caller called back"),
    "case.acknowledged": ("转办签收", "Transfer acknowledged"),
}
