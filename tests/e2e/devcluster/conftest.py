"""A dev cluster of these tests' own, which they may break."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devcluster import config
from tests.e2e.devcluster.command import NAME, Own, succeed


@pytest.fixture(scope="package")
def own() -> Iterator[Own]:
    """Two nodes, dual-stack. Comes with the first test that needs it and goes with the last one."""
    succeed("down", "--name", NAME)  # of a run that was killed
    try:
        succeed("up", "--name", NAME, "--nodes=2", "--ipv6", "--host=parts")
        yield Own(config.existing(NAME))
    finally:
        succeed("down", "--name", NAME)
