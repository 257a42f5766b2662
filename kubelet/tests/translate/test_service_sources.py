"""From where the Services of a cluster may be reached: the policy's `sync.toHost.services.sourceRanges`."""

from typing import Any

import pytest
from k3k_kubelet.policy import PolicyError
from k3k_kubelet.translate import Refused
from k3k_kubelet.translate import service as services

from kubelet.tests.translate.builders import BASELINE, CLUSTER, service, syncing

LOCAL = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
RANGE = "198.51.100.0/24"


def limited(*ranges: str) -> Any:
    """The policy that lets Services be reached from these ranges alone."""
    return syncing(services={"sourceRanges": list(ranges), "externalIPs": ["192.0.2.0/24"]})


def host_spec(policy: Any, **spec: Any) -> dict[str, Any]:
    made = services.to_host(service(**spec), CLUSTER, policy)
    assert made is not None
    found: dict[str, Any] = made.manifest["spec"]
    return found


@pytest.mark.parametrize(
    ("own", "on_host"),
    [
        (None, [RANGE]),
        ([], [RANGE]),
        (["0.0.0.0/0"], [RANGE]),
        ([RANGE], [RANGE]),
        ([" 198.51.100.7/25 "], ["198.51.100.0/25"]),
        (["198.51.100.0/25", "203.0.113.0/24"], ["198.51.100.0/25"]),
    ],
)
def test_ranges_of_a_load_balancer_are_cut_to_those_of_the_policy(
    own: list[str] | None, on_host: list[str]
) -> None:
    spec = host_spec(limited(RANGE), **LOCAL, loadBalancerSourceRanges=own)
    assert spec["loadBalancerSourceRanges"] == on_host


def test_by_default_they_stay_as_they_are() -> None:
    assert host_spec(BASELINE, **LOCAL, loadBalancerSourceRanges=[" x "])["loadBalancerSourceRanges"] == [
        " x "
    ]
    assert "loadBalancerSourceRanges" not in host_spec(BASELINE, **LOCAL)


@pytest.mark.parametrize("ranges", [[RANGE], ["0.0.0.0/0"], []])
@pytest.mark.parametrize(
    "spec",
    [
        {"type": "NodePort"},
        {"type": "NodePort", "externalTrafficPolicy": "Cluster"},
        {"type": "LoadBalancer"},
        {"externalIPs": ["192.0.2.7"]},
    ],
)
def test_where_nobody_sees_who_sends_what_is_exposed_is_refused(
    ranges: list[str], spec: dict[str, Any]
) -> None:
    allows = ", ".join(ranges) or "none"
    with pytest.raises(Refused, match=r"^spec\.externalTrafficPolicy: .*; set Local; ") as refused:
        services.to_host(service(**spec), CLUSTER, limited(*ranges))
    assert f"sync.toHost.services.sourceRanges allows: {allows}" in str(refused.value)


def test_from_nowhere_nothing_is_exposed() -> None:
    with pytest.raises(Refused, match="sourceRanges allows: none"):
        services.to_host(service(**LOCAL), CLUSTER, limited())


@pytest.mark.parametrize("own", [["203.0.113.0/24"], ["2001:db8::/32"]])
def test_a_load_balancer_for_others_alone_is_refused_and_not_opened_to_all(own: list[str]) -> None:
    with pytest.raises(Refused, match=r"^spec\.loadBalancerSourceRanges: "):
        services.to_host(service(**LOCAL, loadBalancerSourceRanges=own), CLUSTER, limited(RANGE))


@pytest.mark.parametrize("text", ["x", "::ffff:198.51.100.0/120", "::ffff:0.0.0.0/96"])
@pytest.mark.parametrize("limit", [RANGE, "::/0"])
def test_a_range_that_is_none_is_refused(text: str, limit: str) -> None:
    with pytest.raises(Refused, match=rf"^spec\.loadBalancerSourceRanges\[0\]: '{text}' is not a CIDR"):
        services.to_host(service(**LOCAL, loadBalancerSourceRanges=[text]), CLUSTER, limited(limit))


@pytest.mark.parametrize("spec", [{}, {"type": "NodePort", "externalTrafficPolicy": "Local"}])
def test_others_are_let_through(spec: dict[str, Any]) -> None:
    made = host_spec(limited(RANGE), **spec)
    assert made["type"] == spec.get("type", "ClusterIP")
    assert "loadBalancerSourceRanges" not in made


def test_ranges_of_the_policy_are_ranges() -> None:
    with pytest.raises(PolicyError, match="sourceRanges"):
        limited("198.51.100.7/24")
