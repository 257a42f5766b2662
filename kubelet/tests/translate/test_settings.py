"""What the policy gives pods, by default and in any case."""

from typing import Any

import pytest
from k3k_kubelet.policy import Policy
from k3k_kubelet.translate import Refused

from kubelet.tests.translate.builders import allowing, host_spec, pod, to_host

Spec = dict[str, Any]


def in_(key: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": "In", "values": list(values)}


def term(*expressions: dict[str, Any]) -> dict[str, Any]:
    return {"matchExpressions": list(expressions)}


def prefers(one: dict[str, Any]) -> dict[str, Any]:
    return {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": one}]}


def requires(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}


ZONE_A, ZONE_B, SSD, GPU = (
    term(in_(*each)) for each in (("zone", "a"), ("zone", "b"), ("disk", "ssd"), ("gpu", "yes"))
)
POD_AFFINITY = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}

GIVEN: list[tuple[str, Spec, Spec, Spec, Spec]] = [
    # name, the pod's own, defaults, required, on the host
    ("node selector by default", {}, {"nodeSelector": {"a": "1"}}, {}, {"nodeSelector": {"a": "1"}}),
    (
        "node selector of its own",
        {"nodeSelector": {"b": "2"}},
        {"nodeSelector": {"a": "1"}},
        {},
        {"nodeSelector": {"b": "2"}},
    ),
    (
        "node selector required, with the default",
        {"nodeSelector": {}},
        {"nodeSelector": {"a": "1", "c": "x"}},
        {"nodeSelector": {"c": "3"}},
        {"nodeSelector": {"a": "1", "c": "3"}},
    ),
    (
        "node selector required, with its own",
        {"nodeSelector": {"b": "2", "c": "3"}},
        {"nodeSelector": {"a": "1"}},
        {"nodeSelector": {"c": "3", "d": ""}},
        {"nodeSelector": {"b": "2", "c": "3", "d": ""}},
    ),
    (
        "affinity by default, beside affinity to pods",
        {"affinity": POD_AFFINITY},
        {"affinity": {"nodeAffinity": prefers(SSD)}},
        {},
        {"affinity": {**POD_AFFINITY, "nodeAffinity": prefers(SSD)}},
    ),
    (
        "affinity of its own",
        {"affinity": {"nodeAffinity": requires(GPU)}},
        {"affinity": {"nodeAffinity": prefers(SSD)}},
        {},
        {"affinity": {"nodeAffinity": requires(GPU)}},
    ),
    (
        "affinity required",
        {},
        {},
        {"affinity": {"nodeAffinity": requires(ZONE_A, ZONE_B)}},
        {"affinity": {"nodeAffinity": requires(ZONE_A, ZONE_B)}},
    ),
    (
        "affinity required, with its own: both",
        {"affinity": {"nodeAffinity": {**requires(SSD, GPU, {}), **prefers(SSD)}}},
        {"affinity": {"nodeAffinity": prefers(ZONE_A)}},
        {"affinity": {"nodeAffinity": {**requires(ZONE_A, ZONE_B), **prefers(GPU)}}},
        {
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            term(in_("disk", "ssd"), in_("zone", "a")),
                            term(in_("disk", "ssd"), in_("zone", "b")),
                            term(in_("gpu", "yes"), in_("zone", "a")),
                            term(in_("gpu", "yes"), in_("zone", "b")),
                        ]
                    },
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 1, "preference": SSD},
                        {"weight": 1, "preference": GPU},
                    ],
                }
            }
        },
    ),
    (
        "affinity required, with a node of its own",
        {"nodeName": "n"},
        {},
        {"affinity": {"nodeAffinity": requires(ZONE_A)}},
        {
            "affinity": {
                "nodeAffinity": requires({**ZONE_A, "matchFields": [in_("metadata.name", "n")]}),
            }
        },
    ),
    (
        "affinity that matches no node, for ever",
        {"affinity": {"nodeAffinity": requires({})}},
        {},
        {"affinity": {"nodeAffinity": requires(ZONE_A)}},
        {"affinity": {"nodeAffinity": requires({})}},
    ),
    ("priority by default", {}, {"priorityClass": "low"}, {}, {"priorityClassName": "low"}),
    (
        "priority of its own without effect: the default's",
        {"priorityClassName": "high"},
        {"priorityClass": "low"},
        {},
        {"priorityClassName": "low"},
    ),
    (
        "priority by default, asked for",
        {"priorityClassName": "low"},
        {"priorityClass": "low"},
        {},
        {"priorityClassName": "low"},
    ),
    (
        "priority required",
        {},
        {"priorityClass": "low"},
        {"priorityClass": "mid"},
        {"priorityClassName": "mid"},
    ),
    (
        "priority required, asked for",
        {"priorityClassName": "mid"},
        {},
        {"priorityClass": "mid"},
        {"priorityClassName": "mid"},
    ),
    ("runtime by default", {}, {"runtimeClass": "kata"}, {}, {"runtimeClassName": "kata"}),
    (
        "runtime required",
        {},
        {"runtimeClass": "kata"},
        {"runtimeClass": "runsc"},
        {"runtimeClassName": "runsc"},
    ),
    (
        "runtime required, asked for",
        {"runtimeClassName": "runsc"},
        {},
        {"runtimeClass": "runsc"},
        {"runtimeClassName": "runsc"},
    ),
    ("user namespace by default", {}, {"hostUsers": False}, {}, {"hostUsers": False}),
    ("user namespace of its own", {"hostUsers": True}, {"hostUsers": False}, {}, {"hostUsers": True}),
    ("user namespace required", {}, {"hostUsers": True}, {"hostUsers": False}, {"hostUsers": False}),
    (
        "user namespace required, asked for",
        {"hostUsers": False},
        {},
        {"hostUsers": False},
        {"hostUsers": False},
    ),
    ("the node's user namespace required", {}, {}, {"hostUsers": True}, {"hostUsers": True}),
]


