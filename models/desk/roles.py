"""Roles of the people at the desk and what each may do, as one table.

A permission is the type of an event that a command says (`case.dispatched`), `read.<channel>`, or a word for what is no
event. What is not in the table nobody may do.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Seen without this right, they are empty: who called, and the names of people.
PERSONAL = frozenset(
    {"caller", "caller_name", "caller_phone", "callback_number", "contact", "phone", "reporter", "person", "deputy"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Role:
    """One role: its code, the letter of its column in the table, titles in both languages."""

    code: str
    letter: str
    zh: str
    en: str


ROLES = {
    role.code: role
    for role in (
        Role("acceptance_clerk", "C", "受理员", "Acceptance clerk"),
        Role("shift_leader", "L", "值班长", "Shift leader"),
        Role("dispatcher", "D", "派遣员", "Dispatcher"),
        Role("handler", "H", "处置员", "Handler"),
        Role("verifier", "V", "核查员", "Verifier"),
        Role("supervisor", "S", "督办员", "Supervisor"),
        Role("commander", "M", "指挥长", "Commander"),
        Role("evaluator", "E", "评价员", "Evaluator"),
        Role("operator", "O", "值守员", "Operator"),
        Role("modeler", "W", "建模员", "Modeler"),
        Role("admin", "A", "管理员", "Administrator"),
        Role("gateway", "G", "接入系统", "Gateway"),
    )
}

_ALL = "CLDHVSMEOWAG"
# Permission and the letters of the roles that have it. One who is told to judge (S, E, V) does not also act.
_TABLE: dict[str, str] = {
    # intake and filing
    "case.reported": "CLDHVSMOG", "case.accepted": "CL", "case.rejected": "CL", "case.answered": "CL",
    "case.transferred": "CL", "case.withdrawn": "CLG", "case.filed": "CL", "case.voided": "L", "case.history": "G",
    "case.merged": "CLD", "case.unmerged": "CLD", "case.unlike": "CLD",
    "case.acknowledged": "CLG",
    # dispatch
    "case.dispatched": "LD", "case.assigned": "LD", "case.unassigned": "LD", "case.designated": "SM",
    "case.escalated": "LDSM", "case.parked": "LS", "case.deferred": "LS", "case.extended": "LS",
    "case.extension_refused": "LS", "case.extension_asked": "HD",
    # handling: the unit's own moves
    "case.received": "H", "case.enroute": "H", "case.arrived": "H", "case.handled": "H", "case.cleared": "H",
    "case.returned": "H", "case.evidence": "CLDHVS", "case.noted": "CLDHVSMEO",
    # judging
    "case.verified": "V", "case.closed": "LV", "case.reopened": "LVSE", "case.called_back": "CE",
    "case.evaluated": "CEG", "case.urged": "CLDS", "case.supervised": "SM", "case.instructed": "M",
    # alarms; those without letters are said by rules alone
    "alarm.raised": "G", "alarm.cleared": "G", "alarm.acknowledged": "LDMO", "alarm.shelved": "LDO",
    "alarm.unshelved": "LDO", "alarm.suppressed": "L", "alarm.unsuppressed": "L", "alarm.out_of_service": "L",
    "alarm.in_service": "L", "alarm.escalated": "LDSM", "alarm.sos": "CG", "alarm.contacted": "CLG",
    "alarm.health": "",
    # a public warning is set by an authorised person only
    "warning.issued": "M", "warning.ended": "M",
    # units, plans, duty
    "unit.state": "LDHG", "unit.silent": "", "plan.started": "LM", "plan.step_done": "LDHM", "plan.ended": "LM",
    "plan.step_undone": "LDHM", "plan.level_changed": "LM", "plan.report": "LM", "plan.receipt": "LM",
    "plan.draft_discarded": "M", "plan.activated": "G", "plan.changed": "G", "calendar.edition": "A",
    "duty.set": "LS", "shift.handed": "LD", "shift.taken": "LD",
    # reading
    "read.city": _ALL, "read.ind": _ALL, "read.twin": _ALL, "read.case": _ALL, "read.sys": _ALL, "read.alarm": _ALL,
    "read.unit": _ALL, "read.plan": _ALL, "read.warning": _ALL, "read.ticker": "CLDVSMEOWAG", "read.duty": "CLDSMOA",
    "read.handover": "LDSM", "read.rules": "LDSMOWAG", "read.ops": "LSMOWAG", "read.lab": "OWAG",
    "read.deadletters": "OWAG", "read.audit": "A", "read.personal": "CLDHVSME", "read.confidential": "CLSE",
    # what is no event
    "ingest": "G", "plugins": "W", "rules": "W", "admin.users": "A", "admin.audit": "A", "admin.settings": "A",
}  # fmt: skip

#: What the district that a case was lent to may do with it besides seeing it.
ON_LOAN = frozenset(
    {
        "case.received", "case.enroute", "case.arrived", "case.handled", "case.cleared", "case.returned",
        "case.evidence", "case.noted", "case.assigned", "case.unassigned", "case.extension_asked",
    }
)  # fmt: skip

_BY_LETTER = {role.letter: role.code for role in ROLES.values()}
#: Codes of the roles that have each permission.
PERMISSIONS: dict[str, frozenset[str]] = {
    name: frozenset(_BY_LETTER[letter] for letter in letters) for name, letters in _TABLE.items()
}


def permissions(role: str) -> frozenset[str]:
    """Every permission of a role; none for an unknown one.

    >>> "case.dispatched" in permissions("dispatcher"), "case.verified" in permissions("dispatcher")
    (True, False)
    """
    return frozenset(name for name, roles in PERMISSIONS.items() if role in roles)
