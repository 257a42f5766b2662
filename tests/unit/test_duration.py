"""Times as arguments have them."""

from __future__ import annotations

import pytest

from k3k_pulumi.model import VirtualClusterSpec


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("45s", 45), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("1h1m1s", 3661), ("0h2m", 120)],
)
def test_a_time_in_hours_minutes_and_seconds(given: str, seconds: int) -> None:
    spec = VirtualClusterSpec.parse("c", {"namespace": "team", "ready_timeout": given})
    assert (spec.ready_timeout, spec.ready_seconds) == (given, seconds)


def test_ten_minutes_where_nobody_says_so() -> None:
    assert VirtualClusterSpec.parse("c", {"namespace": "team"}).ready_seconds == 600
