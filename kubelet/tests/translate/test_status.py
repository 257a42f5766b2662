"""A pod's status, up and down."""

import copy
from typing import Any

import pytest
from k3k_kubelet.translate import status
from k3k_kubelet.translate import update as updates

from kubelet.tests.translate.builders import on_host, pod

NOW = "2026-11-21T05:00:00Z"
LATER = "2026-11-21T05:01:00Z"


def condition(kind: str, value: str = "True", **more: Any) -> dict[str, Any]:
    return {"type": kind, "status": value, "lastProbeTime": None, "lastTransitionTime": NOW, **more}


def known(kind: str, value: str = "True", **more: Any) -> dict[str, Any]:
    return {"type": kind, "status": value, "lastTransitionTime": NOW, **more}


def container(name: str = "main", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "image": "nginx:1",
        "imageID": "sha256:1",
        "containerID": "containerd://1",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": NOW}},
        "lastState": {},
        **more,
    }


HOST_STATUS = {
    "phase": "Running",
    "qosClass": "Burstable",
    "observedGeneration": 4,
    "nominatedNodeName": "node-9",
    "startTime": NOW,
    "hostIP": "192.168.0.1",
    "hostIPs": [{"ip": "192.168.0.1"}],
    "podIP": "10.244.0.7",
    "podIPs": [{"ip": "10.244.0.7"}],
    "conditions": [
        condition("Ready", observedGeneration=4),
        condition("ContainersReady"),
        condition("PodScheduled"),
        condition("mesh.example/ready"),
    ],
    "containerStatuses": [container(), container("istio-proxy")],
    "initContainerStatuses": [container("istio-init")],
    "resourceClaimStatuses": [{"name": "x", "resourceClaimName": "host-claim"}],
}


def running(**host_status: Any) -> dict[str, Any]:
    """A host pod of `pod()`."""
    return {**on_host(pod()), "status": {**copy.deepcopy(HOST_STATUS), **host_status}}


def given(virtual: dict[str, Any], *ephemeral: str, **host_status: Any) -> dict[str, Any]:
    """A host pod of `virtual` that was given these ephemeral containers."""
    host = {**on_host(virtual), "status": {**copy.deepcopy(HOST_STATUS), **host_status}}
    for name in ephemeral:
        change = updates.note(host, updates.joined(host, name))
        host["metadata"]["annotations"] |= change["metadata"]["annotations"]
    return host


def to_virtual(host: dict[str, Any], virtual: dict[str, Any]) -> dict[str, Any] | None:
    before = copy.deepcopy((host, virtual))
    made = status.to_virtual(host, virtual)
    assert (host, virtual) == before
    return made


RUNNING = {
    "phase": "Running",
    "qosClass": "BestEffort",
    "startTime": NOW,
    "hostIP": "192.168.0.1",
    "hostIPs": [{"ip": "192.168.0.1"}],
    "podIP": "10.244.0.7",
    "podIPs": [{"ip": "10.244.0.7"}],
    "conditions": [known("Ready"), known("ContainersReady"), known("PodScheduled")],
    "containerStatuses": [container()],
}


def test_a_running_pod() -> None:
    assert to_virtual(running(), pod()) == RUNNING


def test_a_status_that_is_there_already_is_none() -> None:
    assert to_virtual(running(), {**pod(), "status": RUNNING}) is None


def test_nulls_and_the_order_of_conditions_are_no_change() -> None:
    stored = {
        **RUNNING,
        "message": "",
        "conditions": [condition("ContainersReady"), condition("PodScheduled"), condition("Ready")],
    }
    assert to_virtual(running(), {**pod(), "status": stored}) is None


def test_what_the_virtual_cluster_knows_itself_stays() -> None:
    own = {
        "observedGeneration": 2,
        "qosClass": "Guaranteed",
        "nominatedNodeName": "node-1",
        "resourceClaimStatuses": [{"name": "a", "resourceClaimName": "b"}],
        "conditions": [known("example.com/gate"), known("Ready", "False")],
        "message": "old",
        "reason": "Old",
    }
    assert to_virtual(running(), {**pod(), "status": own}) == {
        **RUNNING,
        "observedGeneration": 2,
        "qosClass": "Guaranteed",
        "nominatedNodeName": "node-1",
        "resourceClaimStatuses": [{"name": "a", "resourceClaimName": "b"}],
        "conditions": [*RUNNING["conditions"], known("example.com/gate")],
    }


