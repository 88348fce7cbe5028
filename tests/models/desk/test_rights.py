"""Rights against a reference that is written word by word."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from citytwin.geo.scopes import ScopeTree
from citytwin.models.desk.rights import (
    EVERYWHERE,
    FULL,
    WHOLE,
    Rights,
    covered,
    discreet,
    is_personal,
    masked,
    may,
    places,
)
from citytwin.models.desk.roles import ON_LOAN, PERMISSIONS, PERSONAL, ROLES, permissions
from citytwin.models.events import VOCABULARY
from tests.models.desk import rights_reference as reference

DESK = ("case.", "alarm.", "warning.", "plan.", "duty.", "shift.")


def tree_of(chance: random.Random) -> tuple[ScopeTree, reference.Parents]:
    """A random tree of all five levels."""
    tree = ScopeTree()
    tree.add("C", "城", -1)
    for i in range(chance.randint(3, 40)):
        above = [r for r in range(len(tree)) if tree.level[r] < 4]
        tree.add(f"S{i}", f"区{i}", chance.choice(above))
    parents = {c: None if tree.parent[r] < 0 else tree.code[tree.parent[r]] for r, c in enumerate(tree.code)}
    return tree, parents


def grants_of(chance: random.Random, tree: ScopeTree) -> list[tuple[str, str]]:
    """Some random grants; now and then of a scope that the tree does not know."""
    codes = [*tree.code, EVERYWHERE, "gone"]
    return [(chance.choice(list(ROLES)), chance.choice(codes)) for _ in range(chance.randint(0, 4))]


def test_may_is_what_the_reference_says() -> None:
    chance, said = random.Random(1), set()
    for _ in range(60):
        tree, parents = tree_of(chance)
        for _ in range(40):
            grants = grants_of(chance, tree)
            op, row = chance.choice([*PERMISSIONS, "no.such"]), chance.randint(-1, len(tree) - 1)
            lent = chance.sample(range(len(tree)), chance.randint(0, 2))
            where = [None if row < 0 else tree.code[row]]
            if op in ON_LOAN or op.startswith("read."):
                where += [tree.code[r] for r in lent]
            found = may(Rights.of(grants), op, row, tree, lent)
            said.add(found)
            assert found == reference.may(grants, op, where, parents), (grants, op, where)
    assert said == {True, False}


def test_a_mask_is_may_for_every_row() -> None:
    chance = random.Random(2)
    for _ in range(50):
        tree, _ = tree_of(chance)
        rights = Rights.of(grants_of(chance, tree))
        for channel in ("ind", "ticker"):
            view = rights.view(channel)
            each = [view.sees(r, tree) for r in range(len(tree))]
            assert view.mask(tree).tolist() == each
            assert each == [may(rights, f"read.{channel}", r, tree) for r in range(len(tree))]
            assert view.sees(-1, tree) == view.whole


def test_masking_leaves_no_secret_and_nothing_else_changed() -> None:
    row = {
        "code": "K1", "caller": "1", "list": [{"phone": "2", "n": 1}, 3], "timeline": ({"fields": {"person": "x"}},),
        "deputy": None,
    }  # fmt: skip
    assert masked(row) == {
        "code": "K1", "caller": None, "list": [{"phone": None, "n": 1}, 3], "timeline": [{"fields": {"person": None}}],
        "deputy": None, "masked": True,
    }  # fmt: skip
    assert row["caller"] == "1", "the row itself stays"
    assert is_personal(row)
    plain: dict[str, Any] = {"code": "K1", "caller": None, "units": [{"unit": "U1"}]}
    assert masked(plain) is plain
    assert not is_personal(plain)
    assert set(reference.SECRETS) == PERSONAL


def test_a_confidential_part_is_hushed_alone() -> None:
    row = {"caller": "1", "reports": [{"caller": "2", "confidential": True}, {"caller": "3", "confidential": False}]}
    hushed = {"caller": None, "confidential": True}
    assert reference.hushed(row)["reports"] == [hushed, {"caller": "3", "confidential": False}]
    assert discreet(row) == {"caller": "1", "reports": [{**hushed, "masked": True}, row["reports"][1]]}
    assert discreet({**row, "confidential": True})["caller"] is None
    plain = {"caller": "1", "reports": [{"confidential": True, "n": 1}]}
    assert discreet(plain) is plain


def test_rights_that_read_the_same_have_one_digest() -> None:
    one, other = Rights.of([("dispatcher", "S1")]), Rights.of([("shift_leader", "S1")])
    assert FULL.digest() == ""
    assert FULL.view("twin/device") == WHOLE
    assert one.view("case").scopes == other.view("case").scopes
    assert (
        len({one.digest(), Rights.of([("operator", "S1")]).digest(), Rights.of([("dispatcher", "S2")]).digest()}) == 3
    )
    both = Rights.of([("dispatcher", "S1"), ("dispatcher", "*")])
    assert both.digest() == Rights.of([("dispatcher", "*")]).digest()


def test_places_are_rows_or_codes() -> None:
    tree, _ = tree_of(random.Random(3))
    assert places({"scope": 2, "lent": [1]}, tree) == (2, 1)
    assert places({"scope": tree.code[2], "lent": [tree.code[1]]}, tree) == (2, 1)
    assert places({"code": "K"}, tree) == (-1,)
    assert covered([], tree).dtype == np.bool_
    assert not covered(["gone"], tree).any()


def test_a_role_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no role boss; there are: acceptance_clerk"):
        Rights.of([("boss", "*")])
    assert permissions("boss") == frozenset()


def test_the_table_names_every_event_of_the_desk_and_splits_duties() -> None:
    ops = {name for name in VOCABULARY().types if name.startswith(DESK)}
    assert ops - set(PERMISSIONS) == set(), "say in models/desk/roles.py who may do it"
    assert {r for r in ROLES if "case.handled" in permissions(r) and "case.verified" in permissions(r)} == set()
    assert PERMISSIONS["warning.issued"] == {"commander"}
    assert PERMISSIONS["ingest"] == {"gateway"}
    assert not {p for r in ("admin", "gateway") for p in permissions(r)} & {"read.personal", "read.confidential"}
    assert all(role.zh and role.en for role in ROLES.values())
    assert len({role.letter for role in ROLES.values()}) == len(ROLES)
