"""Volumes, environment and all other references to objects."""

from typing import Any

import pytest
from k3k_kubelet.translate import ObjectRef, Refused, TokenProjection
from k3k_kubelet.translate import pod as pods

from kubelet.tests.translate.builders import LINKS, allowing, host_spec, pod, to_host

CFG = "cfg-default-jgmwfpaqit6gxqcy"
SEC = "sec-default-p4fgk6ddocnam6wf"
PULL = "pull-default-jlmyezovm6tetbpi"
TOKENS = "web-default-7uksoqce2rjfcem6"


def ref(name: str, host_name: str, *, optional: bool = False) -> ObjectRef:
    return ObjectRef("default", name, host_name, optional)


FILES = [{"key": "a", "path": "b/c", "mode": 256}]
OTHER = [{"key": "a", "path": "d"}]
FIELD = {"path": "f", "fieldRef": {"fieldPath": "metadata.name"}, "mode": 288}
HOST_FIELD = {
    "path": "f",
    "fieldRef": {"fieldPath": "metadata.annotations['k3k-pulumi.io/name']"},
    "mode": 288,
}
RESOURCE = {
    "path": "r",
    "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu", "divisor": "1m"},
}

VOLUMES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("emptyDir", {"emptyDir": {}}, {"emptyDir": {}}),
    (
        "emptyDir in memory",
        {"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ),
    (
        "configMap",
        {"configMap": {"name": "cfg", "items": FILES, "defaultMode": 420, "optional": True}},
        {"configMap": {"name": CFG, "items": FILES, "defaultMode": 420, "optional": True}},
    ),
    (
        "secret",
        {"secret": {"secretName": "sec", "items": FILES, "defaultMode": 256, "optional": False}},
        {"secret": {"secretName": SEC, "items": FILES, "defaultMode": 256, "optional": False}},
    ),
    (
        "downwardAPI",
        {"downwardAPI": {"items": [FIELD, RESOURCE], "defaultMode": 420}},
        {"downwardAPI": {"items": [HOST_FIELD, RESOURCE], "defaultMode": 420}},
    ),
    (
        "projected",
        {
            "projected": {
                "sources": [
                    {"configMap": {"name": "cfg", "items": FILES, "optional": True}},
                    {"secret": {"name": "sec", "items": OTHER, "optional": True}},
                    {"downwardAPI": {"items": [FIELD]}},
                    {"serviceAccountToken": {"audience": "vault", "expirationSeconds": 600, "path": "t"}},
                ]
            }
        },
        {
            "projected": {
                "sources": [
                    {"configMap": {"name": CFG, "items": FILES, "optional": True}},
                    {"secret": {"name": SEC, "items": OTHER, "optional": True}},
                    {"downwardAPI": {"items": [HOST_FIELD]}},
                    {"secret": {"name": TOKENS, "items": [{"key": "token-0", "path": "t"}]}},
                ]
            }
        },
    ),
]


@pytest.mark.parametrize(
    ("volume", "on_host"), [case[1:] for case in VOLUMES], ids=[case[0] for case in VOLUMES]
)
def test_a_volume(volume: dict[str, Any], on_host: dict[str, Any]) -> None:
    assert host_spec(pod({"volumes": [{"name": "v", **volume}]}))["volumes"] == [{"name": "v", **on_host}]


CLAIM = "web-data-default-yrszgtdat3lxuwhn"
BY_POLICY: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        "persistentVolumeClaim",
        {"volumeTypes": ["persistentVolumeClaim"]},
        {"persistentVolumeClaim": {"claimName": "web-data", "readOnly": True}},
        {"persistentVolumeClaim": {"claimName": CLAIM, "readOnly": True}},
    ),
    (
        "ephemeral",
        {"volumeTypes": ["ephemeral"]},
        {"ephemeral": {"volumeClaimTemplate": {"spec": {"storageClassName": "fast"}}}},
        {"persistentVolumeClaim": {"claimName": CLAIM}},
    ),
    (
        "image",
        {"volumeTypes": ["image"]},
        {"image": {"reference": "busybox", "pullPolicy": "Never"}},
        {"image": {"reference": "busybox", "pullPolicy": "Never"}},
    ),
    (
        "hostPath",
        {"hostPaths": [{"path": "/var/log"}]},
        {"hostPath": {"path": "/var/log/pods/", "type": "Directory"}},
        {"hostPath": {"path": "/var/log/pods/", "type": "Directory"}},
    ),
]


@pytest.mark.parametrize(
    ("policy", "volume", "on_host"), [case[1:] for case in BY_POLICY], ids=[case[0] for case in BY_POLICY]
)
def test_a_volume_that_the_policy_may_forbid(
    policy: dict[str, Any], volume: dict[str, Any], on_host: dict[str, Any]
) -> None:
    with_volume = pod({"volumes": [{"name": "data", **volume}]})
    assert host_spec(with_volume, allowing(**policy))["volumes"] == [{"name": "data", **on_host}]
    with pytest.raises(
        Refused, match=r"^spec\.volumes\[0\]\.\w+: .* not allowed in this cluster; allowed by pods\."
    ):
        to_host(with_volume, allowing(volumeTypes=["secret"]))