CONDITIONS: list[tuple[str, list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]] = [
    (
        "one that the host no longer has goes",
        [known("PodResizeInProgress"), known("Ready")],
        [condition("Ready")],
        [known("Ready")],
    ),
    (
        "a disruption of the virtual cluster stays",
        [known("DisruptionTarget", reason="EvictionByEvictionAPI")],
        [condition("Ready")],
        [known("Ready"), known("DisruptionTarget", reason="EvictionByEvictionAPI")],
    ),
    (
        "a disruption of the host wins",
        [known("DisruptionTarget", reason="EvictionByEvictionAPI")],
        [condition("DisruptionTarget", reason="PreemptionByScheduler")],
        [known("DisruptionTarget", reason="PreemptionByScheduler")],
    ),
    (
        "unschedulable, as the host says it",
        [],
        [condition("PodScheduled", "False", reason="Unschedulable", message="0/2 nodes are available")],
        [known("PodScheduled", "False", reason="Unschedulable", message="0/2 nodes are available")],
    ),
    (
        "bound a moment later than its copy, it stays so since then: that is no change to write",
        [known("PodScheduled", lastTransitionTime=LATER)],
        [condition("PodScheduled"), condition("Ready")],
        [known("PodScheduled", lastTransitionTime=LATER), known("Ready")],
    ),
    (
        "bound at last",
        [known("PodScheduled", "False", reason="Unschedulable", message="0/2 nodes are available")],
        [condition("PodScheduled", lastTransitionTime=LATER)],
        [known("PodScheduled", lastTransitionTime=LATER)],
    ),
]


@pytest.mark.parametrize(
    ("virtual", "host", "merged"), [case[1:] for case in CONDITIONS], ids=[case[0] for case in CONDITIONS]
)
def test_conditions_are_merged(
    virtual: list[dict[str, Any]], host: list[dict[str, Any]], merged: list[dict[str, Any]]
) -> None:
    found = to_virtual(running(conditions=host), {**pod(), "status": {"conditions": virtual}})
    assert found is not None
    assert found["conditions"] == merged


def test_only_statuses_of_the_pods_own_containers_and_volumes() -> None:
    virtual = pod(
        {
            "initContainers": [{"name": "init"}],
            "ephemeralContainers": [{"name": "debug"}],
            "volumes": [{"name": "data", "emptyDir": {}}],
        }
    )
    mounts = [{"name": "data", "mountPath": "/d"}, {"name": "istio-token", "mountPath": "/t"}]
    found = to_virtual(
        given(
            virtual,
            "debug",
            containerStatuses=[container(volumeMounts=mounts, unknown="x"), container("istio-proxy")],
            initContainerStatuses=[container("istio-init"), container("init")],
            ephemeralContainerStatuses=[container("debug"), container("admin-debug")],
        ),
        virtual,
    )
    assert found is not None
    assert found["containerStatuses"] == [container(volumeMounts=mounts[:1])]
    assert found["initContainerStatuses"] == [container("init")]
    assert found["ephemeralContainerStatuses"] == [container("debug")]


def test_messages_have_virtual_names() -> None:
    virtual = pod(container={"envFrom": [{"configMapRef": {"name": "cfg"}}]})
    waiting = {
        "reason": "CreateContainerConfigError",
        "message": 'configmap "cfg-default-jgmwfpaqit6gxqcy" not found',
    }
    found = to_virtual(
        running(
            message="pod tenants/web-default-zetuizgzxmxha772 was evicted",
            reason="Evicted",
            conditions=[condition("Ready", "False", message="see web-default-zetuizgzxmxha772")],
            containerStatuses=[container(state={"waiting": waiting})],
        ),
        virtual,
    )
    assert found is not None
    assert found["message"] == "pod default/web was evicted"
    assert found["conditions"][0]["message"] == "see web"
    assert found["containerStatuses"][0]["state"] == {
        "waiting": {"reason": "CreateContainerConfigError", "message": 'configmap "cfg" not found'}
    }


