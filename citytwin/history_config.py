"""Settings of the history: `[history]` what is kept and as files, `[influx]` a server that gets it too."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from citytwin.sections import Amount, Count, Section


class History(Section):
    """Values over time. `parquet`: keep them as files in `dir` (default: `history` in the data folder).

    A change is written each `every_s` at most (0: of each frame), for scopes of these `levels`. Files come each
    `flush_s` or `flush_rows` and stay `keep_days` (0 = for ever). `telemetry`: properties whose readings are kept too,
    like "water.pressure rain.depth". `queue_values` may wait before newer ones take the place of older ones.
    """

    parquet: bool = True
    dir: str = ""
    every_s: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    levels: str = "city district street"
    telemetry: str = ""
    flush_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    flush_rows: Annotated[int, Meta(ge=1000, le=2_000_000)] = 200_000
    keep_days: Amount = 90.0
    queue_values: Count = 2_000_000


class Influx(Section):
    """An InfluxDB that gets the history: on as soon as `url` is set. Without Parquet it answers reads too.

    `bucket`: of InfluxDB 2; on 1.8 the database, or "database/retention policy". A token (`org` with it), or on 1.8
    `user` and `password`. What the server does not take lies in the data folder, at most `spool_mb`. `keep_days`:
    retention that `citytwin influx setup` asks for, 0 = for ever.
    """

    url: str = ""
    bucket: str = "citytwin"
    org: str = "-"
    token: str = ""
    token_file: str = ""
    user: str = ""
    password: str = ""
    password_file: str = ""
    ca_file: str = ""
    timeout_s: Annotated[float, Meta(ge=0.1, le=60)] = 5.0
    batch_rows: Annotated[int, Meta(ge=1, le=50_000)] = 5_000
    spool_mb: Count = 512
    keep_days: Amount = 0.0
