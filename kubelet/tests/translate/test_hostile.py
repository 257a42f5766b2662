"""Pods that try to get out: random ones from everything Kubernetes has, and some by hand."""

import random
import re
from collections import Counter
from typing import Any

import pytest
from k3k_kubelet.translate import References, Refused, ephemeral, names
from k3k_kubelet.translate import pod as pods
from k3k_kubelet.translate import update as updates
from kubernetes import client

from kubelet.tests.translate.builders import BASELINE, CLUSTER, on_host, pod, to_host
from kubelet.tests.translate.invariants import broken, broken_parts

STRINGS = [
    "",
    "a",
    "team-anchor",
    "team-kubelet",
    "kube-root-ca.crt",
    "../../etc/passwd",
    "/",
    "/etc/kubernetes",
    "RuntimeDefault",
    "Unconfined",
    "Localhost",
    "Unmasked",
    "Bidirectional",
    "SYS_ADMIN",
    "ALL",
    "CHOWN",
    "k3k-pulumi.io/cluster",
    "kernel.shm_rmid_forced",
    "kernel.core_pattern",
    "169.254.169.254",
    "linux",
    "windows",
    "NoExecute",
    "Exists",
    "In",
    "node.kubernetes.io/not-ready",
    "kubernetes.io/metadata.name",
    "metadata.name",
    "metadata.annotations['k3k-pulumi.io/uid']",
    "metadata.labels['app']",
    "spec.nodeName",
    "web-other-" + "a" * 16,
    names.host_name("other", "default", "secret"),
    "$(KUBERNETES_SERVICE_HOST)",
    "ü💥\u202e",
    "x" * 300,
]
INTEGERS = [0, 1, -1, 80, 2**31, 2**63 - 1]
LIST = re.compile(r"List\[(\w+)\]")
MAP = re.compile(r"Dict\[str, \w+\]")


def make(kind: str, source: random.Random, density: float) -> Any:
    """A value of an OpenAPI type, with few of its fields set."""
    if item := LIST.fullmatch(kind):
        return [make(item[1], source, density) for _ in range(source.choice((0, 1, 1, 2)))]
    if MAP.fullmatch(kind):
        return {source.choice(STRINGS): source.choice(STRINGS) for _ in range(2)}
    if kind == "str":
        return source.choice(STRINGS)
    if kind == "bool":
        return source.random() < 0.5
    if kind == "int":
        return source.choice(INTEGERS)
    if kind == "object":
        return source.choice([80, "http"])
    if kind == "datetime":
        return "2026-11-21T00:00:00Z"
    model = getattr(client, kind, None) or getattr(client, f"Core{kind}")
    chosen = (name for name in model.openapi_types if source.random() < density)
    return {model.attribute_map[name]: make(model.openapi_types[name], source, density) for name in chosen}


def random_pod(source: random.Random) -> dict[str, Any]:
    """A pod as a hostile API server might give it: a little of everything, much of one thing."""
    density = source.choice((0.02, 0.04, 0.1))
    spec = make("V1PodSpec", source, density)
    field, kind = source.choice(list(client.V1PodSpec.openapi_types.items()))
    spec[client.V1PodSpec.attribute_map[field]] = make(kind, source, 0.3)
    for name in ("containers", "initContainers", "ephemeralContainers"):
        for n, container in enumerate(spec.get(name, ())):
            container["name"] = f"{name.lower()}-{n}"
    own = make("V1Container", source, source.choice((density, 0.3)))
    spec["containers"] = [{**own, "name": "main", "image": "x"}]
    for n, volume in enumerate(spec.get("volumes", ())):
        volume["name"] = f"volume-{n}"
    labels = dict.fromkeys(source.sample(STRINGS[1:], 3), "x")
    annotations = {key: source.choice(STRINGS) for key in source.sample(STRINGS[1:], 3)}
    return pod(spec, labels=labels, annotations=annotations, finalizers=["a/b"])