def test_the_patch_names_only_what_changes_and_is_tied_to_the_pod() -> None:
    virtual = {
        **pod(),
        "status": {
            **RUNNING,
            "reason": "Old",
            "resources": {"limits": {"cpu": "1", "memory": "1Mi"}},
            "conditions": [
                condition("Ready", "False", reason="R"),
                condition("ContainersReady"),
                known("PodResizePending"),
            ],
        },
    }
    new = {
        **RUNNING,
        "podIP": "10.244.0.8",
        "podIPs": [{"ip": "10.244.0.8"}],
        "resources": {"limits": {"cpu": "2"}},
        "conditions": [known("Ready"), known("ContainersReady"), known("PodScheduled")],
    }
    assert status.patch(virtual, new) == {
        "metadata": {"uid": "pod-uid"},
        "status": {
            "reason": None,
            "podIP": "10.244.0.8",
            "podIPs": [{"$patch": "replace"}, {"ip": "10.244.0.8"}],
            "resources": {"limits": {"cpu": "2", "memory": None}},
            "conditions": [
                {"reason": None, **known("Ready")},
                known("PodScheduled"),
                {"$patch": "delete", "type": "PodResizePending"},
            ],
        },
    }


GATED = {"readinessGates": [{"conditionType": "example.com/a"}, {"conditionType": "example.com/b"}]}


def gates(virtual: list[dict[str, Any]], host: list[dict[str, Any]], spec: dict[str, Any] = GATED) -> Any:
    host_pod = {**on_host(pod(spec)), "status": {"conditions": host}}
    return status.gates_to_host({**pod(spec), "status": {"conditions": virtual}}, host_pod)


@pytest.mark.parametrize(
    ("virtual", "host", "conditions"),
    [
        ([known("example.com/a")], [], [known("example.com/a")]),
        (
            [known("example.com/a", "False", reason="R", message="m", observedGeneration=3)],
            [known("example.com/a")],
            [known("example.com/a", "False", reason="R", message="m")],
        ),
        ([], [condition("example.com/b")], [{"$patch": "delete", "type": "example.com/b"}]),
    ],
)
def test_conditions_of_readiness_gates_go_down(
    virtual: list[dict[str, Any]], host: list[dict[str, Any]], conditions: list[dict[str, Any]]
) -> None:
    assert gates(virtual, host) == {"metadata": {"uid": "host-uid"}, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("virtual", "host"),
    [
        ([], []),
        ([condition("example.com/a")], [known("example.com/a")]),
        ([known("example.com/other")], []),
        ([], [condition("mesh.example/ready")]),
    ],
)
def test_no_patch_where_the_host_knows_the_gates(
    virtual: list[dict[str, Any]], host: list[dict[str, Any]]
) -> None:
    assert gates(virtual, host) is None


@pytest.mark.parametrize("kind", sorted({*status.HOST_CONDITIONS, "DisruptionTarget"}))
def test_a_gate_that_is_called_like_a_condition_of_the_host_sets_nothing_there(kind: str) -> None:
    assert gates([known(kind)], [], {"readinessGates": [{"conditionType": kind}]}) is None


def test_an_ephemeral_container_that_the_host_does_not_get_waits_and_says_why() -> None:
    virtual = pod({"ephemeralContainers": [{"name": "good", "image": "a"}, {"name": "bad", "image": "b"}]})
    outcome = status.Outcome(complete=True, refused={"bad": "spec.ephemeralContainers[1]: no"})
    of_the_hosts_administrator = container("bad", containerID="containerd://2")
    host = given(virtual, "good", ephemeralContainerStatuses=[container("good"), of_the_hosts_administrator])
    found = status.to_virtual(host, virtual, outcome)
    assert found is not None
    good, bad = found["ephemeralContainerStatuses"]
    assert good == container("good")
    assert (bad["name"], bad["image"]) == ("bad", "b")
    reason = {"reason": "EphemeralContainerRefused", "message": "spec.ephemeralContainers[1]: no"}
    assert bad["state"] == {"waiting": reason}
    assert status.to_virtual(host, {**virtual, "status": found}, outcome) is None


