"""How the two parts of the policy document narrow, key by key."""

from __future__ import annotations

from typing import Any

import pytest

from k3k_pulumi.model.document import DOCUMENT
from k3k_pulumi.model.fragments import normalise
from k3k_pulumi.model.narrowing import narrow

A, B = {"key": "a", "operator": "Exists"}, {"key": "b", "value": "x", "effect": "NoSchedule"}
SNAPSHOT = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "seed"}
GATEWAY = {"namespace": "a", "name": "b", "hostNamespace": "c", "hostName": "d"}
ACCOUNT = {"namespace": "app", "name": "uploader", "hostServiceAccount": "s3-writer"}


def put(path: str, value: Any) -> dict[str, Any]:
    """A document with one value, in the part that the path begins with."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


def found_at(path: str, document: Any) -> Any:
    """A value, None where it is not there."""
    for key in path.split("."):
        document = document.get(key, {}) if isinstance(document, dict) else {}
    return None if document == {} else document


def narrowed(given: dict[str, Any], allowed: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What holds of a cluster's document under its policy's, both as users write them."""
    problems: list[str] = []
    made = {}
    for part, table in DOCUMENT.items():
        own = normalise(given.get(part, {}), table, part, problems)
        policy = normalise(allowed.get(part, {}), table, part, problems)
        assert problems == []
        made[part] = narrow(part, own, "team", policy, problems)
        told = list(problems)
        problems.clear()
        made[f"{part}:problems"] = told
    return {part: made[part] for part in DOCUMENT}, [
        line for part in DOCUMENT for line in made[f"{part}:problems"]
    ]


