"""The scope tree keeps its rows, and its roll-ups equal a plain recount."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.geo.scopes import GRID, LEVELS, ScopeTree
from citytwin.models.columns import Strings
from tests.conftest import Figure


def grown(choices: list[int]) -> ScopeTree:
    """A tree whose i-th scope hangs below the (choice mod candidates)-th row that may have children."""
    tree = ScopeTree()
    tree.add("c", "城", -1)
    for i, choice in enumerate(choices):
        open_rows = np.flatnonzero(tree.level < GRID)
        tree.add(f"s{i}", f"名{i}", int(open_rows[choice % len(open_rows)]), synthetic=bool(choice % 2))
    return tree


def below(tree: ScopeTree, row: int) -> list[int]:
    """The row and everything under it, by following parents one by one."""
    found = []
    for r in range(len(tree)):
        at = r
        while at not in (-1, row):
            at = int(tree.parent[at])
        if at == row:
            found.append(r)
    return found


trees = st.lists(st.integers(0, 2**20), max_size=40).map(grown)


@settings(max_examples=60, deadline=None)
@given(trees, st.integers(0, 2**32 - 1))
def test_roll_ups_equal_a_plain_recount(tree: ScopeTree, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = len(tree)
    own = rng.integers(-(2**53), 2**53, (2, 3, n))
    real = np.where(rng.random((2, n)) < 0.5, np.nan, rng.normal(size=(2, n)))
    total, high, low = tree.roll_up(own), tree.roll_up_max(real), tree.roll_up_min(real)
    assert total.dtype == np.int64
    for row in range(n):
        inside = below(tree, row)
        for a in range(2):
            for b in range(3):
                assert int(total[a, b, row]) == sum(int(own[a, b, r]) for r in inside)
            known = [float(real[a, r]) for r in inside if not np.isnan(real[a, r])]
            assert high[a, row] == max(known) if known else np.isnan(high[a, row])
            assert low[a, row] == min(known) if known else np.isnan(low[a, row])


@settings(max_examples=60, deadline=None)
@given(trees)
def test_rows_ancestors_children_and_state_agree(tree: ScopeTree) -> None:
    ancestors = tree.ancestors()
    for row in range(len(tree)):
        path = tree.path(row)
        assert path[0] == row
        assert path[-1] == 0
        assert len(path) == tree.level[row] + 1
        assert ancestors[row].tolist() == path[::-1] + [-1] * (len(LEVELS) - len(path))
        assert tree.children(row).tolist() == [r for r in range(len(tree)) if tree.parent[r] == row]
        assert tree.row(tree.code[row]) == row
    assert sorted(np.concatenate([tree.at_level(k) for k in range(5)]).tolist()) == list(range(len(tree)))
    tree.complete()
    again = ScopeTree.from_state(tree.state())
    assert again.code == tree.code
    assert np.array_equal(again.ancestors(), tree.ancestors())
    assert np.array_equal(again.unlocated, tree.unlocated)
    assert np.array_equal(again.synthetic, tree.synthetic)
    before = len(again)
    again.complete()
    assert len(again) == before


@settings(max_examples=40, deadline=None)
@given(trees, st.integers(0, 2**20))
def test_rows_are_never_renumbered(tree: ScopeTree, choice: int) -> None:
    codes, parents, ancestors = list(tree.code), tree.parent.copy(), tree.ancestors().copy()
    tree.unlocated_child(choice % len(tree))
    tree.complete()
    assert tree.code[: len(codes)] == codes
    assert np.array_equal(tree.parent[: len(codes)], parents)
    assert np.array_equal(tree.ancestors()[: len(codes)], ancestors)


def test_unlocated_chain_ends_at_grid_level_and_is_made_once() -> None:
    tree = ScopeTree()
    city = tree.add("420100", "武汉", -1)
    district = tree.add("420102", "江岸区", city)
    grid = tree.unlocated_child(district)
    assert tree.level[grid] == GRID
    assert tree.path(grid)[-2:] == [district, city]
    assert tree.unlocated[tree.path(grid)[:3]].all()
    assert not tree.unlocated[[city, district]].any()
    size = len(tree)
    assert tree.unlocated_child(district) == grid
    assert tree.unlocated_child(tree.path(grid)[1]) == grid
    assert tree.unlocated_child(grid) == grid
    assert len(tree) == size
    own = np.zeros(size, np.int64)
    own[grid] = 7
    assert tree.roll_up(own)[[grid, district, city]].tolist() == [7, 7, 7]


def test_a_parent_without_children_keeps_its_own_value() -> None:
    tree = ScopeTree()
    tree.add("c", "c", -1)
    for name in "abz":
        tree.add(name, name, 0)
    tree.add("a1", "a1", 1)
    tree.add("z1", "z1", 3)
    assert tree.roll_up(np.array([1, 2, 4, 8, 16, 32])).tolist() == [63, 18, 4, 40, 16, 32]


def test_rows_of_codes() -> None:
    tree = grown([0, 1, 2])
    assert tree.rows_of(Strings.of(["s2", "", "nowhere", "c", "s0"])).tolist() == [3, -1, -1, 0, 1]
    assert tree.rows_of(Strings.empty(3)).tolist() == [-1, -1, -1]


def test_what_breaks_the_tree_is_refused() -> None:
    tree = ScopeTree()
    with pytest.raises(ValueError, match="one city"):
        tree.add("x", "x", 0)
    tree.add("c", "c", -1)
    with pytest.raises(ValueError, match="used twice"):
        tree.add("c", "c", 0)
    with pytest.raises(ValueError, match="one city"):
        tree.add("d", "d", -1)
    with pytest.raises(ValueError, match="empty"):
        tree.add("", "d", 0)
    grid = tree.unlocated_child(0)
    with pytest.raises(ValueError, match="below the grid"):
        tree.add("e", "e", grid)
    with pytest.raises(ValueError, match="already has"):
        tree.add("f", "f", 0, unlocated=True)
    assert len(tree) == 5


def test_roll_up_of_a_large_city(figure: Figure) -> None:
    tree = ScopeTree()
    tree.add("c", "c", -1)
    for level, count in ((1, 13), (2, 193), (3, 3495), (4, 11300)):
        above = tree.at_level(level - 1)
        for i in range(count):
            tree.add(f"{level}-{i}", "", int(above[i % len(above)]))
    own = np.ones((24, len(tree)), np.int64)
    tree.roll_up(own)
    took = []
    for _ in range(7):
        start = time.perf_counter()
        tree.roll_up(own)
        took.append(time.perf_counter() - start)
    figure("roll-up of 24 columns over 15,000 scopes", min(took) * 1000, "ms")
