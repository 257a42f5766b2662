"""The API's Service as who connects from outside sees it."""

from typing import Any

import pytest

from tests.unit.support import find, manifests

SOURCES = ["192.0.2.0/24", "2001:db8::/32"]


@pytest.mark.parametrize(
    ("expose", "policy", "ranges"),
    [
        ({}, None, None),
        ({"type": "NodePort", "host": "node"}, "Cluster", None),
        ({"type": "NodePort", "host": "node", "external_traffic_policy": "Local"}, "Local", None),
        ({"type": "LoadBalancer"}, "Cluster", SOURCES),
    ],
)
def test_who_connects_from_outside_is_seen_as_the_traffic_policy_says(
    expose: dict[str, Any], policy: str | None, ranges: list[str] | None
) -> None:
    made = manifests("c", expose={**expose, "source_cidrs": SOURCES})
    service = find(made, "Service", "c-api", "team-c-control-plane")["spec"]
    assert service.get("externalTrafficPolicy") == policy
    assert service.get("loadBalancerSourceRanges") == ranges
