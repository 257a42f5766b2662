"""The policy document and its JSON Schema."""

import json
from importlib import resources
from typing import Any

import jsonschema
import pytest
from k3k_kubelet import policy
from k3k_kubelet.policy import BASELINE_CAPABILITIES, SAFE_SYSCTLS, HostPath, Policy, PolicyError, Toleration

SCHEMA = json.loads(resources.files("k3k_kubelet").joinpath("policy.schema.json").read_text())


def document(**pods: Any) -> dict[str, Any]:
    return {"apiVersion": "k3k-pulumi.io/v1", "pods": pods}


def test_the_schema_is_made_from_the_classes() -> None:
    assert policy.schema() == SCHEMA, (
        "run: python -m k3k_kubelet.policy > kubelet/k3k_kubelet/policy.schema.json"
    )


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_key_is_described_and_has_a_default() -> None:
    keys = SCHEMA["$defs"]["Pods"]["properties"]
    assert [
        key for key, value in keys.items() if "default" not in value or not value.get("description")
    ] == []


def test_the_defaults_are_baseline() -> None:
    assert policy.load('{"apiVersion":"k3k-pulumi.io/v1"}') == Policy()
    assert json.loads(policy.msgspec.json.encode(Policy())) == {
        "apiVersion": "k3k-pulumi.io/v1",
        "pods": {
            "hostNetwork": False,
            "hostPID": False,
            "hostIPC": False,
            "hostUsers": True,
            "hostPorts": False,
            "hostProbes": False,
            "hostPaths": [],
            "privileged": False,
            "volumeTypes": [
                "configMap",
                "downwardAPI",
                "emptyDir",
                "ephemeral",
                "image",
                "persistentVolumeClaim",
                "projected",
                "secret",
            ],
            "capabilities": list(BASELINE_CAPABILITIES),
            "procMounts": ["Default"],
            "seccompProfiles": ["RuntimeDefault"],
            "defaultSeccompProfile": "RuntimeDefault",
            "appArmorProfiles": ["RuntimeDefault"],
            "seLinuxOptions": False,
            "sysctls": list(SAFE_SYSCTLS),
            "priorityClasses": [],
            "runtimeClasses": [],
            "nodeSelector": {},
            "tolerations": [],
            "allowedTolerations": [],
            "labels": [],
            "annotations": [],
            "serviceAccounts": [],
            "alwaysPullImages": False,
        },
    }