ALLOWED: list[tuple[str, Any, Any, Any]] = [
    # key, the policy's value, the cluster's, what holds; None is left out
    ("pods.hostNetwork", None, None, None),
    ("pods.hostNetwork", None, False, False),
    ("pods.hostNetwork", True, None, True),
    ("pods.hostNetwork", True, True, True),
    ("pods.hostNetwork", True, False, False),
    ("pods.hostNetwork", False, False, False),
    ("pods.alwaysPullImages", None, True, True),
    ("pods.alwaysPullImages", True, None, True),
    ("pods.alwaysPullImages", True, True, True),
    ("pods.alwaysPullImages", False, True, True),
    ("pods.alwaysPullImages", False, False, False),
    ("pods.defaultSeccompProfile", None, "RuntimeDefault", "RuntimeDefault"),
    ("pods.defaultSeccompProfile", "", "RuntimeDefault", "RuntimeDefault"),
    ("pods.defaultSeccompProfile", "", "", ""),
    ("pods.defaultSeccompProfile", "", None, ""),
    ("pods.volumeTypes", None, ["configMap", "secret"], ["configMap", "secret"]),
    ("pods.volumeTypes", ["configMap"], None, ["configMap"]),
    ("pods.volumeTypes", ["configMap", "secret"], ["secret"], ["secret"]),
    ("pods.volumeTypes", ["configMap"], [], []),
    ("pods.volumeTypes", [], [], []),
    ("pods.capabilities", None, ["CHOWN"], ["CHOWN"]),
    ("pods.capabilities", ["SYS_PTRACE"], ["SYS_PTRACE"], ["SYS_PTRACE"]),
    ("pods.seccompProfiles", ["Localhost/*"], ["Localhost/a"], ["Localhost/a"]),
    ("pods.appArmorProfiles", ["Localhost/*", "Unconfined"], ["Unconfined"], ["Unconfined"]),
    ("pods.sysctls", None, ["kernel.shm_rmid_forced"], ["kernel.shm_rmid_forced"]),
    ("pods.hostPaths", [{"path": "/srv"}], [{"path": "/srv/a"}], [{"path": "/srv/a"}]),
    ("pods.allowedTolerations", [A], [{"key": "a"}], [{"key": "a"}]),
    ("pods.labels", ["example.com/"], ["example.com/a"], ["example.com/a"]),
    ("pods.serviceAccounts", [ACCOUNT], [ACCOUNT], [ACCOUNT]),
    ("pods.imageRegistries", None, ["example.com/"], ["example.com/"]),
    ("pods.imageRegistries", ["example.com"], ["example.com/team/"], ["example.com/team/"]),
    ("pods.imageRegistries", ["example.com"], [], []),
    ("pods.imageRegistries", ["example.com"], None, ["example.com"]),
    ("pods.defaults.nodeSelector", {"pool": "a"}, {"pool": "b"}, {"pool": "b"}),
    ("pods.defaults.nodeSelector", {"pool": "a"}, {}, {}),
    ("pods.defaults.nodeSelector", {"pool": "a"}, None, {"pool": "a"}),
    ("pods.defaults.tolerations", [A], [{"key": "a"}], [{"key": "a"}]),
    ("pods.defaults.tolerations", [A], None, [A]),
    ("pods.defaults.priorityClass", "low", "low", "low"),
    ("pods.defaults.hostUsers", False, True, True),
    ("pods.defaults.securityContext.runAsUser", 1000, 0, 0),
    ("pods.defaults.securityContext.runAsUser", None, 1000.0, 1000),
    ("pods.required.nodeSelector", {"pool": "a"}, {"disk": "ssd"}, {"disk": "ssd", "pool": "a"}),
    ("pods.required.nodeSelector", {"pool": "a"}, {"pool": "a"}, {"pool": "a"}),
    ("pods.required.nodeSelector", {"pool": "a"}, None, {"pool": "a"}),
    ("pods.required.nodeSelector", None, {"pool": "a"}, {"pool": "a"}),
    ("pods.required.tolerations", [A, B], [{"key": "a"}], [{"key": "a"}, A, B]),
    ("pods.required.tolerations", [A], None, [A]),
    ("pods.required.priorityClass", "low", "low", "low"),
    ("pods.required.hostUsers", None, False, False),
    ("pods.required.hostUsers", None, True, True),
    ("pods.required.hostUsers", False, None, False),
    ("pods.required.hostUsers", False, False, False),
    ("pods.required.securityContext.runAsNonRoot", True, None, True),
    ("pods.required.securityContext.runAsUser", 1000.0, 1000, 1000),
    ("pods.required.securityContext.capabilities.drop", ["ALL"], ["CHOWN"], ["ALL", "CHOWN"]),
    ("sync.toHost.services.enabled", None, True, True),
    ("sync.toHost.services.enabled", None, False, False),
    ("sync.toHost.services.enabled", False, None, False),
    ("sync.toHost.services.selector.matchLabels", {"a": "b"}, {"c": "d"}, {"c": "d", "a": "b"}),
    ("sync.toHost.services.types", ["ClusterIP", "NodePort"], ["ClusterIP"], ["ClusterIP"]),
    ("sync.toHost.services.externalIPs", ["192.0.2.0/24"], ["192.0.2.4/32"], ["192.0.2.4/32"]),
    ("sync.toHost.services.sourceRanges", None, ["0.0.0.0/0"], ["0.0.0.0/0"]),
    ("sync.toHost.services.sourceRanges", ["10.0.0.0/9", "10.128.0.0/9"], ["10.0.0.0/8"], ["10.0.0.0/8"]),
    ("sync.toHost.services.sourceRanges", ["10.0.0.0/8"], [], []),
    ("sync.toHost.persistentVolumeClaims.storageClasses", None, ["fast"], ["fast"]),
    ("sync.toHost.persistentVolumeClaims.storageClasses", ["*"], ["*"], ["*"]),
    ("sync.toHost.persistentVolumeClaims.dataSources", [SNAPSHOT], [SNAPSHOT], [SNAPSHOT]),
    ("sync.toHost.ingresses.enabled", True, None, True),
    ("sync.toHost.ingresses.hosts", ["*.example.com"], ["a.example.com"], ["a.example.com"]),
    ("sync.toHost.ingresses.controllerNamespaces", [], ["ingress"], ["ingress"]),
    ("sync.toHost.ingresses.controllerNamespaces", ["ingress", "b"], ["ingress"], ["ingress"]),
    ("sync.toHost.ingresses.controllerNamespaces", ["ingress"], None, ["ingress"]),
    ("sync.toHost.ingresses.controllerNamespaces", None, [], []),
    ("sync.toHost.httpRoutes.gateways", [GATEWAY], [GATEWAY], [GATEWAY]),
    ("sync.fromHost.storageClasses.names", None, ["fast"], ["fast"]),
    ("sync.fromHost.storageClasses.names", ["fast", "slow"], ["slow"], ["slow"]),
    ("sync.fromHost.storageClasses.names", ["fast"], None, ["fast"]),
    ("sync.fromHost.storageClasses.names", ["fast"], [], []),
]


