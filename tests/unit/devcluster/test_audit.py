"""Reading the audit log: rotated parts first, a line that is being written left out."""

from __future__ import annotations

import json
import os
from pathlib import Path

from devcluster.audit import Request, requests

EVENT = {
    "verb": "get",
    "user": {"username": "system:serviceaccount:cp:c-kubelet"},
    "userAgent": "k3k-kubelet",
    "requestURI": "/api/v1/namespaces/ns/pods/p/log?follow=true",
    "objectRef": {
        "resource": "pods",
        "subresource": "log",
        "namespace": "ns",
        "name": "p",
        "apiVersion": "v1",
    },
    "responseStatus": {"code": 200},
    "requestReceivedTimestamp": "2026-11-21T06:00:00.000000Z",
    "annotations": {"authorization.k8s.io/decision": "allow"},
}

_LEASES = "coordination.k8s.io"


def test_parts_in_order_and_only_whole_lines(tmp_path: Path) -> None:
    lease = {"resource": "leases", "apiGroup": _LEASES, "namespace": "ns", "name": "l"}
    old = EVENT | {"verb": "update", "objectRef": lease}
    bare = {
        key: value
        for key, value in EVENT.items()
        if key not in ("objectRef", "responseStatus", "annotations", "userAgent")
    }
    (tmp_path / "audit-2026-11-21T05-00-00.000.log").write_text(json.dumps(old) + "\n")
    (tmp_path / "audit.log").write_text(f'{json.dumps(EVENT)}\n{json.dumps(bare)}\n{{"verb": "ge')
    user, uri = "system:serviceaccount:cp:c-kubelet", "/api/v1/namespaces/ns/pods/p/log?follow=true"
    time = "2026-11-21T06:00:00.000000Z"
    first, second, third = (
        Request(user, "k3k-kubelet", "update", _LEASES, "leases", "", "ns", "l", uri, 200, "allow", time),
        Request(user, "k3k-kubelet", "get", "", "pods", "log", "ns", "p", uri, 200, "allow", time),
        Request(user, "", "get", "", "", "", "", "", uri, 0, "", time),
    )
    assert list(requests(tmp_path / "audit.log")) == [first, second, third]
    assert list(requests(tmp_path / "audit.log", ['"leases"', "nothing"])) == [first]


def test_a_log_that_is_rotated_while_it_is_read_is_read_once_and_whole(tmp_path: Path) -> None:
    log, oldest, next_one = (tmp_path / f"audit{part}.log" for part in ("", "-1", "-2"))
    oldest.write_text(json.dumps(EVENT | {"verb": "list"}) + "\n")
    log.write_text(json.dumps(EVENT) + "\n")
    found = requests(log)
    verbs = [next(found).verb]
    log.rename(next_one)
    log.write_text(json.dumps(EVENT | {"verb": "watch"}) + "\n")
    assert verbs + [each.verb for each in found] == ["list", "get"]
    # Between the two looks at the folder, for the current part and for the older ones.
    os.link(log, tmp_path / "audit-3.log")
    assert [each.verb for each in requests(log)] == ["list", "get", "watch"]