@pytest.mark.parametrize(
    ("own", "defaults", "required", "on_host"), [case[1:] for case in GIVEN], ids=[case[0] for case in GIVEN]
)
def test_what_a_pod_gets(own: Spec, defaults: Spec, required: Spec, on_host: Spec) -> None:
    found = host_spec(pod(own), allowing(defaults=defaults, required=required))
    assert found == {**host_spec(pod()), **on_host}


def test_a_user_namespace_by_default_is_not_for_pods_with_the_nodes_network() -> None:
    chosen = allowing(defaults={"hostUsers": False}, hostNetwork=True)
    assert "hostUsers" not in host_spec(pod({"hostNetwork": True}), chosen)


def test_what_is_allowed_anyway_may_differ_from_a_default() -> None:
    chosen = allowing(
        defaults={"priorityClass": "low", "runtimeClass": "kata"},
        priorityClasses=["high"],
        runtimeClasses=["runsc"],
    )
    found = host_spec(pod({"priorityClassName": "high", "runtimeClassName": "runsc"}), chosen)
    assert (found["priorityClassName"], found["runtimeClassName"]) == ("high", "runsc")


def security(own: Spec, of_pod: Spec, policy: Policy) -> Any:
    """The container's security context on the host."""
    spec = {"securityContext": of_pod} if of_pod else {}
    found = host_spec(pod(spec, {"securityContext": own} if own else {}), policy)
    return found["containers"][0].get("securityContext", {})


