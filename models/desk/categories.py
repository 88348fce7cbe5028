"""What a case can be about: kinds, classes and sub-classes with limits, conditions and who is responsible.

Classes of components and events follow GB/T 30428.2; all limits and levels are local defaults (`status` L) until a city
puts its own table over them. The code of a sub-class is the `category` of the events of a case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from citytwin.models.desk.calendar import Limit
from citytwin.models.desk.table import Row, TableError, own, read, rows

KINDS: dict[str, dict[str, str]] = {
    "component": {"zh": "部件", "en": "Component"},
    "event": {"zh": "事件", "en": "Event"},
    "emergency": {"zh": "应急", "en": "Emergency"},
    "dispute": {"zh": "矛盾纠纷", "en": "Dispute"},
    "market": {"zh": "市场监管", "en": "Market"},
    "consultation": {"zh": "咨询求助", "en": "Consultation"},
}
#: Kinds of responsible bodies, in both languages; a pack may name others.
RESPONSIBLE: dict[str, dict[str, str]] = {
    "city_management": {"zh": "城管执法", "en": "City management"},
    "civil_affairs": {"zh": "民政", "en": "Civil affairs"},
    "drainage": {"zh": "排水", "en": "Drainage"},
    "emergency": {"zh": "应急管理", "en": "Emergency management"},
    "environment": {"zh": "生态环境", "en": "Environment"},
    "fire": {"zh": "消防救援", "en": "Fire and rescue"},
    "gas": {"zh": "燃气", "en": "Gas supply"},
    "government_service": {"zh": "政务服务", "en": "Government service"},
    "health": {"zh": "卫生健康", "en": "Health"},
    "heating": {"zh": "供热", "en": "Heating"},
    "housing": {"zh": "住房城建", "en": "Housing and building"},
    "labour": {"zh": "人力社保", "en": "Labour"},
    "lighting": {"zh": "路灯管理", "en": "Street lighting"},
    "market": {"zh": "市场监管", "en": "Market regulation"},
    "municipal_works": {"zh": "市政维护", "en": "Municipal works"},
    "parks": {"zh": "园林绿化", "en": "Parks"},
    "police": {"zh": "公安", "en": "Police"},
    "power": {"zh": "供电", "en": "Power supply"},
    "sanitation": {"zh": "环卫", "en": "Sanitation"},
    "street_office": {"zh": "街道办事处", "en": "Street office"},
    "telecom": {"zh": "通信", "en": "Telecom"},
    "traffic_police": {"zh": "公安交管", "en": "Traffic police"},
    "transport": {"zh": "交通运输", "en": "Transport"},
    "water": {"zh": "水务", "en": "Water"},
}
#: What stands for a category that nobody declared.
OTHER = "other.event"
_NEEDS = (
    "code", "kind", "class_code", "class_zh", "class_en", "zh", "en", "limit_a", "limit_b", "limit_c", "skill",
    "responsible", "filing_zh", "filing_en", "closing_zh", "closing_en",
)  # fmt: skip
_KNOWS = (*_NEEDS, "level", "dispatch", "receipt", "verification", "aliases", "initials", "status")
#: Stages whose limit a category may set for itself; the others are those of models.desk.limits.
OWN_STAGES = ("dispatch", "receipt", "verification")


@dataclass(frozen=True, slots=True)
class Category:
    """A sub-class: `limits` A, B, C for handling, `skills` of units, the usual `level` (1..4, 0 none).

    `stages`: limits of its own by stage; `aliases`: names that other systems use; `status` V verified or L local.
    """

    code: str
    kind: str
    class_code: str
    class_title: Mapping[str, str]
    title: Mapping[str, str]
    limits: Mapping[str, Limit]
    skills: tuple[str, ...]
    responsible: str
    filing: Mapping[str, str]
    closing: Mapping[str, str]
    level: int = 0
    stages: Mapping[str, Limit] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    initials: str = ""
    status: str = "L"

    def plain(self) -> dict[str, Any]:
        """As plain JSON values, for pages."""
        return {
            "code": self.code, "kind": self.kind, "class": self.class_code, "class_title": dict(self.class_title),
            "title": dict(self.title), "limits": {g: v.text for g, v in self.limits.items()},
            "skills": list(self.skills), "responsible": self.responsible, "filing": dict(self.filing),
            "closing": dict(self.closing), "level": self.level, "status": self.status,
        }  # fmt: skip


def _limit(row: Row, name: str, faults: list[str]) -> Limit | None:
    try:
        return Limit.parse(row.cells[name])
    except ValueError as error:
        faults.append(row.fault(name, str(error)))
        return None


def _pair(row: Row, name: str) -> dict[str, str]:
    prefix = f"{name}_" if name else ""
    return {language: row.cells[prefix + language] for language in ("zh", "en")}


def _category(row: Row) -> Category:
    cells, faults = row.cells, list[str]()
    faults += [row.fault(n, "is empty") for n in _NEEDS if not cells[n]]
    if cells["kind"] not in KINDS:
        faults.append(row.fault("kind", f"{cells['kind']!r} is none of {', '.join(KINDS)}"))
    level = cells.get("level") or "0"
    if level not in ("0", "1", "2", "3", "4"):
        faults.append(row.fault("level", f"{level!r} is no level; 1 (I, the worst) to 4 (IV), or empty"))
    if cells.get("status", "L") not in ("V", "L", ""):
        faults.append(row.fault("status", f"{cells['status']!r} is none of V (verified), L (local)"))
    limits = {grade: _limit(row, f"limit_{grade.lower()}", faults) for grade in "ABC"}
    stages = {stage: _limit(row, stage, faults) for stage in OWN_STAGES if cells.get(stage)}
    if faults:
        raise TableError("\n".join(faults))
    return Category(
        cells["code"], cells["kind"], cells["class_code"], _pair(row, "class"), _pair(row, ""),
        {g: v for g, v in limits.items() if v is not None}, tuple(cells["skill"].split()), cells["responsible"],
        _pair(row, "filing"), _pair(row, "closing"), int(level), {s: v for s, v in stages.items() if v is not None},
        tuple(filter(None, cells.get("aliases", "").split("/"))), cells.get("initials", "").lower(),
        cells.get("status") or "L",
    )  # fmt: skip


class Categories:
    """A table of categories by code, with a search for those who type."""

    def __init__(self, categories: Iterable[Category]) -> None:
        """Later ones replace earlier ones of the same code. Raises ValueError without one of the code OTHER."""
        self._of = {c.code: c for c in categories}
        if OTHER not in self._of:
            raise ValueError(f"the table needs a category {OTHER}: it stands for those that nobody declared")
        self._alias = {alias.lower(): c.code for c in self._of.values() for alias in c.aliases}

    def __iter__(self) -> Iterator[Category]:
        return iter(self._of.values())

    def __len__(self) -> int:
        return len(self._of)

    def get(self, code: str) -> Category | None:
        """The category of a code or of a name that another system uses; None if there is none."""
        return self._of.get(code) or self._of.get(self._alias.get(code.lower(), ""))

    def resolve(self, code: str) -> Category:
        """As `get`, and OTHER for one that nobody declared."""
        return self.get(code) or self._of[OTHER]

    def search(self, text: str, limit: int = 10) -> list[Category]:
        """The best matches for what was typed: code, name in both languages, initials of its pinyin, other names."""
        typed = " ".join(text.lower().split())
        if not typed:
            return []
        scored = [(score, c) for c in self if (score := _score(typed, c))]
        return [c for _, c in sorted(scored, key=lambda pair: pair[0])[: max(0, limit)]]


def _score(typed: str, category: Category) -> int:
    """How well it fits, 1 is best; 0 for not at all."""
    zh, en = category.title["zh"].lower(), category.title["en"].lower()
    others = [a.lower() for a in category.aliases]
    tests = (
        typed in (category.code, zh, en, *others),
        category.code.startswith(typed) or zh.startswith(typed) or en.startswith(typed),
        category.initials.startswith(typed),
        typed in zh or any(word.startswith(typed) for word in en.split()),
        typed in category.initials or typed in category.code or any(typed in a for a in others),
        typed in category.class_title["zh"] or typed in category.filing["zh"],
        typed in en or typed in category.class_title["en"].lower() or typed in category.filing["en"].lower(),
    )
    return tests.index(True) + 1 if any(tests) else 0


def parse(text: str, file: str) -> list[Category]:
    """Categories of a CSV table. Raises TableError with a line for every fault, also for codes that occur twice."""
    made = read(rows(text, file, _NEEDS, _KNOWS), lambda row: (row, _category(row)))
    seen: dict[str, int] = {}
    twice = [
        row.fault("code", f"{c.code} stands in line {seen[c.code]} already")
        for row, c in made
        if seen.setdefault(c.code, row.line) != row.line
    ]
    if twice:
        raise TableError("\n".join(twice))
    return [c for _, c in made]


@cache
def builtin() -> Categories:
    """The table that comes with the program.

    >>> [c.code for c in builtin().search("jgqs", 1)]
    ['facility.manhole']
    """
    return Categories(parse(own("categories.csv"), "categories.csv"))


def extended(text: str, file: str) -> Categories:
    """The built-in table under a pack's own: rows of the same code are replaced, new ones come behind. TableError."""
    return Categories([*builtin(), *parse(text, file)])
