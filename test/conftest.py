"""Real masters and real env servers for the tests; nothing of them may be left when a test ends."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent / "support"
os.environ["UNIROS_TEST_RUN"] = str(os.getpid())  # inherited by everything a test starts
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH", "")]))
os.environ.setdefault("ROS_LOG_DIR", tempfile.mkdtemp(prefix="uniros-test-logs-"))
sys.path.insert(0, str(SUPPORT))

from live import marked_commands, marked_processes, wait_until  # noqa: E402

from uniros_bringup.graph import Graph  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs no nodes has time, unless it is marked otherwise."""
    for item in items:
        here = item.path.parent.name in ("check", "unit")
        if here and not any(item.get_closest_marker(name) for name in ("real_time", "deadline")):
            item.add_marker("patient")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Every test ends with the processes it began with, or their successors: checked, not tidied up."""
    before = marked_commands()
    yield
    wait_until(lambda: marked_commands() <= before, timeout=5.0)


@pytest.fixture(autouse=True, scope="session")
def nothing_left_at_the_end() -> Iterator[None]:
    """Nor does the whole run leave anything."""
    yield
    wait_until(lambda: not marked_processes(), timeout=5.0)


@pytest.fixture
def graph() -> Iterator[Graph]:
    """A private master to start nodes on."""
    with Graph() as running:
        yield running
