"""EndpointSlices of a tenant's own: what the host gets of one."""

import copy
from typing import Any

import pytest
from k3k_kubelet.translate import HostObject, Refused, endpoint_slice, names

from kubelet.tests.translate.builders import CLUSTER, OWNER

DENIED = ("10.0.0.0/8", "fc00::/7", "169.254.0.0/16")
PODS = {"10.1.0.5": "node-a", "10.1.0.6": "node-b", "fd00::5": "node-a"}


def slice_(*endpoints: dict[str, Any], labels: dict[str, str] | None = None, **rest: Any) -> dict[str, Any]:
    """A slice `default/mine` of the Service `db`."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "mine",
            "namespace": "default",
            "uid": "slice-uid",
            "labels": {"kubernetes.io/service-name": "db", **(labels or {})},
        },
        "addressType": "IPv4",
        "endpoints": list(endpoints),
        "ports": [{"name": "", "port": 5432, "protocol": "TCP"}],
        **rest,
    }


def to_host(obj: dict[str, Any], denied: tuple[str, ...] = DENIED) -> HostObject:
    before = copy.deepcopy(obj)
    made = endpoint_slice.to_host(obj, CLUSTER, PODS, denied)
    assert obj == before
    assert made is not None
    return made


def kept(*addresses: str, kind: str = "IPv4", denied: tuple[str, ...] = DENIED) -> list[str]:
    """Addresses that reach the host."""
    obj = slice_(*({"addresses": [each]} for each in addresses), addressType=kind)
    return [each["addresses"][0] for each in to_host(obj, denied).manifest["endpoints"]]


def test_the_copy_is_of_the_service_s_copy_and_managed_by_nobody_else() -> None:
    labels = {"endpointslice.kubernetes.io/managed-by": "me", "app": "x", "k3k-pulumi.io/cluster": "other"}
    made = to_host(slice_({"addresses": ["10.1.0.5"]}, labels=labels)).manifest
    found = made["metadata"]
    assert found["labels"] == {
        "kubernetes.io/service-name": names.host_name("team", "default", "db"),
        "endpointslice.kubernetes.io/managed-by": "k3k-pulumi.io",
        "labels.k3k-pulumi.io/app": "x",
        "k3k-pulumi.io.labels.k3k-pulumi.io/cluster": "other",
        "endpointslice.kubernetes.io.labels.k3k-pulumi.io/managed-by": "me",
        "kubernetes.io.labels.k3k-pulumi.io/service-name": "db",
        "k3k-pulumi.io/cluster": "team",
        "k3k-pulumi.io/namespace": "default",
        "k3k-pulumi.io/component": "workload",
    }
    assert found["ownerReferences"] == [OWNER]
    assert found["annotations"]["k3k-pulumi.io/uid"] == "slice-uid"
    assert (made["addressType"], made["ports"]) == ("IPv4", [{"name": "", "port": 5432, "protocol": "TCP"}])


def test_an_endpoint_has_its_pod_s_node_and_its_own_conditions_and_nothing_else_of_the_tenant_s() -> None:
    conditions = {"ready": False, "serving": True, "terminating": True}
    made = to_host(
        slice_(
            {
                "addresses": ["10.1.0.5"],
                "conditions": conditions,
                "nodeName": "node-of-the-tenant-s-choice",
                "zone": "z",
                "hostname": "h",
                "hints": {"forZones": [{"name": "z"}]},
                "deprecatedTopology": {"a": "b"},
                "targetRef": {"kind": "Pod", "name": "x", "namespace": "kube-system", "uid": "u"},
            },
            {"addresses": ["203.0.113.9"], "nodeName": "node-a"},
        )
    )
    assert made.manifest["endpoints"] == [
        {"addresses": ["10.1.0.5"], "conditions": conditions, "nodeName": "node-a"},
        {"addresses": ["203.0.113.9"]},
    ]
    assert made.dropped == ()


def test_only_own_pods_and_addresses_that_pods_may_reach_get_to_the_host() -> None:
    obj = slice_(
        {"addresses": ["10.1.0.5"]}, {"addresses": ["10.1.0.7"]}, {"addresses": ["203.0.113.9", "10.9.9.9"]}
    )
    made = to_host(obj)
    assert [each["addresses"] for each in made.manifest["endpoints"]] == [["10.1.0.5"], ["203.0.113.9"]]
    assert [each.path for each in made.dropped] == ["endpoints[1].addresses[0]", "endpoints[2].addresses[1]"]
    assert "'10.1.0.7' is left out" in made.dropped[0].reason


def test_addresses_are_compared_as_addresses() -> None:
    assert kept("010.1.0.7", "169.254.169.254", "localhost", "", "10.1.0.5") == ["10.1.0.5"]
    assert kept("FD00:0::5", "::ffff:10.1.0.7", "::ffff:203.0.113.9", "fd00::7", kind="IPv6") == ["fd00::5"]
    assert kept("2001:DB8::1", kind="IPv6") == ["2001:db8::1"]


def test_where_pods_may_go_nowhere_only_own_pods_are_left() -> None:
    assert kept("203.0.113.9", "10.1.0.6", denied=("0.0.0.0/0", "::/0")) == ["10.1.0.6"]


def test_many_wrong_addresses_are_not_many_events() -> None:
    assert len(to_host(slice_(*({"addresses": [f"10.2.0.{n}"]} for n in range(100)))).dropped) == 10


def test_a_slice_without_endpoints_or_ports() -> None:
    made = to_host(slice_(endpoints=None, ports=None)).manifest
    assert made["endpoints"] == []
    assert "ports" not in made


@pytest.mark.parametrize(
    "obj",
    [
        slice_(addressType="FQDN", endpoints=[{"addresses": ["example.com"]}]),
        slice_(labels={"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}),
    ],
)
def test_names_and_the_slices_of_selectors_have_no_copy(obj: dict[str, Any]) -> None:
    assert endpoint_slice.to_host(obj, CLUSTER, PODS, DENIED) is None


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(Refused, match=r"^endpoints\[0\]\.tomorrow"):
        to_host(slice_({"addresses": ["10.1.0.5"], "tomorrow": 1}))


def test_what_a_slice_is_about() -> None:
    obj = slice_({"addresses": ["10.1.0.5", "FD00::5"]}, {"addresses": ["x"]})
    assert endpoint_slice.service_of(obj) == "db"
    assert endpoint_slice.addresses_of(obj) == {"10.1.0.5", "fd00::5"}
    assert endpoint_slice.service_of({"metadata": {"name": "x"}}) == ""
