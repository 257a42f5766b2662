"""The field tables of Services and EndpointSlices against the fields that Kubernetes has."""

import pytest
from k3k_kubelet import policy
from k3k_kubelet.translate import schema
from k3k_kubelet.translate.table.endpoint_slice import ENDPOINT, ENDPOINT_PORT, FIELDS
from k3k_kubelet.translate.table.service import SERVICE_SPEC
from kubernetes import client

from kubelet.tests.translate.test_table import struct_differences

ROOTS = {"V1ServiceSpec": SERVICE_SPEC, "V1Endpoint": ENDPOINT, "DiscoveryV1EndpointPort": ENDPOINT_PORT}


@pytest.mark.parametrize("kind", ROOTS)
def test_the_table_has_every_field_of_kubernetes_with_its_type(kind: str) -> None:
    struct = ROOTS[kind]
    other_name = f"{kind}: {kind} in Kubernetes, {struct.name} in the table"
    assert [each for each in struct_differences(kind, struct, kind) if each != other_name] == []


def test_nothing_of_an_endpoint_slice_is_left_out() -> None:
    every = set(client.V1EndpointSlice.attribute_map.values())
    assert set(FIELDS) == every - {"apiVersion", "kind", "metadata"}


def all_rows() -> list[tuple[str, str, schema.Field]]:
    return [row for root in ROOTS.values() for row in schema.rows(root)]


def test_every_row_has_one_of_the_five_rules_and_says_why() -> None:
    rules = {"copied", "translated", "policy", "dropped", "refused"}
    assert [path for path, _, field in all_rows() if field.rule not in rules or not field.why] == []


def test_a_row_that_depends_on_the_policy_names_a_key_of_the_policy() -> None:
    keys = policy.schema()["$defs"]["Services"]["properties"]
    rows = [(path, field) for path, _, field in all_rows() if field.rule == "policy"]
    assert {path for path, _ in rows} == {
        "externalIPs",
        "loadBalancerClass",
        "loadBalancerIP",
        "loadBalancerSourceRanges",
        "type",
    }
    for path, field in rows:
        _, found, key = field.why.partition("sync.toHost.services.")
        assert found, path
        assert key.split()[0] in keys, path
