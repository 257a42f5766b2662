"""The field tables of Ingresses and HTTPRoutes: against Kubernetes, and against the policy."""

import pytest
from k3k_kubelet import policy
from k3k_kubelet.translate import schema
from k3k_kubelet.translate.table.http_route import HTTP_ROUTE_SPEC
from k3k_kubelet.translate.table.ingress import INGRESS_SPEC

from kubelet.tests.translate.test_table import struct_differences

ROOTS = {"Ingresses": INGRESS_SPEC, "HttpRoutes": HTTP_ROUTE_SPEC}


def test_the_table_has_every_field_of_kubernetes_with_its_type() -> None:
    assert list(struct_differences("V1IngressSpec", INGRESS_SPEC, "spec")) == []


@pytest.mark.parametrize("settings", ROOTS)
def test_every_row_has_one_of_the_five_rules_and_says_why(settings: str) -> None:
    rules = {"copied", "translated", "policy", "dropped", "refused"}
    rows = schema.rows(ROOTS[settings])
    assert [path for path, _, field in rows if field.rule not in rules or not field.why] == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("Ingresses", {"defaultBackend", "ingressClassName", "rules[].host", "tls[].hosts"}),
        ("HttpRoutes", {"parentRefs", "hostnames"}),
    ],
)
def test_a_row_that_depends_on_the_policy_names_a_key_of_the_policy(
    settings: str, expected: set[str]
) -> None:
    keys = policy.schema()["$defs"][settings]["properties"]
    kind = settings[0].lower() + settings[1:]
    rows = [(path, field) for path, _, field in schema.rows(ROOTS[settings]) if field.rule == "policy"]
    assert {path for path, _ in rows} == expected
    for path, field in rows:
        _, found, key = field.why.partition(f"sync.toHost.{kind}.")
        assert found, path
        assert key.split()[0] in keys, path
