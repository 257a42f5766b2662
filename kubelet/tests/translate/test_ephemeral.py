"""One ephemeral container on its way to a pod that runs already."""

import copy
from typing import Any

import pytest
from k3k_kubelet.policy import Policy
from k3k_kubelet.translate import HostContainer, ObjectRef, Refused, ephemeral
from k3k_kubelet.translate import update as updates

from kubelet.tests.translate.builders import BASELINE, CLUSTER, LINKS, allowing, pod

CFG = "cfg-default-jgmwfpaqit6gxqcy"


def debugged(*containers: dict[str, Any], spec: dict[str, Any] | None = None) -> dict[str, Any]:
    """A pod with ephemeral containers."""
    return pod({**(spec or {}), "ephemeralContainers": [{"image": "busybox", **each} for each in containers]})


def to_host(virtual: dict[str, Any], name: str = "debug", policy: Policy = BASELINE) -> HostContainer:
    """Translate, and see that the input stays as it was."""
    before = copy.deepcopy(virtual)
    made = ephemeral.to_host(virtual, name, CLUSTER, policy)
    assert virtual == before
    return made


def test_the_container_that_is_named() -> None:
    virtual = debugged(
        {"name": "first", "command": ["a"]},
        {"name": "debug", "command": ["b"], "targetContainerName": "main", "stdin": True, "tty": True},
    )
    made = to_host(virtual)
    assert made.manifest == {**virtual["spec"]["ephemeralContainers"][1], "envFrom": [LINKS]}
    assert [each.name for each in made.config_maps] == [":service-links"]
    assert (made.secrets, made.dropped) == (frozenset(), ())


def test_references_are_those_of_the_copies() -> None:
    sources = [{"configMapRef": {"name": "cfg"}}, {"secretRef": {"name": "s", "optional": True}}]
    made = to_host(debugged({"name": "debug", "envFrom": sources}))
    assert made.manifest["envFrom"][:2] == [LINKS, {"configMapRef": {"name": CFG}}]
    assert ObjectRef("default", "cfg", CFG, optional=False) in made.config_maps
    assert [(each.name, each.optional) for each in made.secrets] == [("s", True)]


def test_the_downward_api_gives_virtual_values() -> None:
    reads = {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['note']"}}}
    virtual = debugged({"name": "debug", "env": [reads]})
    virtual["metadata"]["annotations"] = {"note": "one"}
    made = to_host(virtual)
    path = "metadata.annotations['annotations.k3k-pulumi.io/note']"
    assert made.manifest["env"][-1] == {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}}
    host_pod = {"metadata": {"uid": "host-uid", "annotations": {}}, "spec": {}}
    change = updates.changes(virtual, host_pod, CLUSTER, BASELINE).patch
    assert change is not None
    assert change["metadata"]["annotations"]["annotations.k3k-pulumi.io/note"] == "one"


POLICY = {
    "hostPaths": [{"path": "/var/log"}],
    "imageRegistries": ["docker.io/library/"],
    "required": {"securityContext": {"runAsNonRoot": True}},
}
LOGS = {"volumes": [{"name": "logs", "hostPath": {"path": "/var/log"}}]}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"securityContext": {"privileged": True}}, "securityContext.privileged"),
    ({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}, "securityContext.capabilities.add[0]"),
    ({"securityContext": {"runAsNonRoot": False}}, "securityContext.runAsNonRoot"),
    ({"image": "evil.example/debug"}, "image"),
    ({"newField": 1}, "newField"),
    ({"volumeMounts": [{"name": "logs", "mountPath": "/x"}]}, "volumeMounts[0].readOnly"),
    ({"envFrom": [{"secretRef": {"name": "../x"}}]}, "envFrom[0].secretRef.name"),
]


@pytest.mark.parametrize(("container", "path"), REFUSED, ids=[case[1] for case in REFUSED])
def test_a_refusal_names_the_container_by_its_place(container: dict[str, Any], path: str) -> None:
    virtual = debugged({"name": "first"}, {"name": "debug", **container}, spec=LOGS)
    with pytest.raises(Refused) as caught:
        to_host(virtual, policy=allowing(**POLICY))
    assert caught.value.path == f"spec.ephemeralContainers[1].{path}"
    assert to_host(virtual, "first", allowing(**POLICY)).manifest["name"] == "first"


def test_it_gets_what_the_policy_gives_every_container() -> None:
    policy = allowing(
        defaults={"securityContext": {"readOnlyRootFilesystem": True}},
        required={"securityContext": {"runAsUser": 7}},
    )
    made = to_host(debugged({"name": "debug"}, spec={"securityContext": {"runAsUser": 0}}), policy=policy)
    assert made.manifest["securityContext"] == {"readOnlyRootFilesystem": True, "runAsUser": 7}