def outcome(tried: dict[str, Any]) -> str:
    """Translate a pod and check what comes of it."""
    refusal: Refused | None = None
    try:
        made = to_host(tried)
    except Refused as error:
        refusal = error
    if refusal:
        assert refusal.path.startswith(("spec.", "metadata."))
        assert refusal.reason
        return "refused"
    assert list(broken(made, tried)) == [], tried
    assert pods.references(tried).config_maps >= {each.name for each in made.config_maps if each.name}
    assert pods.token_projections(tried) == made.tokens
    return "taken"


def test_random_pods_are_refused_or_harmless() -> None:
    source = random.Random(20261121)
    outcomes = Counter(outcome(random_pod(source)) for _ in range(4000))
    assert min(outcomes["refused"], outcomes["taken"]) > 1000, outcomes


def debug_outcome(tried: dict[str, Any], name: str) -> str:
    """Translate an ephemeral container and check what comes of it."""
    try:
        made = ephemeral.to_host(tried, name, CLUSTER, BASELINE)
    except Refused as error:
        return "refused" if error.path.startswith("spec.ephemeralContainers[0]") else error.path
    own = {each.host_name for each in made.config_maps | made.secrets}
    namespace = tried["metadata"]["namespace"]
    assert own == {
        names.host_name(CLUSTER.name, namespace, each.name) for each in made.config_maps | made.secrets
    }
    assert list(broken_parts(made.manifest, own)) == [], tried
    return "taken"


def test_random_ephemeral_containers_are_refused_or_harmless() -> None:
    source = random.Random(20261122)
    outcomes: Counter[str] = Counter()
    for _ in range(1500):
        tried = random_pod(source)
        debug = make("V1EphemeralContainer", source, source.choice((0.05, 0.15, 0.3)))
        tried["spec"]["ephemeralContainers"] = [{**debug, "name": "debug", "image": "x"}]
        outcomes[debug_outcome(tried, "debug")] += 1
    assert min(outcomes["refused"], outcomes["taken"]) > 300, outcomes


def test_the_invariants_can_fail() -> None:
    made = to_host(pod({"hostname": "a"}))
    made.manifest["spec"]["nodeName"] = "node-1"
    made.manifest["metadata"]["labels"]["app"] = "x"
    assert list(broken(made, pod())) == ["a key outside our domain", ".nodeName"]


FOREIGN_SECRET = names.host_name("other", "default", "secret")
FOREIGN_TOKENS = names.token_secret_name("team", "default", "db", "1")


def volume(**source: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "v", **source}]}


def token_volume(**token: Any) -> dict[str, Any]:
    return volume(projected={"sources": [{"serviceAccountToken": {"path": "t", **token}}]})


def others(**term: Any) -> dict[str, Any]:
    terms = [{"topologyKey": "kubernetes.io/hostname", **term}]
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}


OTHER_CLUSTER = {"matchLabels": {"k3k-pulumi.io/cluster": "other"}}
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
OUR_ANNOTATION = {"fieldRef": {"fieldPath": "metadata.annotations['k3k-pulumi.io/applied']"}}
DEBUG = {"name": "d", "securityContext": {"privileged": True}}