BOTH: list[tuple[str, Spec, Spec, Spec, Spec]] = [
    # name, the container's, the pod's, the policy's, the container's on the host
    ("none", {}, {}, {"runAsNonRoot": True, "runAsUser": 7}, {"runAsNonRoot": True, "runAsUser": 7}),
    (
        "said already",
        {"runAsUser": 7, "runAsGroup": 8},
        {"runAsUser": 7},
        {"runAsUser": 7, "readOnlyRootFilesystem": True},
        {"runAsUser": 7, "runAsGroup": 8, "readOnlyRootFilesystem": True},
    ),
    ("false is a value", {}, {}, {"allowPrivilegeEscalation": False}, {"allowPrivilegeEscalation": False}),
    ("zero is a value", {}, {}, {"runAsGroup": 0}, {"runAsGroup": 0}),
    ("capabilities", {}, {}, {"capabilities": {"drop": ["ALL"]}}, {"capabilities": {"drop": ["ALL"]}}),
    (
        "capabilities, with what is added",
        {"capabilities": {"add": ["CHOWN"]}},
        {},
        {"capabilities": {"drop": ["ALL"]}},
        {"capabilities": {"add": ["CHOWN"], "drop": ["ALL"]}},
    ),
]


@pytest.mark.parametrize("part", ["defaults", "required"])
@pytest.mark.parametrize(
    ("own", "of_pod", "given", "on_host"), [case[1:] for case in BOTH], ids=[case[0] for case in BOTH]
)
def test_the_security_context_of_a_container(
    part: str, own: Spec, of_pod: Spec, given: Spec, on_host: Spec
) -> None:
    assert security(own, of_pod, allowing(**{part: {"securityContext": given}})) == on_host


DEFAULTS: list[tuple[str, Spec, Spec, Spec, Spec]] = [
    ("its own", {"runAsUser": 0}, {}, {"runAsUser": 7}, {"runAsUser": 0}),
    ("the pod's", {}, {"runAsUser": 0}, {"runAsUser": 7}, {}),
    ("root is root", {"runAsUser": 0}, {}, {"runAsNonRoot": True}, {"runAsUser": 0}),
    ("root is root, by the pod", {}, {"runAsUser": 0}, {"runAsNonRoot": True}, {}),
    (
        "privileged",
        {"privileged": True},
        {},
        {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True},
        {"privileged": True, "readOnlyRootFilesystem": True},
    ),
    (
        "capabilities of its own",
        {"capabilities": {"drop": ["CHOWN"]}},
        {},
        {"capabilities": {"drop": ["ALL"]}},
        {"capabilities": {"drop": ["CHOWN"]}},
    ),
    (
        "a capability that it adds",
        {"capabilities": {"add": ["CHOWN"]}},
        {},
        {"capabilities": {"drop": ["CHOWN", "KILL"]}},
        {"capabilities": {"add": ["CHOWN"], "drop": ["KILL"]}},
    ),
    (
        "a capability with which it gains privileges",
        {"capabilities": {"add": ["SYS_ADMIN"]}},
        {},
        {"allowPrivilegeEscalation": False},
        {"capabilities": {"add": ["SYS_ADMIN"]}},
    ),
]


@pytest.mark.parametrize(
    ("own", "of_pod", "defaults", "on_host"),
    [case[1:] for case in DEFAULTS],
    ids=[case[0] for case in DEFAULTS],
)
def test_what_a_tenant_says_goes_before_a_default(
    own: Spec, of_pod: Spec, defaults: Spec, on_host: Spec
) -> None:
    chosen = allowing(
        defaults={"securityContext": defaults}, privileged=True, capabilities=["CHOWN", "SYS_ADMIN"]
    )
    assert security(own, of_pod, chosen) == on_host


def test_what_is_required_is_added_to_the_capabilities_that_are_dropped() -> None:
    chosen = allowing(
        defaults={"securityContext": {"capabilities": {"drop": ["KILL"]}}},
        required={"securityContext": {"capabilities": {"drop": ["CHOWN", "FOWNER"]}}},
    )
    own = {"capabilities": {"drop": ["CHOWN", "SETUID"]}}
    assert security(own, {}, chosen)["capabilities"]["drop"] == ["CHOWN", "SETUID", "FOWNER"]
    assert security({}, {}, chosen)["capabilities"]["drop"] == ["KILL", "CHOWN", "FOWNER"]


