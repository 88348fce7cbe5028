"""What tests of the running desk share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.citytwin.test_desk_door import City


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    """A city that serves people at its desk, on a clock of the test's."""
    found = City(tmp_path)
    yield found
    found.node.close()
