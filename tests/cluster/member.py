"""`citytwin` with the town of the tests for a city: `python -m tests.cluster.member worker`."""

from __future__ import annotations

from citytwin.cli import main
from citytwin.cluster import serving
from tests.indicators.town import town

if __name__ == "__main__":
    setattr(serving, "load_city", lambda _: town()[0])  # noqa: B010
    main()