ESCAPES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("another cluster's Secret by its host name", volume(secret={"secretName": FOREIGN_SECRET}), {}),
    ("the anchor", volume(configMap={"name": "team-anchor"}), {}),
    ("another pod's tokens", {}, {"envFrom": [{"secretRef": {"name": FOREIGN_TOKENS}}]}),
    ("the kubelet's account", {"serviceAccountName": "team-kubelet", "serviceAccount": "team-kubelet"}, {}),
    ("the host's own token", {"automountServiceAccountToken": True}, {}),
    ("a token of the host", token_volume(audience="https://kubernetes.default.svc"), {}),
    ("pull secrets of the host", {"imagePullSecrets": [{"name": "registry"}]}, {}),
    ("pods of other clusters", others(labelSelector=OTHER_CLUSTER, namespaceSelector={}), {}),
    ("all pods of the host", others(labelSelector={}, namespaceSelector={}), {}),
    (
        "control-plane nodes",
        {"tolerations": [{"operator": "Exists"}], "nodeSelector": {CONTROL_PLANE: ""}},
        {},
    ),
    ("a node past its scheduler", {"nodeName": "control-plane-1", "schedulerName": "mine"}, {}),
    ("preemption", {"priorityClassName": "system-node-critical", "priority": 2000001000}, {}),
    ("the host's Services", {"enableServiceLinks": True}, {}),
    ("our own annotations", {}, {"env": [{"name": "A", "valueFrom": OUR_ANNOTATION}]}),
    ("a privileged container added later", {"ephemeralContainers": [DEBUG]}, {}),
    ("holding up evictions", {"evictionResponders": [{"name": "slow.example/x", "priority": 9}]}, {}),
]


@pytest.mark.parametrize(
    ("spec", "container"), [case[1:] for case in ESCAPES], ids=[case[0] for case in ESCAPES]
)
def test_an_escape_that_runs_harmlessly(spec: dict[str, Any], container: dict[str, Any]) -> None:
    assert outcome(pod(spec, container)) == "taken"


def test_a_name_that_looks_like_a_host_name_is_translated_once_more() -> None:
    own = names.host_name("team", "default", "web")
    made = to_host(pod({}, {"envFrom": [{"secretRef": {"name": FOREIGN_SECRET}}]}, name=own))
    found = {each.host_name for each in made.secrets} | {made.manifest["metadata"]["name"]}
    assert not found & {FOREIGN_SECRET, own}
    assert all(len(name) <= 63 for name in found)


WRONG_NAMES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (volume(secret={"secretName": "../x"}), {}, "spec.volumes[0].secret.secretName"),
    (volume(configMap={"name": ".."}), {}, "spec.volumes[0].configMap.name"),
    (
        volume(projected={"sources": [{"secret": {"name": "a/b"}}]}),
        {},
        "spec.volumes[0].projected.sources[0].secret.name",
    ),
    ({"imagePullSecrets": [{"name": "db/token/1"}]}, {}, "spec.imagePullSecrets[0].name"),
    ({}, {"envFrom": [{"secretRef": {"name": "A"}}]}, "spec.containers[0].envFrom[0].secretRef.name"),
]


@pytest.mark.parametrize(("spec", "container", "path"), WRONG_NAMES, ids=[case[2] for case in WRONG_NAMES])
def test_a_name_that_no_object_can_have_becomes_no_request(
    spec: dict[str, Any], container: dict[str, Any], path: str
) -> None:
    tried = pod(spec, container)
    with pytest.raises(Refused) as caught:
        to_host(tried)
    assert caught.value.path == path
    assert pods.references(tried) == References(frozenset({":service-links"}), frozenset(), frozenset())


def test_a_pod_can_have_as_much_as_the_api_takes() -> None:
    variables = [{"name": f"A{n}", "value": "x" * 500} for n in range(1000)]
    made = to_host(pod(container={"env": variables}, name="x" * 253))
    assert made.manifest["spec"]["containers"][0]["env"][-1000:] == variables


@pytest.mark.parametrize(
    "labels", [{"k3k-pulumi.io/cluster": "other"}, {"labels.k3k-pulumi.io/app": "other"}]
)
def test_a_later_change_of_labels_does_not_reach_ours(labels: dict[str, str]) -> None:
    host = on_host(pod())
    patch = updates.changes(pod(labels=labels), host, CLUSTER, BASELINE).patch
    assert patch is not None
    assert not patch["metadata"]["labels"].keys() & host["metadata"]["labels"].keys()
    assert all(".labels.k3k-pulumi.io/" in key for key in patch["metadata"]["labels"])