@pytest.mark.parametrize(("path", "policy", "cluster", "expected"), ALLOWED)
def test_a_cluster_may_take_less_and_takes_what_it_leaves_out(
    path: str, policy: Any, cluster: Any, expected: Any
) -> None:
    made, problems = narrowed(put(path, cluster), put(path, policy))
    assert problems == []
    assert found_at(path, made) == (None if expected == {} else expected)
    assert expected is None or repr(expected) in repr(made)  # 1000 is not 1000.0


REFUSED: list[tuple[str, Any, Any, str]] = [
    *(
        (f"pods.{key}", None, True, "")
        for key in ("hostNetwork", "hostPID", "hostIPC", "hostPorts", "hostProbes")
    ),
    *((f"pods.{key}", False, True, "") for key in ("privileged", "seLinuxOptions")),
    ("pods.alwaysPullImages", True, False, ""),
    ("pods.defaultSeccompProfile", None, "", ""),
    ("pods.defaultSeccompProfile", "RuntimeDefault", "", ""),
    ("pods.volumeTypes", ["configMap"], ["configMap", "secret"], "[1]"),
    ("pods.volumeTypes", [], ["secret"], "[0]"),
    ("pods.capabilities", None, ["CHOWN", "SYS_ADMIN"], "[1]"),
    ("pods.capabilities", None, ["chown"], "[0]"),
    ("pods.procMounts", None, ["Unmasked"], "[0]"),
    ("pods.seccompProfiles", ["Localhost/a"], ["Localhost/*"], "[0]"),
    ("pods.seccompProfiles", None, ["Unconfined"], "[0]"),
    ("pods.appArmorProfiles", None, ["Localhost/a"], "[0]"),
    ("pods.sysctls", None, ["kernel.msgmax"], "[0]"),
    *((f"pods.{key}", None, ["a"], "[0]") for key in ("priorityClasses", "runtimeClasses", "resourceClaims")),
    ("pods.resourceClaimTemplates", ["b"], ["a"], "[0]"),
    ("pods.hostPaths", None, [{"path": "/"}], "[0]"),
    ("pods.hostPaths", [{"path": "/srv"}], [{"path": "/srv", "read_only": False}], "[0]"),
    ("pods.allowedTolerations", [A], [{"operator": "Exists"}], "[0]"),
    ("pods.labels", ["example.com/a"], ["example.com/"], "[0]"),
    ("pods.annotations", None, ["a"], "[0]"),
    ("pods.serviceAccounts", [ACCOUNT], [{**ACCOUNT, "hostServiceAccount": "admin"}], "[0]"),
    ("pods.imageRegistries", ["example.com/team"], ["example.com/team-b"], "[0]"),
    ("pods.imageRegistries", ["example.com/team"], ["example.com"], "[0]"),
    ("pods.imageRegistries", [], ["example.com"], "[0]"),
    ("pods.defaults.tolerations", None, [A], "[0]"),
    ("pods.defaults.priorityClass", None, "high", ""),
    ("pods.defaults.priorityClass", "low", "high", ""),
    ("pods.defaults.runtimeClass", None, "kata", ""),
    ("pods.required.nodeSelector", {"pool": "a"}, {"pool": "b"}, "['pool']"),
    ("pods.required.tolerations", None, [A], "[0]"),
    ("pods.required.tolerations", [B], [B, A], "[1]"),
    ("pods.required.priorityClass", "low", "high", ""),
    ("pods.required.priorityClass", None, "high", ""),
    ("pods.required.runtimeClass", None, "kata", ""),
    ("pods.required.hostUsers", False, True, ""),
    ("pods.required.securityContext.runAsUser", 1000, 0, ""),
    ("pods.required.securityContext.runAsNonRoot", True, False, ""),
    ("pods.required.securityContext.allowPrivilegeEscalation", False, True, ""),
    ("sync.toHost.services.enabled", False, True, ""),
    ("sync.toHost.ingresses.enabled", None, True, ""),
    ("sync.toHost.httpRoutes.enabled", False, True, ""),
    ("sync.toHost.networkPolicies.enabled", False, True, ""),
    ("sync.toHost.services.sourceRanges", ["10.0.0.0/8"], ["10.0.0.0/8", "::/0"], "[1]"),
    ("sync.toHost.services.sourceRanges", [], ["10.0.0.0/8"], "[0]"),
    ("sync.toHost.services.selector.matchLabels", {"a": "b"}, {"a": "c"}, "['a']"),
    ("sync.toHost.services.types", ["ClusterIP"], ["LoadBalancer"], "[0]"),
    ("sync.toHost.services.externalIPs", None, ["192.0.2.0/24"], "[0]"),
    ("sync.toHost.services.externalIPs", ["192.0.2.0/24"], ["192.0.2.0/23"], "[0]"),
    ("sync.toHost.services.loadBalancerClasses", None, ["example.com/a"], "[0]"),
    ("sync.toHost.persistentVolumeClaims.storageClasses", ["fast"], ["*"], "[0]"),
    ("sync.toHost.persistentVolumeClaims.dataSources", None, [SNAPSHOT], "[0]"),
    ("sync.toHost.persistentVolumeClaims.volumeAttributesClasses", None, ["*"], "[0]"),
    ("sync.toHost.ingresses.classes", ["nginx"], ["*"], "[0]"),
    ("sync.toHost.ingresses.hosts", ["*.example.com"], ["*"], "[0]"),
    ("sync.toHost.ingresses.hosts", None, ["a.example.com"], "[0]"),
    ("sync.toHost.ingresses.controllerNamespaces", ["ingress"], ["other"], "[0]"),
    # Without any, everybody may connect.
    ("sync.toHost.ingresses.controllerNamespaces", ["ingress"], [], ""),
    ("sync.toHost.httpRoutes.gateways", [GATEWAY], [{**GATEWAY, "hostName": "e"}], "[0]"),
    ("sync.fromHost.storageClasses.enabled", None, True, ""),
    ("sync.fromHost.priorityClasses.names", ["low"], ["high"], "[0]"),
]


