"""What class forms share: values of single places (gauges, stations) gathered at their scopes and all coarser ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from citytwin.indicators.api import Context
from citytwin.models.columns import Float64, Int32, Int64


def lines_of_descent(ctx: Context, groups: Int32) -> Int32:
    """Scope rows above each entity by level, -1 below its own; without a scope it is the city's (int32[n, 5])."""
    scope = ctx.entities.scope[groups]
    return ctx.scopes.ancestors()[np.where(scope < 0, 0, scope)]


def largest_above(ctx: Context, groups: Int32, values: Float64) -> tuple[Int32, Float64]:
    """Largest value of the entities below each scope: (scope rows, values)."""
    return _largest(ctx, lines_of_descent(ctx, groups), values)


def largest_of_scopes(ctx: Context, scopes: Int32, values: Float64) -> tuple[Int32, Float64]:
    """Largest value of things at scope rows, at each scope and all above: (scope rows, values)."""
    return _largest(ctx, ctx.scopes.ancestors()[scopes], values)


def _largest(ctx: Context, above: Int32, values: Float64) -> tuple[Int32, Float64]:
    best = np.full(len(ctx.scopes), -np.inf)
    for up in above.T:
        there = up >= 0
        np.maximum.at(best, up[there], values[there])
    rows = np.flatnonzero(best > -np.inf).astype(np.int32)
    return rows, best[rows]


def sums_above(ctx: Context, groups: Int32, values: Int64) -> tuple[Int64, Int64]:
    """Sum and number of the values (int64, negative = none) of the entities below each scope (int64[n scopes] each)."""
    total, count = np.zeros(len(ctx.scopes), np.int64), np.zeros(len(ctx.scopes), np.int64)
    for up in lines_of_descent(ctx, groups).T:
        there = (up >= 0) & (values >= 0)
        np.add.at(total, up[there], values[there])
        np.add.at(count, up[there], 1)
    return total, count


def named_scopes(ctx: Context, scopes: Int32) -> Int32:
    """The scope that an event named, of the row at which it is counted: above the rows for what has no finer place."""
    tree = ctx.scopes
    found = scopes.copy()
    while (inner := tree.unlocated[found] & (tree.parent[found] >= 0)).any():
        found = np.where(inner, tree.parent[found], found).astype(np.int32)
    return found


def added_above(ctx: Context, scopes: Int32, values: Int64) -> Int64:
    """Sum of the values (int64) of things at scope rows, at each scope and all above (int64[n scopes])."""
    total = np.zeros(len(ctx.scopes), np.int64)
    for up in ctx.scopes.ancestors()[scopes].T:
        there = up >= 0
        np.add.at(total, up[there], values[there])
    return total


def counted_above(ctx: Context, scopes: Int32) -> Int64:
    """How many of these places (scope rows, int32[m]) lie at and below each scope (int64[n scopes])."""
    return ctx.scopes.roll_up(np.bincount(scopes, minlength=len(ctx.scopes)))


def chord_km(lon: Float64, lat: Float64) -> NDArray[np.float64]:
    """Points of degrees on a sphere of the mean Earth radius, in km (float64[n, 3])."""
    a, b = np.radians(lon), np.radians(lat)
    return 6371.0088 * np.stack([np.cos(b) * np.cos(a), np.cos(b) * np.sin(a), np.sin(b)], axis=1)
