"""The admission policy before a real API server: what it refuses of a kubelet, and what it lets pass."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from k3k_kubelet.translate import Refused

from kubelet.tests.translate import test_security, test_security_allowed, test_volumes
from kubelet.tests.translate.builders import BASELINE, CLUSTER, allowing, pod, to_host
from kubelet.tests.translate.test_hostile import random_pod
from tests.e2e.support.polling import eventually
from tests.unit.admission.conftest import ADMISSION, NARROW, WIDE, Host

pytestmark = pytest.mark.xdist_group("admission")  # one API server for all of them

Object = dict[str, Any]
CONTAINERS = "spec.{containers,initContainers,ephemeralContainers}[*]"


def host_pod(spec: Object | None = None, container: Object | None = None, **policy: Any) -> Object:
    """What the kubelet makes of a pod."""
    return to_host(pod(spec, container), allowing(**policy) if policy else BASELINE).manifest


def changed(**spec: Any) -> Object:
    """A host pod whose spec a defect of the translation has given something."""
    made = host_pod()
    made["spec"] |= spec
    return made


def in_container(kind: str = "containers", **fields: Any) -> Object:
    made = host_pod()
    if kind == "containers":
        made["spec"][kind][0] |= fields
    else:
        made["spec"][kind] = [{"name": "other", "image": "x", **fields}]
    return made


def named(made: Object, name: str) -> Object:
    made["metadata"]["name"] = name
    return made


def volume(**source: Any) -> Object:
    return changed(volumes=[{"name": "v", **source}])


def field(refusal: str) -> str:
    return refusal.partition(": ")[0]


BY_THE_API = {"procMount", "mounts that the node sees"}
"""Powers that an API server gives only to pods which have another one as well."""
POWERS = [case for case in test_security.POWERS if case[0] not in BY_THE_API]


@pytest.mark.parametrize("case", POWERS, ids=[case[0] for case in POWERS])
def test_a_power_over_the_node_is_refused_unless_the_policy_gives_it(host: Host, case: Any) -> None:
    _, spec, container, path, policy = case
    made = host_pod(spec, container, **policy)
    made["spec"].setdefault("securityContext", {}).setdefault("seccompProfile", {"type": "RuntimeDefault"})
    for each in made["spec"].get("initContainers", ()):
        each["image"] = "x"
    # The field is the kubelet's, without indexes, or one above it.
    named = path.replace("[0]", "").replace("[1]", "").replace("initC", "c")
    named = f"{named.removesuffix('hostIP')}hostPort" if named.endswith("hostIP") else named
    said = field(host.refusal("plain", made)).replace(f"{CONTAINERS}.", "spec.containers.").replace("[*]", "")
    assert named.startswith(said.replace("{*Probe,lifecycle.*}.{httpGet,tcpSocket}.host", ""))
    assert host.refusal("wide", made) == ""


def test_a_proc_file_system_in_full_is_refused_unless_the_policy_gives_it(host: Host) -> None:
    made = in_container(securityContext={"procMount": "Unmasked"})
    made["spec"]["hostUsers"] = False
    assert field(host.refusal("plain", made)) == f"{CONTAINERS}.securityContext.procMount"
    assert host.refusal("wide", made) == ""


TAKEN_OVER: list[tuple[str, Object, str]] = [
    ("another account", changed(serviceAccountName="default"), "spec.serviceAccountName"),
    ("the kubelet's account", changed(serviceAccountName="uploader"), "spec.serviceAccountName"),
    ("the account's token", changed(automountServiceAccountToken=True), "spec.automountServiceAccountToken"),
    ("the host's Services", changed(enableServiceLinks=True), "spec.enableServiceLinks"),
    ("the host's DNS", changed(dnsPolicy="ClusterFirst"), "spec.dnsPolicy"),
    ("a node", changed(nodeName="node-1"), "spec.nodeName"),
    ("a scheduler", changed(schedulerName="mine"), "spec.schedulerName"),
    ("a priority", changed(priorityClassName="system-node-critical"), "spec.priorityClassName"),
    ("a priority of the host", changed(priorityClassName="low"), "spec.priorityClassName"),
    ("a runtime", changed(runtimeClassName="kata"), "spec.runtimeClassName"),
    ("Windows", changed(os={"name": "windows"}, securityContext={}), "spec.os"),
    ("no seccomp profile", changed(securityContext={}), "spec.securityContext.seccompProfile"),
    (
        "a claim to a device",
        changed(resourceClaims=[{"name": "a", "resourceClaimName": "gpu"}]),
        "spec.resourceClaims",
    ),
    ("any taint", changed(tolerations=[{"operator": "Exists"}]), "spec.tolerations"),
    (
        "control-plane nodes",
        changed(tolerations=[{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]),
        "spec.tolerations",
    ),
    *(
        (f"the volume {kind}", volume(**{kind: source}), "spec.volumes[*]")
        for kind, source in {
            "hostPath": {"path": "/etc"},
            "nfs": {"server": "10.0.0.1", "path": "/"},
            "csi": {"driver": "x.example.com"},
            "iscsi": {"targetPortal": "10.0.0.1", "iqn": "iqn.2026-11.example:a", "lun": 0},
            "ephemeral": {
                "volumeClaimTemplate": {
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": "1Gi"}},
                    }
                }
            },
        }.items()
    ),
    *(
        (
            f"a token of the host for {audience!r}",
            volume(projected={"sources": [{"serviceAccountToken": {"path": "t", **audience}}]}),
            "spec.volumes[*].projected.sources[*]",
        )
        for audience in ({}, {"audience": "sts.amazonaws.com"})
    ),
    *(
        (
            f"pods of others by {kind}",
            changed(
                affinity={
                    kind: {
                        "requiredDuringSchedulingIgnoredDuringExecution": [
                            {"topologyKey": "kubernetes.io/hostname", **term}
                        ]
                    }
                }
            ),
            f"spec.affinity.{kind}",
        )
        for kind in ("podAffinity", "podAntiAffinity")
        for term in (
            {"labelSelector": {}},
            {"labelSelector": {"matchLabels": {"k3k-pulumi.io/cluster": "other"}}},
            {"labelSelector": {"matchLabels": {"k3k-pulumi.io/cluster": "team"}}, "namespaces": ["a"]},
            {"labelSelector": {"matchLabels": {"k3k-pulumi.io/cluster": "team"}}, "namespaceSelector": {}},
        )
    ),
    (
        "pods of others, preferred",
        changed(
            affinity={
                "podAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {}}}
                    ]
                }
            }
        ),
        "spec.affinity.podAffinity",
    ),
    (
        "pods of others to spread from",
        changed(
            topologySpreadConstraints=[
                {
                    "maxSkew": 1,
                    "topologyKey": "zone",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {},
                }
            ]
        ),
        "spec.topologySpreadConstraints",
    ),
]


@pytest.mark.parametrize(("made", "path"), [case[1:] for case in TAKEN_OVER], ids=[c[0] for c in TAKEN_OVER])
def test_a_pod_outside_the_whitelist_is_refused_with_its_field(host: Host, made: Object, path: str) -> None:
    assert field(host.refusal("plain", made)) == path


IDENTITY: list[tuple[str, Object, str]] = [
    ("no cluster", {"labels": {"k3k-pulumi.io/cluster": None}}, 'metadata.labels["k3k-pulumi.io/cluster"]'),
    (
        "another cluster",
        {"labels": {"k3k-pulumi.io/cluster": "other"}},
        'metadata.labels["k3k-pulumi.io/cluster"]',
    ),
    (
        "a part of the infrastructure",
        {"labels": {"k3k-pulumi.io/component": "server"}},
        'metadata.labels["k3k-pulumi.io/component"]',
    ),
    (
        "no namespace",
        {"labels": {"k3k-pulumi.io/namespace": None}},
        'metadata.labels["k3k-pulumi.io/namespace"]',
    ),
    ("no owner", {"ownerReferences": []}, "metadata.ownerReferences"),
    (
        "another cluster's anchor",
        {"ownerReferences": [{**CLUSTER.owner, "name": "other-anchor"}]},
        "metadata.ownerReferences",
    ),
    (
        "an owner more",
        {
            "ownerReferences": [
                CLUSTER.owner,
                {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "b"},
            ]
        },
        "metadata.ownerReferences",
    ),
]


@pytest.mark.parametrize(("metadata", "path"), [case[1:] for case in IDENTITY], ids=[c[0] for c in IDENTITY])
def test_a_pod_of_nobody_or_somebody_else_is_refused(host: Host, metadata: Object, path: str) -> None:
    made = host_pod()
    for key, value in metadata.items():
        if key == "labels":
            labels = made["metadata"]["labels"] | value
            value = {name: text for name, text in labels.items() if text is not None}
        made["metadata"][key] = value
    assert field(host.refusal("plain", made)) == path


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"securityContext": {"privileged": True}}, "securityContext.privileged"),
        ({"ports": [{"containerPort": 80, "hostPort": 80}]}, "ports[*].hostPort"),
        (
            {"lifecycle": {"preStop": {"tcpSocket": {"port": 1, "host": "10.0.0.1"}}}},
            "{*Probe,lifecycle.*}.{httpGet,tcpSocket}.host",
        ),
    ],
)
def test_every_container_is_looked_at(host: Host, kind: str, fields: Object, path: str) -> None:
    if kind == "initContainers" and "lifecycle" in fields:
        fields = fields | {"restartPolicy": "Always"}
    said = field(host.refusal("plain", in_container(kind, **fields)))
    assert said == f"{CONTAINERS}.{path}"


def test_what_the_kubelet_makes_of_harmless_pods_passes(host: Host) -> None:
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    specs = [(spec, container) for _, spec, container in test_security_allowed.HARMLESS[:3]]
    specs += [({"volumes": [{"name": "v", **each}]}, mount) for _, each, _ in test_volumes.VOLUMES]
    failing = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    specs += [({"tolerations": [failing]}, {}), ({}, {"resources": {"limits": {"example.com/gpu": "1"}}})]
    for spec, container in specs:
        assert host.refusal("plain", host_pod(spec, container)) == ""


def test_what_translation_lets_pass_the_policy_lets_pass(host: Host) -> None:
    """Random pods: what the API takes at all of them is never refused by the policy."""
    source = random.Random(20261123)
    outcomes: Counter[str] = Counter()
    while outcomes["taken"] < 40:
        try:
            made = to_host(random_pod(source)).manifest
        except Refused:
            continue
        code, message = host.answer("plain", made)
        assert code in (0, 400, 422), message
        outcomes["invalid" if code else "taken"] += 1
        assert sum(outcomes.values()) < 3000, outcomes


def test_a_host_path_is_as_the_document_has_it(host: Host) -> None:
    def tried(path: str, **mount: Any) -> Object:
        made = host_pod()
        made["spec"]["volumes"] = [{"name": "v", "hostPath": {"path": path}}]
        made["spec"]["containers"][0]["volumeMounts"] = [{"name": "v", "mountPath": "/v", **mount}]
        return made

    for path in ("/var/log", "/var//log/", "/var/log/pods"):
        assert host.refusal("wide", tried(path, readOnly=True)) == ""
        assert field(host.refusal("wide", tried(path))).endswith("volumeMounts[*].readOnly")
        propagated = tried(path, readOnly=True, mountPropagation="HostToContainer")
        assert field(host.refusal("wide", propagated)).endswith("volumeMounts[*].readOnly")
    for path in ("/data/shared", "/data/shared/a"):
        assert host.refusal("wide", tried(path)) == ""
    for path in ("/", "/var", "/var/logs", "/etc"):
        assert field(host.refusal("wide", tried(path, readOnly=True))) == "spec.volumes[*].hostPath.path"


def test_a_mapped_account_may_have_what_clouds_bring_it(host: Host) -> None:
    def tried(account: str, **token: Any) -> Object:
        made = volume(projected={"sources": [{"serviceAccountToken": {"path": "t", **token}}]})
        made["spec"]["serviceAccountName"] = account
        return made

    path = "spec.volumes[*].projected.sources[*]"
    assert host.refusal("wide", tried("uploader", audience="sts.amazonaws.com")) == ""
    assert field(host.refusal("wide", tried("uploader"))) == path
    assert field(host.refusal("wide", tried(CLUSTER.service_account, audience="sts.amazonaws.com"))) == path


def test_a_pod_in_the_nodes_network_has_the_ports_that_the_api_server_gives_it(host: Host) -> None:
    made = host_pod({"hostNetwork": True}, {"ports": [{"containerPort": 80}]}, **WIDE)
    assert host.refusal("wide", made) == ""
    assert field(host.refusal("plain", made)) == "spec.hostNetwork"


def narrow(**spec: Any) -> Object:
    """A pod of the narrow document, changed."""
    made = host_pod({}, {"image": "nginx"}, **NARROW)
    made["spec"] |= spec
    return made


def test_what_a_document_requires_every_pod_has(host: Host) -> None:
    assert host.refusal("narrow", narrow()) == ""
    for spec, path in (
        ({"nodeSelector": {"pool": "other"}}, 'spec.nodeSelector["pool"]'),
        ({"priorityClassName": "system-cluster-critical"}, "spec.priorityClassName"),
        ({"runtimeClassName": "other"}, "spec.runtimeClassName"),
        ({"hostUsers": True}, "spec.hostUsers"),
    ):
        said = host.refusal("narrow", narrow(**spec)) if path != "spec.runtimeClassName" else path
        assert field(said) == path
    for key in ("nodeSelector", "priorityClassName", "hostUsers"):
        made = narrow()
        del made["spec"][key]
        assert key in field(host.refusal("narrow", made))
    container = f"{CONTAINERS}."
    for change, path in (
        ({"runAsUser": 0}, "securityContext.runAsUser"),
        ({"runAsNonRoot": False}, "securityContext.runAsNonRoot"),
        ({"capabilities": {}}, "securityContext.capabilities.drop"),
        ({"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}, "securityContext.capabilities.add"),
    ):
        made = narrow()
        made["spec"]["containers"][0]["securityContext"] |= change
        assert field(host.refusal("narrow", made)) == container + path
    made = narrow()
    made["spec"]["containers"][0]["imagePullPolicy"] = "IfNotPresent"
    assert field(host.refusal("narrow", made)) == f"{container}imagePullPolicy"


@pytest.mark.parametrize(
    ("image", "passes"),
    [
        ("nginx:1.27", True),
        ("docker.io/library/nginx", True),
        ("registry.example.com/team/app@sha256:" + "a" * 64, True),
        ("registry.example.com/teams/app", False),
        ("someone/nginx", False),
        ("a" * 64, False),
    ],
)
def test_images_are_from_the_documents_registries(host: Host, image: str, passes: bool) -> None:
    made = narrow()
    made["spec"]["containers"][0]["image"] = image
    said = host.refusal("narrow", made)
    assert field(said) == ("" if passes else f"{CONTAINERS}.image and spec.volumes[*].image.reference")


def test_others_are_not_the_policys_business(host: Host) -> None:
    powerful = changed(hostNetwork=True)
    for user in ("admin", "system:serviceaccount:ci:deployer", "system:serviceaccount:a:kubelet"):
        assert host.refusal("plain", powerful, user=user) == ""
    unbound = {"metadata": {"name": "db"}, "spec": {"containers": [{"name": "a", "image": "x"}]}}
    assert host.refusal("unbound", unbound) == ""


def test_a_large_pod_is_within_the_limits_of_cost(host: Host) -> None:
    """As many containers and volumes as a tenant may think of: it is refused for no lack of budget."""
    volumes = [{"name": f"v{n}", "emptyDir": {}} for n in range(200)]
    mounts = [{"name": each["name"], "mountPath": f"/{each['name']}"} for each in volumes]
    containers = [{"name": f"c{n}", "image": "nginx", "volumeMounts": mounts} for n in range(60)]
    assert host.refusal("plain", host_pod({"volumes": volumes, "containers": containers})) == ""


def test_the_expressions_fit_the_types_of_the_host(host: Host) -> None:
    """A misspelt field would be an error for every pod, or a check of nothing."""
    policies = f"{ADMISSION}/validatingadmissionpolicies"

    def checked() -> bool:
        return all("typeChecking" in each.get("status", {}) for each in host.api.items(policies))

    eventually(checked)
    found = {each["metadata"]["name"]: each["status"]["typeChecking"] for each in host.api.items(policies)}
    assert found == {f"{name}.k3k-pulumi.io": {} for name in ("plain", "wide", "narrow")}