def test_a_generic_ephemeral_volume_uses_the_claim_that_the_virtual_cluster_makes() -> None:
    volume = {"name": "data", "ephemeral": {"volumeClaimTemplate": {}}}
    made = to_host(pod({"volumes": [volume]}), allowing(volumeTypes=["ephemeral"]))
    assert made.claims == {ref("web-data", CLAIM)}


ENVIRONMENT: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("value", {"value": "$(KUBERNETES_SERVICE_HOST)"}, {"value": "$(KUBERNETES_SERVICE_HOST)"}),
    (
        "configMapKeyRef",
        {"valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "k", "optional": True}}},
        {"valueFrom": {"configMapKeyRef": {"name": CFG, "key": "k", "optional": True}}},
    ),
    (
        "secretKeyRef",
        {"valueFrom": {"secretKeyRef": {"name": "sec", "key": "k"}}},
        {"valueFrom": {"secretKeyRef": {"name": SEC, "key": "k"}}},
    ),
    (
        "resourceFieldRef",
        {"valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
    ),
    (
        "fileKeyRef",
        {"valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "a.env", "key": "K", "optional": False}}},
        {"valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "a.env", "key": "K", "optional": False}}},
    ),
]


@pytest.mark.parametrize(
    ("entry", "on_host"), [case[1:] for case in ENVIRONMENT], ids=[case[0] for case in ENVIRONMENT]
)
def test_an_environment_variable(entry: dict[str, Any], on_host: dict[str, Any]) -> None:
    env = host_spec(pod(container={"env": [{"name": "A", **entry}]}))["containers"][0]["env"]
    assert env == [{"name": "A", **on_host}]


FIELD_PATHS = [
    ("metadata.name", "metadata.annotations['k3k-pulumi.io/name']"),
    ("metadata.namespace", "metadata.annotations['k3k-pulumi.io/namespace']"),
    ("metadata.uid", "metadata.annotations['k3k-pulumi.io/uid']"),
    ("spec.serviceAccountName", "metadata.annotations['k3k-pulumi.io/service-account']"),
    ("metadata.labels", "metadata.annotations['k3k-pulumi.io/labels']"),
    ("metadata.annotations", "metadata.annotations['k3k-pulumi.io/annotations']"),
    ("metadata.labels['app']", "metadata.labels['labels.k3k-pulumi.io/app']"),
    (
        "metadata.labels['apps.kubernetes.io/pod-index']",
        "metadata.labels['apps.kubernetes.io.labels.k3k-pulumi.io/pod-index']",
    ),
    ("metadata.annotations['a.b/C']", "metadata.annotations['a.b.annotations.k3k-pulumi.io/C']"),
    (
        "metadata.annotations['k3k-pulumi.io/applied']",
        "metadata.annotations['k3k-pulumi.io.annotations.k3k-pulumi.io/applied']",
    ),
    ("spec.nodeName", "spec.nodeName"),
    ("spec.host", "spec.nodeName"),
    ("status.hostIP", "status.hostIP"),
    ("status.hostIPs", "status.hostIPs"),
    ("status.podIP", "status.podIP"),
    ("status.podIPs", "status.podIPs"),
]


@pytest.mark.parametrize(("path", "on_host"), FIELD_PATHS)
def test_a_field_of_the_downward_api(path: str, on_host: str) -> None:
    entry = {"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}
    env = host_spec(pod(container={"env": [entry]}))["containers"][0]["env"]
    assert env[-1]["valueFrom"]["fieldRef"] == {"apiVersion": "v1", "fieldPath": on_host}


@pytest.mark.parametrize(
    "path",
    [
        "metadata.ownerReferences",
        "metadata.labels['a']['b']",
        "metadata.labels['']",
        "spec",
        "metadata.name\n",
    ],
)
def test_another_field_of_the_downward_api_is_refused(path: str) -> None:
    entry = {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}}
    with pytest.raises(Refused) as caught:
        to_host(pod(container={"env": [entry]}))
    assert caught.value.path == "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath"


VARIABLES = ref(":service-links", LINKS["configMapRef"]["name"])


def test_env_from() -> None:
    sources = [
        {"prefix": "P_", "configMapRef": {"name": "cfg", "optional": True}},
        {"secretRef": {"name": "sec"}},
    ]
    made = to_host(pod(container={"envFrom": sources}))
    assert made.manifest["spec"]["containers"][0]["envFrom"] == [
        LINKS,
        {"prefix": "P_", "configMapRef": {"name": CFG, "optional": True}},
        {"secretRef": {"name": SEC}},
    ]
    assert made.config_maps == {ref("cfg", CFG, optional=True), VARIABLES}
    assert made.secrets == {ref("sec", SEC)}


def test_an_object_is_optional_only_if_every_use_of_it_is() -> None:
    sources = [{"configMapRef": {"name": "cfg", "optional": optional}} for optional in (True, False, True)]
    assert to_host(pod(container={"envFrom": sources})).config_maps == {ref("cfg", CFG), VARIABLES}


def test_secrets_for_pulling_images_hold_no_pod_back_and_empty_ones_vanish() -> None:
    made = to_host(pod({"imagePullSecrets": [{"name": "pull"}, {}, {"name": ""}]}))
    assert made.manifest["spec"]["imagePullSecrets"] == [{"name": PULL}]
    assert made.secrets == {ref("pull", PULL, optional=True)}


def token(path: str, **fields: Any) -> dict[str, Any]:
    return {"serviceAccountToken": {"path": path, **fields}}


def tokens_volume(*sources: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"v{id(sources)}", "projected": {"sources": list(sources)}}


def test_equal_token_requests_share_a_key() -> None:
    volumes = [
        tokens_volume(token("a"), token("b", audience="vault")),
        tokens_volume(
            token("c", expirationSeconds=3600), token("d", audience="vault", expirationSeconds=600)
        ),
    ]
    made = to_host(pod({"volumes": volumes}))
    assert made.tokens == (
        TokenProjection("token-0", "", 3600),
        TokenProjection("token-1", "vault", 3600),
        TokenProjection("token-2", "vault", 600),
    )
    items = [
        source["secret"]["items"][0]
        for volume in made.manifest["spec"]["volumes"]
        for source in volume["projected"]["sources"]
    ]
    assert items == [
        {"key": "token-0", "path": "a"},
        {"key": "token-1", "path": "b"},
        {"key": "token-0", "path": "c"},
        {"key": "token-2", "path": "d"},
    ]
    assert pods.token_projections(pod({"volumes": volumes})) == made.tokens


@pytest.mark.parametrize(
    ("spec", "container", "mode"),
    [
        ({}, {}, None),
        ({"securityContext": {"runAsUser": 7}}, {}, 0o644),
        ({}, {"securityContext": {"runAsUser": 7}}, 0o644),
        ({"initContainers": [{"name": "i"}]}, {"securityContext": {"runAsUser": 7}}, None),
        (
            {"initContainers": [{"name": "i", "securityContext": {"runAsUser": 8}}]},
            {"securityContext": {"runAsUser": 7}},
            None,
        ),
    ],
)
def test_a_token_file_is_readable_for_the_pods_single_user(
    spec: dict[str, Any], container: dict[str, Any], mode: int | None
) -> None:
    made = host_spec(pod({"volumes": [tokens_volume(token("t"))], **spec}, container))
    item = made["volumes"][0]["projected"]["sources"][0]["secret"]["items"][0]
    assert item.get("mode") == mode


EVERYTHING = pod(
    {
        "imagePullSecrets": [{"name": "pull"}],
        "initContainers": [{"name": "i", "envFrom": [{"configMapRef": {"name": "init"}}]}],
        "volumes": [
            {"name": "a", "configMap": {"name": "cfg-a"}},
            {"name": "b", "secret": {"secretName": "sec-b"}},
            {
                "name": "c",
                "projected": {"sources": [{"configMap": {"name": "cfg-c"}}, {"secret": {"name": "sec-c"}}]},
            },
            {"name": "d", "persistentVolumeClaim": {"claimName": "claim-d"}},
            {"name": "e", "ephemeral": {"volumeClaimTemplate": {}}},
        ],
    },
    {
        "env": [
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cfg-env", "key": "k"}}},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "sec-env", "key": "k"}}},
        ],
        "envFrom": [{"secretRef": {"name": "sec-from"}}],
    },
)


def test_references_are_those_of_the_translation() -> None:
    made = to_host(
        EVERYTHING,
        allowing(volumeTypes=["configMap", "secret", "projected", "persistentVolumeClaim", "ephemeral"]),
    )
    found = pods.references(EVERYTHING)
    assert (
        found.config_maps
        == {each.name for each in made.config_maps}
        == {":service-links", "init", "cfg-a", "cfg-c", "cfg-env"}
    )
    assert (
        found.secrets
        == {each.name for each in made.secrets}
        == {"pull", "sec-b", "sec-c", "sec-env", "sec-from"}
    )
    assert found.claims == {each.name for each in made.claims} == {"claim-d", "web-e"}


def test_references_of_a_pod_that_translation_refuses() -> None:
    volumes = [{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "configMap": {"name": "cfg"}}]
    assert pods.references(pod({"volumes": volumes})).config_maps == {":service-links", "cfg"}


def test_ephemeral_containers_count_as_users_of_an_object() -> None:
    debug = {"name": "debug", "envFrom": [{"configMapRef": {"name": "cfg"}}]}
    assert pods.references(pod({"ephemeralContainers": [debug]})).config_maps == {":service-links", "cfg"}
