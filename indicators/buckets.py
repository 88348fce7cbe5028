"""Buckets of the log-bucket histogram (the DDSketch form): a value stands for all of its bucket within 1 %.

Source: Masson, Rim, Lee, "DDSketch", VLDB 2019. gamma = (1 + a) / (1 - a) with a = 0.01.
"""

from __future__ import annotations

import numpy as np

from citytwin.models.columns import Float64, Int64

ALPHA = 0.01
GAMMA = (1 + ALPHA) / (1 - ALPHA)
#: Upper edges of buckets 1, 2, ...: bucket i holds (edge[i-2], edge[i-1]]; bucket 0 holds what is not above 1e-6.
EDGES: Float64 = 1e-6 * GAMMA ** np.arange(1, 2048, dtype=np.float64)
#: More than there are buckets: scope * SPAN + bucket is a group of its own.
SPAN = 4096


def bucket_of(values: Float64) -> Int64:
    """Bucket of each value (int64[n]); 0 for values not above 1e-6, the last one for all beyond 1e11.

    >>> bucket_of(np.array([0.0, 1.0])).tolist()
    [0, 691]
    """
    found = np.searchsorted(EDGES, values, side="left").astype(np.int64) + 1
    return np.where(values <= 1e-6, 0, np.minimum(found, len(EDGES)))


def value_of(bucket: Int64) -> Float64:
    """The value that stands for a bucket, within 1 % of all in it (float64[n])."""
    return np.where(bucket == 0, 0.0, EDGES[np.maximum(bucket - 1, 0)] * 2 / (1 + GAMMA))