@pytest.mark.parametrize(("path", "policy", "cluster", "place"), REFUSED)
def test_more_than_the_policy_has_is_told_with_the_policy_and_the_place(
    path: str, policy: Any, cluster: Any, place: str
) -> None:
    _, problems = narrowed(put(path, cluster), put(path, policy))
    assert [line.partition(": ")[0] for line in problems] == [f"{path}{place}"]
    (line,) = problems
    assert " VirtualClusterPolicy 'team' " in line
    assert line.endswith("): leave it out, or have the policy changed")


@pytest.mark.parametrize(
    ("given", "allowed", "line"),
    [
        (
            {"pods": {"host_network": True}},
            {},
            "pods.hostNetwork: True is more than VirtualClusterPolicy 'team' allows (pods.hostNetwork: False)"
            ": leave it out, or have the policy changed",
        ),
        (
            {"pods": {"volume_types": ["secret"]}},
            {"pods": {"volumeTypes": ["configMap"]}},
            "pods.volumeTypes[0]: 'secret' is more than VirtualClusterPolicy 'team' allows "
            "(pods.volumeTypes: ['configMap']): leave it out, or have the policy changed",
        ),
        (
            {"pods": {"required": {"node_selector": {"pool": "b"}}}},
            {"pods": {"required": {"nodeSelector": {"pool": "a"}}}},
            "pods.required.nodeSelector['pool']: 'b' is not what VirtualClusterPolicy 'team' requires "
            "(pods.required.nodeSelector: 'a'): leave it out, or have the policy changed",
        ),
        (
            {"pods": {"defaults": {"priority_class": "high"}}},
            {"pods": {"priority_classes": ["low"]}},
            "pods.defaults.priorityClass: 'high' is more than VirtualClusterPolicy 'team' allows "
            "(pods.priorityClasses: ['low']): leave it out, or have the policy changed",
        ),
    ],
)
def test_the_line_says_what_was_found_and_what_is_allowed(
    given: dict[str, Any], allowed: dict[str, Any], line: str
) -> None:
    _, problems = narrowed(given, allowed)
    assert problems == [line]


