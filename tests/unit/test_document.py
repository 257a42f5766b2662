import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from k3k_kubelet import policy

from k3k_pulumi.model.document import DOCUMENT, ENABLED
from k3k_pulumi.model.fragments import Choice, Fields, Form, ListOf, MapOf, Within, normalise
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


def limits(check: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What our table allows at each place, in the words of JSON Schema."""
    if isinstance(check, ListOf):
        yield from limits(check.item, f"{path}[]")
    elif isinstance(check, MapOf):
        yield from limits(check.key, f"{path}{{key}}")
        yield from limits(check.value, f"{path}{{value}}")
    elif isinstance(check, dict):
        yield path, {"required": sorted(check.required)} if isinstance(check, Fields) else {"required": []}
        for key, below in check.items():
            yield from limits(below, f"{path}.{key}")
    elif isinstance(check, Choice):
        yield path, {"enum": sorted(check.allowed)}
    elif isinstance(check, Form):
        yield path, {"pattern": check.pattern} | ({"maxLength": check.longest} if check.longest else {})
    elif isinstance(check, Within):
        yield path, {"minimum": check.least, "maximum": check.most}
    else:
        yield path, {}


STRUCTURE = {"title", "description", "default", "type", "items", "properties", "propertyNames", "$ref"}
STRUCTURE |= {"additionalProperties"}


def schema_limits(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    schema = resolved(schema)
    own = {key: value for key, value in schema.items() if key not in STRUCTURE}
    if "required" in own or "enum" in own:
        own |= {key: sorted(own[key]) for key in ("required", "enum") if key in own}
    if "items" in schema:
        assert not own, path  # a list has no limits of its own in our table
        yield from schema_limits(schema["items"], f"{path}[]")
    elif "properties" in schema:
        yield path, own
        for key, below in schema["properties"].items():
            yield from schema_limits(below, f"{path}.{key}")
    elif schema.get("type") == "object":
        assert not own, path
        yield from schema_limits(schema["propertyNames"], f"{path}{{key}}")
        yield from schema_limits(schema["additionalProperties"], f"{path}{{value}}")
    else:
        yield path, own


@pytest.mark.parametrize("part", DOCUMENT)
def test_our_table_allows_what_the_kubelets_schema_allows(part: str) -> None:
    found = dict(limits(DOCUMENT[part], part))
    assert found == dict(schema_limits(resolved(SCHEMA)["properties"][part], part))
    assert any("pattern" in each for each in found.values())


def toleration(**fields: Any) -> dict[str, Any]:
    return {"required": {"tolerations": [fields]}}


def affinity(**requirement: Any) -> dict[str, Any]:
    term = {"matchExpressions": [requirement]} if requirement else {}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {"defaults": {"affinity": {"nodeAffinity": required}}}


TERM = ".defaults.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
ACCOUNT = {"namespace": "a", "name": "b", "hostServiceAccount": "c"}
GATEWAY = {"namespace": "a", "name": "b", "hostNamespace": "c", "hostName": "d"}


@pytest.mark.parametrize(
    ("part", "given", "line"),
    [
        (
            "pods",
            {"required": {"node_selector": {"bad key!": "x"}}},
            ".required.nodeSelector: key 'bad key!' must be a key like app or example.com/app",
        ),
        (
            "pods",
            {"required": {"node_selector": {"pool": "a b"}}},
            ".required.nodeSelector.pool: 'a b' must be empty, or letters",
        ),
        (
            "pods",
            {"defaults": {"security_context": {"run_as_user": -1}}},
            ".defaults.securityContext.runAsUser: -1 must be a whole number from 0 to 2147483647",
        ),
        (
            "pods",
            {"defaults": {"security_context": {"run_as_group": 2.0**31}}},
            ".defaults.securityContext.runAsGroup: 2147483648.0 must be a whole number from 0",
        ),
        ("pods", {"image_registries": ["r//x"]}, ".imageRegistries[0]: 'r//x' must be a registry"),
        ("pods", {"host_paths": [{"path": "var/log"}]}, ".hostPaths[0].path: 'var/log' must be an absolute"),
        ("pods", {"host_paths": [{"read_only": True}]}, ".hostPaths[0].path: is required"),
        ("pods", {"priority_classes": ["UPPER"]}, ".priorityClasses[0]: 'UPPER' must be a name of lowercase"),
        ("pods", {"priority_classes": ["a" * 254]}, ".priorityClasses[0]: 'aaa"),
        ("pods", {"labels": ["k3k-pulumi.io/x"]}, ".labels[0]: 'k3k-pulumi.io/x' must be one key"),
        ("pods", {"service_accounts": [ACCOUNT, ACCOUNT]}, ".serviceAccounts: has a/b twice"),
        (
            "pods",
            toleration(key="a", operator="Exists", value="b"),
            ".required.tolerations[0]: `value` must be left out with the operator Exists",
        ),
        ("pods", toleration(), ".required.tolerations[0]: `key` is missing"),
        (
            "pods",
            toleration(key="a", toleration_seconds=5.0),
            ".required.tolerations[0]: `tolerationSeconds` needs the effect NoExecute",
        ),
        ("pods", {"allowed_tolerations": [{"value": "x"}]}, ".allowedTolerations[0]: `key` is missing"),
        ("pods", affinity(), f"{TERM}: a term without `matchExpressions` and `matchFields`"),
        ("pods", affinity(key="a"), f"{TERM}.matchExpressions[0].operator: is required"),
        ("pods", affinity(key="a", operator="In"), f"{TERM}.matchExpressions[0]: `values` is missing"),
        (
            "pods",
            affinity(key="a", operator="Gt", values=["b"]),
            f"{TERM}.matchExpressions[0]: `values` must be one whole number",
        ),
        (
            "pods",
            affinity(key="a", operator="Exists", values=["b"]),
            f"{TERM}.matchExpressions[0]: `values` must be left out",
        ),
        (
            "sync",
            {"to_host": {"services": {"selector": {"match_labels": {"a b": "x"}}}}},
            ".toHost.services.selector.matchLabels: key 'a b' must be a key",
        ),
        (
            "sync",
            {"from_host": {"storage_classes": {"names": ["Bad Name"]}}},
            ".fromHost.storageClasses.names[0]: 'Bad Name' must be a name",
        ),
        (
            "sync",
            {"to_host": {"services": {"external_ips": ["192.0.2.1"]}}},
            ".toHost.services.externalIPs[0]: '192.0.2.1' must be a CIDR like 192.0.2.0/24",
        ),
        (
            "sync",
            {"to_host": {"services": {"source_ranges": ["192.0.2.1/24"]}}},
            ".toHost.services.sourceRanges[0]: '192.0.2.1/24' must be a CIDR: 192.0.2.1/24 has",
        ),
        (
            "sync",
            {"to_host": {"ingresses": {"hosts": ["https://a"]}}},
            ".toHost.ingresses.hosts[0]: 'https://a' must be a host name",
        ),
        (
            "sync",
            {"to_host": {"http_routes": {"gateways": [GATEWAY, GATEWAY]}}},
            ".toHost.httpRoutes.gateways: has a/b twice",
        ),
    ],
)
def test_a_value_that_the_kubelet_would_refuse_is_a_problem(
    part: str, given: dict[str, Any], line: str
) -> None:
    problems: list[str] = []
    made = normalise(given, DOCUMENT[part], "", problems)
    assert [each[: len(line)] for each in problems] == [line]
    with pytest.raises(policy.PolicyError):
        policy.load(json.dumps({"apiVersion": "k3k-pulumi.io/v1", part: made}))


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