def test_every_container_gets_it() -> None:
    spec = {"initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]}
    chosen = allowing(
        defaults={"securityContext": {"readOnlyRootFilesystem": True}},
        required={"securityContext": {"runAsNonRoot": True}},
    )
    found = host_spec(pod(spec), chosen)
    contexts = [each["securityContext"] for each in (*found["initContainers"], *found["containers"])]
    assert contexts == [{"readOnlyRootFilesystem": True, "runAsNonRoot": True}] * 3


REFUSED: list[tuple[Spec, Spec, Spec, str]] = [
    # the pod's, its container's, required, the message
    (
        {"nodeSelector": {"pool": "admins"}},
        {},
        {"nodeSelector": {"pool": "tenants"}},
        "spec.nodeSelector['pool']: \"admins\" contradicts the cluster's policy; "
        "pods.required.nodeSelector['pool'] of the cluster's policy is \"tenants\": leave it out or say the "
        "same",
    ),
    (
        {"priorityClassName": "high"},
        {},
        {"priorityClass": "low"},
        'spec.priorityClassName: "high" contradicts the cluster\'s policy; pods.required.priorityClass of '
        'the cluster\'s policy is "low": leave it out or say the same',
    ),
    ({"runtimeClassName": "kata"}, {}, {"runtimeClass": "runsc"}, "spec.runtimeClassName: "),
    (
        {"hostUsers": True},
        {},
        {"hostUsers": False},
        "spec.hostUsers: true contradicts the cluster's policy; pods.required.hostUsers of the cluster's "
        "policy is false: leave it out or say the same",
    ),
    ({"hostUsers": False}, {}, {"hostUsers": True}, "spec.hostUsers: false contradicts"),
    ({"hostNetwork": True}, {}, {"hostUsers": False}, "spec.hostNetwork: true is not possible in a user"),
    (
        {"securityContext": {"runAsUser": 0}},
        {},
        {"securityContext": {"runAsUser": 7}},
        "spec.securityContext.runAsUser: 0 contradicts the cluster's policy; "
        "pods.required.securityContext.runAsUser of the cluster's policy is 7: leave it out or say the same",
    ),
    (
        {},
        {"securityContext": {"runAsNonRoot": False}},
        {"securityContext": {"runAsNonRoot": True}},
        "spec.containers[0].securityContext.runAsNonRoot: false contradicts",
    ),
    (
        {},
        {"securityContext": {"readOnlyRootFilesystem": False}},
        {"securityContext": {"readOnlyRootFilesystem": True}},
        "spec.containers[0].securityContext.readOnlyRootFilesystem: false contradicts",
    ),
    (
        {},
        {"securityContext": {"privileged": True}},
        {"securityContext": {"allowPrivilegeEscalation": False}},
        "spec.containers[0].securityContext: privileged containers and those that add SYS_ADMIN",
    ),
    (
        {},
        {"securityContext": {"capabilities": {"add": ["CHOWN"]}}},
        {"securityContext": {"capabilities": {"drop": ["CHOWN"]}}},
        "spec.containers[0].securityContext.capabilities.add[0]: 'CHOWN' is not allowed in this cluster; "
        'pods.required.securityContext.capabilities.drop of the cluster\'s policy is ["CHOWN"]: ',
    ),
]


@pytest.mark.parametrize(
    ("own", "container", "required", "message"), REFUSED, ids=[each[3][:40] for each in REFUSED]
)
def test_what_contradicts_the_policy_is_refused(
    own: Spec, container: Spec, required: Spec, message: str
) -> None:
    chosen = allowing(
        required=required,
        hostNetwork=True,
        privileged=True,
        priorityClasses=["high"],
        runtimeClasses=["kata"],
    )
    with pytest.raises(Refused) as caught:
        to_host(pod(own, container), chosen)
    assert str(caught.value).startswith(message)


def test_a_policy_that_gives_nothing_changes_nothing() -> None:
    assert host_spec(pod(), allowing(defaults={}, required={})) == host_spec(pod())