def test_a_resize_that_the_host_does_not_take_is_pending_since_it_was_first_so() -> None:
    pending = condition("PodResizePending", reason="Deferred", message="exceeded quota")
    pending = {key: value for key, value in pending.items() if value is not None}
    of_host = condition("PodResizePending", reason="Infeasible", message="an earlier one")
    host = running(conditions=[condition("Ready"), of_host])
    found = status.to_virtual(host, pod(), status.Outcome(complete=True, resize=pending))
    assert found is not None
    assert found["conditions"] == [known("Ready"), pending]
    later = status.Outcome(complete=True, resize={**pending, "lastTransitionTime": LATER})
    assert status.to_virtual(host, {**pod(), "status": found}, later) is None
    # Another reason is another state.
    other = status.Outcome(
        complete=True, resize={**pending, "reason": "Infeasible", "lastTransitionTime": LATER}
    )
    changed = status.to_virtual(host, {**pod(), "status": found}, other)
    assert changed is not None
    assert changed["conditions"][1]["lastTransitionTime"] == LATER
    # The host takes it: its own word counts again.
    taken = status.to_virtual(running(), {**pod(), "status": found}, status.Outcome(complete=True))
    assert taken is not None
    assert "PodResizePending" not in {each["type"] for each in taken["conditions"]}


@pytest.mark.parametrize("kind", sorted({*status.HOST_CONDITIONS, "DisruptionTarget"}))
def test_what_the_hosts_kubelet_and_scheduler_decide_is_theirs_inside_too(kind: str) -> None:
    inside = {**pod(), "status": {"conditions": [known(kind, "False")]}}
    found = to_virtual(running(conditions=[condition(kind)]), inside)
    assert found is not None
    assert found["conditions"] == [known(kind)]


@pytest.mark.parametrize("gate", ["True", "False"])
def test_a_readiness_gate_inside_is_not_the_hosts_to_set(gate: str) -> None:
    """The host has the condition because we wrote it there; what holds is what was set inside."""
    inside = {**pod(GATED), "status": {"conditions": [known("example.com/a", gate)]}}
    host = running(conditions=[condition("Ready"), condition("example.com/a", "Unknown")])
    found = to_virtual(host, inside)
    assert found is not None
    assert found["conditions"] == [known("Ready"), known("example.com/a", gate)]


CAUSES: list[tuple[list[str], dict[str, Any] | None]] = [
    (["status.containerStatuses[0].state"], {"phase": "Running", "containerStatuses": ["old"]}),
    (["status.podIPs[1]", "status.containerStatuses"], {"phase": "Running", "containerStatuses": ["old"]}),
    (["metadata.uid"], None),
    (["status"], None),
    ([""], None),
    ([], None),
]


@pytest.mark.parametrize(("fields", "left"), CAUSES)
def test_only_what_an_api_server_refuses_is_left_out(fields: list[str], left: dict[str, Any] | None) -> None:
    new: dict[str, Any] = {"phase": "Running", "containerStatuses": ["new"]}
    causes = [{"field": field} for field in fields]
    current = {"phase": "Pending", "containerStatuses": ["old"]}
    assert status.without(new, current, causes) == left


def test_a_condition_that_a_tenant_wrote_without_its_time_is_no_trouble() -> None:
    wanted = known("PodResizePending", reason="Deferred")
    current = {"type": "PodResizePending", "status": "True", "reason": "Deferred", "lastTransitionTime": None}
    inside = {**pod(), "status": {"conditions": [current]}}
    found = status.to_virtual(running(conditions=[]), inside, status.Outcome(resize=wanted))
    assert found is not None
    assert found["conditions"] == [wanted]
