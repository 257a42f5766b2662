"""Fixtures of the tests that run programs on the real Pulumi engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Host
from tests.e2e.support.engine import environment


@pytest.fixture
def variables(host: Host, tmp_path: Path) -> dict[str, str]:
    """The engine's environment, for all stacks of one test."""
    return environment(tmp_path, host.kubeconfig)
