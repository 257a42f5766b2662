import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from k3k_pulumi.model.document import DOCUMENT, ENABLED
from k3k_pulumi.model.fragments import ListOf, MapOf
from tests.unit.support import find, manifests

SCHEMA = json.loads((Path(__file__).parents[2] / "kubelet/k3k_kubelet/policy.schema.json").read_text())


def document(**args: Any) -> Any:
    return json.loads(find(manifests("c", **args), "ConfigMap", "c-policy")["data"]["policy.json"])


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that stands elsewhere, or beside null."""
    if "anyOf" in schema:
        (schema,) = (each for each in schema["anyOf"] if each != {"type": "null"})
    return SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def keys(table: Any) -> Any:
    """The keys of a table of ours, or of a JSON Schema, without their types."""
    if isinstance(table, ListOf):
        return keys(table.item)
    return {key: keys(value) for key, value in table.items()} if isinstance(table, dict) else None


def schema_keys(schema: dict[str, Any]) -> Any:
    schema = resolved(schema)
    if "items" in schema:
        return schema_keys(schema["items"])
    properties = schema.get("properties")
    return {key: schema_keys(value) for key, value in properties.items()} if properties else None


def test_our_table_has_the_keys_of_the_kubelets_schema() -> None:
    expected = schema_keys(SCHEMA)
    del expected["apiVersion"]
    assert keys(DOCUMENT) == expected


def kinds(table: Any) -> Any:
    """A table's lists and maps, as JSON Schema calls them, at every depth."""
    if isinstance(table, ListOf):
        return ["array", kinds(table.item)]
    if isinstance(table, MapOf):
        return "object"
    return {key: kinds(value) for key, value in table.items()} if isinstance(table, dict) else None


def schema_kinds(schema: dict[str, Any]) -> Any:
    schema = resolved(schema)
    if "items" in schema:
        return ["array", schema_kinds(schema["items"])]
    if "properties" in schema:
        return {key: schema_kinds(value) for key, value in schema["properties"].items()}
    return "object" if schema.get("type") == "object" else None


def test_our_lists_and_maps_are_those_of_the_kubelets_schema() -> None:
    for part, table in DOCUMENT.items():
        assert kinds(table) == schema_kinds(resolved(SCHEMA)["properties"][part])


def test_what_is_copied_by_default_is_what_the_kubelet_copies_by_default() -> None:
    default = resolved(SCHEMA)["properties"]["sync"]["default"]
    assert {
        direction: {kind: value["enabled"] for kind, value in kinds.items()}
        for direction, kinds in default.items()
    } == ENABLED


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"pods": {}},
        {
            "pods": {
                "host_network": True,
                "hostPaths": [{"path": "/srv", "read_only": False}],
                "volume_types": ["configMap", "persistentVolumeClaim"],
                "image_registries": ["registry.example.com/team/"],
                "defaults": {"host_users": False, "security_context": {"run_as_non_root": True}},
                "required": {
                    "nodeSelector": {"pool": "tenants"},
                    "tolerations": [
                        {"key": "a", "operator": "Exists", "effect": "NoExecute", "toleration_seconds": 3}
                    ],
                    "affinity": {
                        "node_affinity": {
                            "required_during_scheduling_ignored_during_execution": {
                                "node_selector_terms": [
                                    {"match_expressions": [{"key": "zone", "operator": "Exists"}]}
                                ]
                            }
                        }
                    },
                    "security_context": {"run_as_user": 1000.0, "capabilities": {"drop": ["ALL"]}},
                },
                "priority_classes": ["low"],
                "service_accounts": [
                    {"namespace": "app", "name": "uploader", "host_service_account": "s3-writer"}
                ],
            }
        },
        {
            "sync": {
                "to_host": {
                    "services": {"external_ips": ["192.0.2.0/24"], "load_balancer_classes": ["x.example/a"]},
                    "http_routes": {
                        "enabled": True,
                        "selector": {"match_labels": {"public": "yes"}},
                        "gateways": [
                            {"namespace": "a", "name": "b", "host_namespace": "c", "host_name": "d"}
                        ],
                    },
                },
                "fromHost": {"priority_classes": {"names": ["low"]}},
            }
        },
    ],
)
def test_the_document_keeps_to_the_kubelets_schema(given: dict[str, Any]) -> None:
    jsonschema.validate(document(**given), SCHEMA)


def test_the_document_holds_what_was_given_and_no_default() -> None:
    assert document() == {"apiVersion": "k3k-pulumi.io/v1"}
    mapping = {"namespace": "app", "name": "uploader", "host_service_account": "s3-writer"}
    found = document(pods={"service_accounts": [mapping]})["pods"]["serviceAccounts"]
    assert found == [{"namespace": "app", "name": "uploader", "hostServiceAccount": "s3-writer"}]
    assert document(pods={"host_pid": True}) == {
        "apiVersion": "k3k-pulumi.io/v1",
        "pods": {"hostPID": True},
    }