@pytest.mark.parametrize("choices", ["priorityClasses", "runtimeClasses"])
@pytest.mark.parametrize("part", ["defaults", "required"])
def test_what_the_policy_shares_a_cluster_may_give_all_its_pods(choices: str, part: str) -> None:
    key = choices.removesuffix("es")
    allowed = {"pods": {choices: ["a"], "defaults": {key: "b"}}}
    for value in ("a", "b"):
        assert narrowed({"pods": {part: {key: value}}}, allowed)[1] == []
    assert len(narrowed({"pods": {part: {key: "c"}}}, allowed)[1]) == 1


@pytest.mark.parametrize("part", ["defaults", "required"])
@pytest.mark.parametrize("source", ["allowedTolerations", "defaults", "required"])
def test_tolerations_that_the_policy_gives_a_cluster_may_give_all_its_pods(part: str, source: str) -> None:
    allowed = {"pods": {source: [A] if source == "allowedTolerations" else {"tolerations": [A]}}}
    assert narrowed({"pods": {part: {"tolerations": [{"key": "a"}]}}}, allowed)[1] == []
    assert len(narrowed({"pods": {part: {"tolerations": [B]}}}, allowed)[1]) == 1


def test_required_affinities_hold_together() -> None:
    def affinity(key: str) -> dict[str, Any]:
        term = {"matchExpressions": [{"key": key, "operator": "Exists"}]}
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
        return {"pods": {"required": {"affinity": {"nodeAffinity": required}}}}

    made, problems = narrowed(affinity("own"), affinity("policy"))
    assert problems == []
    required = made["pods"]["required"]["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    (term,) = required["nodeSelectorTerms"]
    assert [each["key"] for each in term["matchExpressions"]] == ["own", "policy"]


def test_with_classes_shown_from_the_host_no_names_are_all() -> None:
    allowed = {"sync": {"fromHost": {"storageClasses": {"enabled": True, "names": ["fast"]}}}}
    path = "sync.fromHost.storageClasses"
    assert narrowed({}, allowed)[0]["sync"] == allowed["sync"]
    assert narrowed(put(f"{path}.names", ["fast"]), allowed)[1] == []
    (line,) = narrowed(put(f"{path}.names", []), allowed)[1]
    assert line.startswith(f"{path}.names: [] is more than VirtualClusterPolicy 'team' allows ")
    # Nothing is read of the host then, and nothing shown.
    assert narrowed(put(path, {"enabled": False, "names": []}), allowed)[1] == []


def test_without_a_policys_words_the_document_stays_as_it_was() -> None:
    given = {"pods": {"volumeTypes": ["secret"]}, "sync": {"toHost": {"ingresses": {"hosts": []}}}}
    assert narrowed(given, {}) == (given, [])
    assert narrowed({}, given) == (given, [])
    assert narrowed({}, {}) == ({"pods": {}, "sync": {}}, [])


def test_keys_in_snake_case_are_the_same_keys() -> None:
    given = {
        "pods": {"host_pid": True},
        "sync": {"to_host": {"services": {"external_ips": ["192.0.2.0/24"]}}},
    }
    _, problems = narrowed(given, {})
    assert [line.partition(": ")[0] for line in problems] == [
        "pods.hostPID",
        "sync.toHost.services.externalIPs[0]",
    ]
