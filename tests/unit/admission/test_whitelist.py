"""The admission policy as a manifest: what each key of the policy document changes in it."""

from __future__ import annotations

from typing import Any

import pytest

from k3k_pulumi.manifests.policy.admission import admission_policy
from k3k_pulumi.manifests.policy.whitelist import validations, variables
from k3k_pulumi.model import VirtualClusterPolicySpec
from k3k_pulumi.model.document import DOCUMENT
from k3k_pulumi.model.narrowing import complete
from tests.unit.support import find, manifests

CONTAINERS = "spec.{containers,initContainers,ephemeralContainers}[*]"
CHANGES: list[tuple[dict[str, Any], list[str]]] = [
    ({"hostNetwork": True}, ["spec.hostNetwork"]),
    ({"hostPID": True}, ["spec.hostPID"]),
    ({"hostIPC": True}, ["spec.hostIPC"]),
    ({"hostPorts": True}, [f"{CONTAINERS}.ports[*].hostPort"]),
    ({"hostProbes": True}, [f"{CONTAINERS}.{{*Probe,lifecycle.*}}.{{httpGet,tcpSocket}}.host"]),
    (
        {"hostPaths": [{"path": "/a"}]},
        [f"{CONTAINERS}.volumeMounts[*].readOnly", "spec.volumes[*]", "spec.volumes[*].hostPath.path"],
    ),
    ({"privileged": True}, [f"{CONTAINERS}.securityContext.privileged"]),
    ({"volumeTypes": ["secret"]}, ["spec.volumes[*]"]),
    ({"capabilities": []}, [f"{CONTAINERS}.securityContext.capabilities.add"]),
    ({"procMounts": ["Unmasked"]}, [f"{CONTAINERS}.securityContext.procMount"]),
    (
        {"seccompProfiles": ["Unconfined"]},
        [f"{CONTAINERS}.securityContext.seccompProfile", "spec.securityContext.seccompProfile"],
    ),
    ({"defaultSeccompProfile": ""}, ["spec.securityContext.seccompProfile"]),
    (
        {"appArmorProfiles": ["Localhost/*"]},
        [f"{CONTAINERS}.securityContext.appArmorProfile", "spec.securityContext.appArmorProfile"],
    ),
    (
        {"seLinuxOptions": True},
        [f"{CONTAINERS}.securityContext.seLinuxOptions", "spec.securityContext.seLinuxOptions"],
    ),
    ({"sysctls": []}, ["spec.securityContext.sysctls"]),
    ({"priorityClasses": ["low"]}, ["spec.priorityClassName"]),
    ({"runtimeClasses": ["kata"]}, ["spec.runtimeClassName"]),
    ({"resourceClaims": ["gpu"]}, ["spec.resourceClaims"]),
    ({"resourceClaimTemplates": ["gpu"]}, ["spec.resourceClaims"]),
    ({"allowedTolerations": [{"key": "a"}]}, ["spec.tolerations"]),
    (
        {"serviceAccounts": [{"namespace": "a", "name": "b", "hostServiceAccount": "c"}]},
        ["spec.serviceAccountName", "spec.volumes[*].projected.sources[*]"],
    ),
    (
        {"alwaysPullImages": True},
        [f"{CONTAINERS}.imagePullPolicy", "spec.volumes[*].image.pullPolicy"],
    ),
    ({"imageRegistries": ["docker.io"]}, [f"{CONTAINERS}.image and spec.volumes[*].image.reference"]),
    ({"defaults": {"priorityClass": "low"}}, ["spec.priorityClassName"]),
    ({"defaults": {"runtimeClass": "kata"}}, ["spec.runtimeClassName"]),
    ({"defaults": {"tolerations": [{"key": "a"}]}}, ["spec.tolerations"]),
    ({"required": {"priorityClass": "low"}}, ["spec.priorityClassName"]),
    ({"required": {"runtimeClass": "kata"}}, ["spec.runtimeClassName"]),
    ({"required": {"tolerations": [{"key": "a"}]}}, ["spec.tolerations"]),
    ({"required": {"nodeSelector": {"pool": "a"}}}, ['spec.nodeSelector["pool"]']),
    ({"required": {"hostUsers": False}}, ["spec.hostUsers"]),
    ({"required": {"securityContext": {"runAsUser": 7}}}, [f"{CONTAINERS}.securityContext.runAsUser"]),
    (
        {"required": {"securityContext": {"capabilities": {"drop": ["ALL"]}}}},
        [f"{CONTAINERS}.securityContext.capabilities.drop"],
    ),
]
HARMLESS = {"labels", "annotations"}
"""Keys of which no power follows: the host's own webhooks write labels and annotations as well."""


def fields(pods: dict[str, Any]) -> dict[str, list[str]]:
    """Path of a field -> the validations of it, with all that they say."""
    found: dict[str, list[str]] = {}
    for each in validations(complete("pods", pods)):
        found.setdefault(each["message"].partition(": ")[0], []).append(str(each))
    return found


