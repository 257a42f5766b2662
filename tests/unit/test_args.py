"""The arguments as other languages see them: through Pulumi's component analyzer."""

import json
from typing import Any

import pulumi
import pytest
from pulumi.provider.experimental.component import ComponentProvider

from k3k_pulumi import SharedModeNamespace, VirtualCluster, VirtualClusterPolicy
from k3k_pulumi.args import VirtualClusterArgs, VirtualClusterPolicyArgs


class Cluster(pulumi.ComponentResource):
    def __init__(
        self, name: str, args: VirtualClusterArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        raise NotImplementedError("only its signature is read")


class Policy(pulumi.ComponentResource):
    def __init__(
        self, name: str, args: VirtualClusterPolicyArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        raise NotImplementedError("only its signature is read")


@pytest.fixture(scope="module")
def schema() -> Any:
    text = ComponentProvider([Cluster, Policy], "k3k", None, "0.1.0").schema
    assert text
    return json.loads(text)


def test_only_the_namespace_is_required_and_only_it_and_the_policy_take_outputs(schema: Any) -> None:
    component = schema["resources"]["k3k:index:Cluster"]
    assert component["requiredInputs"] == ["namespace"]
    with_outputs = [name for name, each in component["inputProperties"].items() if not each.get("plain")]
    assert with_outputs == ["namespace", "policy"]


def test_of_a_policy_only_the_namespaces_take_outputs(schema: Any) -> None:
    inputs = schema["resources"]["k3k:index:Policy"]["inputProperties"]
    assert [name for name, each in inputs.items() if not each.get("plain")] == []
    assert "plain" not in inputs["namespaces"]["items"]


def test_the_components_themselves_can_be_served_to_other_languages() -> None:
    components = [VirtualCluster, VirtualClusterPolicy, SharedModeNamespace]
    text = ComponentProvider(components, "k3k", None, "0.1.0").schema
    assert text
    found = json.loads(text)["resources"]
    outputs = {name: set(each["properties"]) for name, each in found.items()}
    assert outputs["k3k:index:VirtualClusterPolicy"] == {"constraints", "namespaces"}
    assert outputs["k3k:index:SharedModeNamespace"] == {"constraints", "namespace"}
    rules = found["k3k:index:VirtualClusterPolicy"]["inputProperties"].keys()
    assert found["k3k:index:SharedModeNamespace"]["inputProperties"].keys() == rules | {
        "namespace",
        "tenants",
    }


def test_every_field_has_a_description_of_one_line(schema: Any) -> None:
    groups = {name: each["properties"] for name, each in schema["types"].items()}
    groups |= {name: each["inputProperties"] for name, each in schema["resources"].items()}
    assert len(groups) == 11
    for group, fields in groups.items():
        for name, field in fields.items():
            assert field.get("description", "").endswith((".", "`.")), f"{group}.{name}"
            assert "\n" not in field["description"], f"{group}.{name}"