FULL = document(
    hostNetwork=True,
    hostPID=True,
    hostPaths=[{"path": "/var/log"}, {"path": "/data", "readOnly": False}, {"path": "/"}],
    volumeTypes=["emptyDir", "persistentVolumeClaim", "ephemeral", "image"],
    capabilities=[],
    seccompProfiles=["RuntimeDefault", "Unconfined", "Localhost/a/b.json", "Localhost/*"],
    defaultSeccompProfile="",
    nodeSelector={"example.com/pool": "a", "b": ""},
    tolerations=[{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
    allowedTolerations=[{"operator": "Exists"}, {"key": "a", "value": "b"}],
    labels=["app", "example.com/"],
    annotations=["example.com/x"],
    serviceAccounts=[{"namespace": "team", "name": "app", "hostServiceAccount": "s3-reader"}],
)


def test_a_document_is_read() -> None:
    found = policy.load(json.dumps(FULL)).pods
    assert found.host_network is found.host_pid is True
    assert found.host_paths == (
        HostPath(path="/var/log"),
        HostPath(path="/data", read_only=False),
        HostPath(path="/"),
    )
    assert found.allowed_tolerations == (Toleration(operator="Exists"), Toleration(key="a", value="b"))
    jsonschema.validate(FULL, SCHEMA)


def test_tolerations_for_the_host() -> None:
    found = policy.load(json.dumps(FULL)).pods
    assert [each.manifest() for each in (*found.tolerations, *found.allowed_tolerations)] == [
        {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
        {"operator": "Exists"},
        {"key": "a", "operator": "Equal", "value": "b"},
    ]


BAD: list[tuple[Any, str]] = [
    ({}, '$: "apiVersion" is missing'),
    ({"apiVersion": "v1"}, "$.apiVersion: Invalid enum value 'v1'"),
    ({**document(), "sync": {}}, "$: Object contains unknown field `sync`"),
    (document(hostNetwrk=True), "$.pods: Object contains unknown field `hostNetwrk`"),
    (document(host_network=True), "$.pods: Object contains unknown field `host_network`"),
    (document(hostPid=True), "$.pods: Object contains unknown field `hostPid`"),
    (document(hostNetwork="true"), "$.pods.hostNetwork: Expected `bool`, got `str`"),
    (document(hostNetwork=1), "$.pods.hostNetwork: Expected `bool`, got `int`"),
    (document(hostNetwork=None), "$.pods.hostNetwork: Expected `bool`, got `null`"),
    (document(capabilities="ALL"), "$.pods.capabilities: Expected `array`, got `str`"),
    (document(volumeTypes=["hostPath"]), "$.pods.volumeTypes[0]: Invalid enum value 'hostPath'"),
    (document(volumeTypes=["csi"]), "$.pods.volumeTypes[0]: Invalid enum value 'csi'"),
    (document(hostPaths=["/var"]), "$.pods.hostPaths[0]: Expected `object`, got `str`"),
    (document(hostPaths=[{}]), "$.pods.hostPaths[0]: Object missing required field `path`"),
    *(
        (document(hostPaths=[{"path": path}]), "$.pods.hostPaths[0].path: Expected `str` matching regex")
        for path in ("var", "", "/var/../etc", "/..", "/a//b", "/a/.", "/a/")
    ),
    (
        document(hostPaths=[{"path": "/a", "readonly": False}]),
        "$.pods.hostPaths[0]: Object contains unknown field",
    ),
    (document(seccompProfiles=["Localhost"]), "$.pods.seccompProfiles[0]: Expected `str` matching regex"),
    (document(appArmorProfiles=["runtime/default"]), "$.pods.appArmorProfiles[0]: Expected `str` matching"),
    (document(procMounts=["Other"]), "$.pods.procMounts[0]: Invalid enum value 'Other'"),
    (document(nodeSelector={"a b": "c"}), "key in $.pods.nodeSelector: Expected `str` matching regex"),
    (document(nodeSelector={"a": "x" * 64}), "$.pods.nodeSelector[...]: Expected `str` of length <= 63"),
    (document(labels=["k3k-pulumi.io/cluster"]), "$.pods.labels[0]: Expected `str` matching regex"),
    (document(labels=["k3k-pulumi.io/"]), "$.pods.labels[0]: Expected `str` matching regex"),
    (document(annotations=["labels.k3k-pulumi.io/"]), "$.pods.annotations[0]: Expected `str` matching regex"),
    (document(annotations=["*"]), "$.pods.annotations[0]: Expected `str` matching regex"),
    (document(annotations=[""]), "$.pods.annotations[0]: Expected `str` matching regex"),
    (
        document(serviceAccounts=[{"namespace": "a", "name": "b"}]),
        "$.pods.serviceAccounts[0]: Object missing required field `hostServiceAccount`",
    ),
    (
        document(serviceAccounts=[{"namespace": "*", "name": "b", "hostServiceAccount": "c"}]),
        "$.pods.serviceAccounts[0].namespace: Expected `str` matching regex",
    ),
]


def test_an_account_is_mapped_once() -> None:
    entry = {"namespace": "team", "name": "app", "hostServiceAccount": "a"}
    with pytest.raises(PolicyError, match="serviceAccounts` has team/app twice"):
        policy.load(json.dumps(document(serviceAccounts=[entry, {**entry, "hostServiceAccount": "b"}])))


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_a_bad_document_is_refused_with_its_place_by_reader_and_schema(bad: Any, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy.load(json.dumps(bad))
    assert str(caught.value).startswith(f"policy.json: {message}")
    assert list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(bad))


@pytest.mark.parametrize(
    ("toleration", "message"),
    [
        ({}, "`key` is missing: without one the operator must be Exists"),
        (
            {"key": "a", "operator": "Exists", "value": "b"},
            "`value` must be left out with the operator Exists",
        ),
        ({"key": "a", "tolerationSeconds": 5}, "`tolerationSeconds` needs the effect NoExecute"),
    ],
)
def test_a_toleration_that_kubernetes_would_refuse_is_refused_at_once(
    toleration: dict[str, Any], message: str
) -> None:
    with pytest.raises(PolicyError) as caught:
        policy.load(json.dumps(document(tolerations=[toleration])))
    assert str(caught.value) == f"policy.json: $.pods.tolerations[0]: {message}"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '"x"', b"\xff\xfe", '{"apiVersion":"k3k-pulumi.io/v1"} x']
)
def test_what_is_no_json_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(PolicyError, match=r"^policy\.json: "):
        policy.load(text)
