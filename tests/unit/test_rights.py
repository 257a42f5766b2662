"""The comparison of the kubelets' rights with what an audit log says they did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devcluster.audit import Request
from tests.e2e.support.rights import AGENT, Findings, Right, check, compare, granted

USER = "system:serviceaccount:team-c-control-plane:c-kubelet"
OTHER = "system:serviceaccount:other-c-control-plane:c-kubelet"
LEASES = "leases.coordination.k8s.io"
RIGHTS = {
    Right("workloads", "get", "pods/log"): "by default",
    Right("control plane", "update", LEASES, own=True): "by default",
    Right("whole host", "list", "nodes"): "with every setting",
}
LOG = {"verb": "get", "resource": "pods", "subresource": "log", "namespace": "team", "name": "p"}
LEASE = {
    "verb": "update",
    "group": "coordination.k8s.io",
    "resource": "leases",
    "namespace": "team-c-control-plane",
    "name": "c-kubelet",
}
NODES = {"verb": "list", "resource": "nodes"}
ALL = (LOG, LEASE, NODES)


def asked(what: dict[str, str], **changed: str) -> Request:
    """A request of the kubelet that was allowed, but for what is changed."""
    parts: dict[str, Any] = dict.fromkeys(("group", "resource", "subresource", "namespace", "name"), "")
    parts |= {"user": USER, "agent": AGENT, "path": "/", "code": 200, "decision": "allow", "time": "2026"}
    return Request(**{**parts, **what, **changed})


def test_what_is_used_and_nothing_else_is_right() -> None:
    assert compare(RIGHTS, [asked(each) for each in ALL]) == Findings(kubelets=1)


@pytest.mark.parametrize(
    ("left_out", "unused"),
    [
        (LOG, "get pods/log in workloads, given by default"),
        (LEASE, f"update {LEASES} (its own) in control plane, given by default"),
        (NODES, "list nodes in whole host, given with every setting"),
    ],
    ids=["workloads", "own", "host"],
)
def test_a_right_that_nobody_used(left_out: dict[str, str], unused: str) -> None:
    others = [asked(each) for each in ALL if each is not left_out]
    assert compare(RIGHTS, others).unused == [unused]
    nobody = {"user": "system:admin"}, {"agent": "kubectl"}, {"time": "2025"}, {"decision": "forbid"}
    for changed in nobody:
        assert compare(RIGHTS, [*others, asked(left_out, **changed)], since="2026").unused == [unused]


def test_a_right_on_its_own_object_is_not_used_on_another() -> None:
    found = compare(RIGHTS, [asked(LOG), asked(NODES), asked(LEASE, name="other")])
    assert found.unused == [f"update {LEASES} (its own) in control plane, given by default"]
    assert found.beyond == [f"update {LEASES} in control plane by {USER}"]


def test_a_right_from_elsewhere() -> None:
    found = compare(RIGHTS, [asked(each) for each in (*ALL, LOG | {"subresource": "exec"})])
    assert found.beyond == [f"get pods/exec in workloads by {USER}"]


def test_an_apply_that_makes_an_object_creates_it() -> None:
    rights = {Right("workloads", verb, "services"): "by default" for verb in ("create", "patch")}
    applied = {"verb": "patch", "resource": "services", "namespace": "team", "name": "web"}
    assert compare(rights, [asked(applied)]).unused == ["create services in workloads, given by default"]
    made = Request(**{**vars(asked(applied)), "code": 201})
    assert compare(rights, [made]) == Findings(kubelets=1)


def test_a_request_that_lacks_a_right() -> None:
    secrets = {"verb": "list", "resource": "secrets", "namespace": "kube-system", "decision": "forbid"}
    found = compare(RIGHTS, [asked(each) for each in (*ALL, secrets, secrets)])
    assert found.refused == [f"list secrets in workloads, namespace kube-system, by {USER}, 2 times"]
    # What another kubelet may, this one may not.
    found = compare(RIGHTS, [*(asked(each, user=OTHER) for each in ALL), asked(NODES, decision="forbid")])
    assert found.refused == [f"list nodes in whole host, namespace (none), by {USER}, 1 times"]


@pytest.mark.parametrize(
    "other",
    [
        asked(LOG),
        asked({"verb": "delete", "resource": "namespaces", "name": "team", "user": "admin"}),
        asked({"verb": "delete", "resource": "namespaces", "name": "team-c-control-plane"}),
        asked({"verb": "deletecollection", "resource": "rolebindings", "namespace": "team"}),
        asked({"verb": "delete", "resource": "clusterroles", "name": "k3k-pulumi:team-c-control-plane:c"}),
    ],
    ids=["allowed at another time", "namespace", "control plane", "binding", "cluster role"],
)
def test_what_comes_a_moment_too_early_or_too_late_lacks_no_right(other: Request) -> None:
    assert compare(RIGHTS, [other, asked(LOG, decision="forbid")]).refused == []
    elsewhere = asked(LOG, namespace="elsewhere", user=OTHER, decision="forbid")
    assert len(compare(RIGHTS, [other, elsewhere]).refused) == 1


def test_a_deletion_may_be_answered_after_what_it_has_others_refused() -> None:
    """The log is in the order of the answers; what counts is when it was asked for."""
    refused = asked(LOG, decision="forbid", time="2026-01-01T00:00:02Z")
    ended = {"verb": "delete", "resource": "namespaces", "name": "team", "user": "admin"}
    assert compare(RIGHTS, [refused, asked(ended, time="2026-01-01T00:00:01Z")]).refused == []
    assert len(compare(RIGHTS, [refused, asked(ended, time="2026-01-01T00:00:03Z")]).refused) == 1


def test_what_no_kubelet_may_is_never_a_matter_of_time() -> None:
    """No 403 of admission, a quota's for example, is one for lack of a right."""
    assert compare(RIGHTS, [asked(LOG, code="403")]).refused == []


def test_the_rights_are_those_of_the_roles() -> None:
    found = granted()
    assert found[Right("workloads", "get", "pods/log")] == "by default"
    assert found[Right("control plane", "update", LEASES, own=True)] == "by default"
    assert found[Right("whole host", "watch", "nodes")] == "with every setting"
    assert found[Right("workloads", "create", "ingresses.networking.k8s.io")] == "with every setting"
    assert not any("*" in part for right in found for part in right[1:3])


def test_a_log_is_read_as_the_host_writes_it(tmp_path: Path) -> None:
    """A subset of the tests need not use every right; what is refused is wrong in any run."""
    event = {
        "verb": "get",
        "user": {"username": USER},
        "userAgent": AGENT,
        "objectRef": {"resource": "secrets", "namespace": "kube-system", "name": "s"},
        "requestURI": "/api/v1/namespaces/kube-system/secrets/s",
        "responseStatus": {"code": 403},
        "requestReceivedTimestamp": "2026-11-21T06:00:00.000000Z",
        "annotations": {"authorization.k8s.io/decision": "forbid"},
    }
    log = tmp_path / "audit.log"
    log.write_text(json.dumps(event, separators=(",", ":")) + "\n")
    refused = "the host refused for lack of a right: get secrets in workloads, namespace kube-system, "
    wrong, summary = check(log, "2026-11-21T05", whole=False)
    assert wrong == [f"{refused}by {USER}, 1 times"]
    assert summary == f"0 kubelets used 0 of {len(granted())} rights"
    assert len(check(log, "2026-11-21T05", whole=True)[0]) == 1 + len(granted())
    assert check(log, "2026-11-21T07", whole=False)[0] == []