@pytest.mark.parametrize(("pods", "changed"), CHANGES, ids=[str(case[0]) for case in CHANGES])
def test_a_key_of_the_document_changes_what_it_is_about(pods: dict[str, Any], changed: list[str]) -> None:
    before, after = fields({}), fields(pods)
    assert sorted(key for key in before | after if before.get(key) != after.get(key)) == sorted(changed)


def test_every_key_of_the_document_changes_something() -> None:
    assert {key for pods, _ in CHANGES for key in pods} | HARMLESS == set(DOCUMENT["pods"])


def test_labels_and_annotations_change_nothing() -> None:
    assert fields({key: ["example.com/"] for key in HARMLESS}) == fields({})


def test_variables_come_before_those_that_need_them() -> None:
    known = ["cluster"]
    for name, expression in variables(
        complete("pods", {"imageRegistries": [], "hostPaths": [{"path": "/"}]})
    ).items():
        used = {each for each in (*CHANGED_BY_NAME, name) if f"variables.{each}" in expression}
        assert used <= set(known), name
        known.append(name)


CHANGED_BY_NAME = ("account", "cluster", "containers", "created", "images", "known", "tolerations", "volumes")


def body(objects: list[dict[str, Any]]) -> dict[str, Any]:
    found = [each["spec"] for each in objects if each["kind"] == "ValidatingAdmissionPolicy"]
    assert len(found) == 1
    return found[0]


def test_a_policy_has_one_for_all_its_namespaces_if_asked() -> None:
    spec = VirtualClusterPolicySpec.parse("team", {"namespaces": ["a", "b"], "admission_policy": True})
    objects = admission_policy(spec)
    assert [(each["kind"], each["metadata"]["name"]) for each in objects] == [
        ("ValidatingAdmissionPolicy", "team.k3k-pulumi.io"),
        ("ValidatingAdmissionPolicyBinding", "team.k3k-pulumi.io"),
    ]
    found, binding = objects[0]["spec"], objects[1]["spec"]
    assert found["failurePolicy"] == "Fail"
    assert binding == {"policyName": "team.k3k-pulumi.io", "validationActions": ["Deny"]}
    selector = found["matchConstraints"]["namespaceSelector"]
    assert selector == {"matchLabels": {"k3k-pulumi.io/policy": "team"}}
    assert admission_policy(VirtualClusterPolicySpec.parse("team", {"namespaces": ["a"]})) == []


def test_a_policys_image_registries_hold_for_pods_unless_they_have_their_own() -> None:
    given = {"namespaces": ["a"], "admission_policy": True, "image_registries": ["registry.example.com"]}

    def messages(**pods: Any) -> str:
        spec = VirtualClusterPolicySpec.parse("team", {**given, "pods": pods})
        return " ".join(each["message"] for each in body(admission_policy(spec))["validations"])

    assert "pods.imageRegistries allows registry.example.com" in messages()
    assert "pods.imageRegistries allows docker.io/library" in messages(image_registries=["docker.io/library"])


def test_a_cluster_has_one_of_its_own_if_asked() -> None:
    assert not [each for each in manifests() if each["kind"].startswith("ValidatingAdmission")]
    objects = manifests(admission_policy=True, pods={"host_pid": True})
    name = "c.team-c-control-plane.k3k-pulumi.io"
    assert find(objects, "ValidatingAdmissionPolicyBinding", name)["spec"]["policyName"] == name
    found = find(objects, "ValidatingAdmissionPolicy", name)
    assert "namespace" not in found["metadata"]
    constraints = found["spec"]["matchConstraints"]
    assert constraints["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "team"}}
    assert found["spec"]["matchConditions"] == [
        {
            "name": "virtual-kubelet",
            "expression": "request.userInfo.username == "
            '"system:serviceaccount:team-c-control-plane:c-kubelet"',
        }
    ]
    paths = [each["message"].partition(": ")[0] for each in found["spec"]["validations"]]
    assert "spec.hostPID" not in paths
    assert "spec.hostIPC" in paths
    kinds = [each["kind"] for each in objects]
    assert kinds.index("ValidatingAdmissionPolicyBinding") < kinds.index("Deployment")


def test_all_ways_to_write_a_pod_are_looked_at() -> None:
    rules = body(manifests(admission_policy=True))["matchConstraints"]["resourceRules"]
    found = {
        (operation, resource)
        for rule in rules
        for operation in rule["operations"]
        for resource in rule["resources"]
    }
    assert found == {
        ("CREATE", "pods"),
        ("UPDATE", "pods"),
        ("UPDATE", "pods/ephemeralcontainers"),
        ("UPDATE", "pods/resize"),
    }


def test_a_value_of_the_document_is_text_in_an_expression() -> None:
    """Quotes and backslashes end no text."""
    odd = 'a"] || true || x in ["\\'
    for pods in ({"sysctls": [odd]}, {"required": {"nodeSelector": {"pool": odd}}}):
        found = " ".join(each["expression"] for each in validations(complete("pods", pods)))
        assert r'"a\"] || true || x in [\"\\"' in found
