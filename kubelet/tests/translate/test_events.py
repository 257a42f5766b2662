"""Events, and names in texts."""

import time
from typing import Any

import pytest
from k3k_kubelet.translate import events
from k3k_kubelet.translate.rewrite import rewriter

from kubelet.tests.translate.builders import CLUSTER, LINKS, pod

WEB = "web-default-zetuizgzxmxha772"
CFG = "cfg-default-jgmwfpaqit6gxqcy"
TOKENS = "web-default-7uksoqce2rjfcem6"

VIRTUAL = pod({"volumes": [{"name": "v", "configMap": {"name": "cfg"}}]})

TEXTS = [
    ("Started container main", "Started container main"),
    (f"Successfully assigned tenants/{WEB} to node-1", "Successfully assigned default/web to node-1"),
    (
        f"Back-off restarting failed container main in pod {WEB}_tenants(host-uid)",
        "Back-off restarting failed container main in pod web_default(pod-uid)",
    ),
    (f'configmap "{CFG}" not found', 'configmap "cfg" not found'),
    (f'object "tenants"/"{CFG}" not registered', 'object "default"/"cfg" not registered'),
    (
        f'secret "{TOKENS}" not found in namespace "tenants"',
        'secret "web-token" not found in namespace "default"',
    ),
    ("other-default-aaaaaaaaaaaaaaaa", "other-default-aaaaaaaaaaaaaaaa"),
    (f'configmap "{LINKS["configMapRef"]["name"]}" not found', 'configmap ":service-links" not found'),
    (f"x{WEB} {WEB}x", f"x{WEB} {WEB}x"),
    ("tenants of this house", "tenants of this house"),
    ('namespaces "tenants" not found', 'namespaces "default" not found'),
    (
        "unable to create new content in namespace tenants because it is being terminated",
        "unable to create new content in namespace default because it is being terminated",
    ),
    ("in namespace: tenants-of-others", "in namespace: tenants-of-others"),
    ("looking up service account tenants/s3: no", "looking up service account default/s3: no"),
    ("mkdir kubepods/burstable/podhost-uid/7f: denied", "mkdir kubepods/burstable/podpod-uid/7f: denied"),
    ("kubepods-burstable-podhost_uid.slice", "kubepods-burstable-podpod_uid.slice"),
    ("\\1 \\g<0> " + WEB, "\\1 \\g<0> web"),
]


@pytest.mark.parametrize(("text", "rewritten"), TEXTS)
def test_a_text_of_the_host_with_virtual_names(text: str, rewritten: str) -> None:
    assert rewriter(VIRTUAL, "team", "tenants", "host-uid")(text) == rewritten


def test_a_thousand_references_are_no_work() -> None:
    """It is done in the event loop, for each event and status: seconds keep Leases from being renewed."""
    used = ["cfg", *(f"cfg-{number}" for number in range(1000))]
    env = [{"valueFrom": {"configMapKeyRef": {"name": name, "key": "k"}}} for name in used]
    many = pod({"containers": [{"name": "main", "env": env}]})
    began = time.process_time()
    assert rewriter(many, "team", "tenants", "host-uid")(f'"{CFG}" not found') == '"cfg" not found'
    assert time.process_time() - began < 0.5


def test_an_event_of_the_host_is_one_of_the_pod() -> None:
    host_event: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{WEB}.17", "namespace": "tenants", "uid": "event-uid", "labels": {"a": "b"}},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": WEB,
            "namespace": "tenants",
            "uid": "host-uid",
            "resourceVersion": "77",
            "fieldPath": "spec.containers{main}",
        },
        "reason": "BackOff",
        "message": f"Back-off in pod {WEB}_tenants(host-uid)",
        "source": {"component": "kubelet", "host": "node-1"},
        "firstTimestamp": "2026-11-21T05:00:00Z",
        "lastTimestamp": "2026-11-21T05:01:00Z",
        "count": 3,
        "type": "Warning",
        "eventTime": None,
        "reportingComponent": "kubelet",
        "reportingInstance": "node-1",
        "related": {"kind": "Secret", "name": "host-secret"},
    }
    assert events.to_virtual(host_event, VIRTUAL, CLUSTER) == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "web.2d237360189cb2c9", "namespace": "default"},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "web",
            "namespace": "default",
            "uid": "pod-uid",
            "fieldPath": "spec.containers{main}",
        },
        "reason": "BackOff",
        "message": "Back-off in pod web_default(pod-uid)",
        "source": {"component": "kubelet", "host": "node-1"},
        "firstTimestamp": "2026-11-21T05:00:00Z",
        "lastTimestamp": "2026-11-21T05:01:00Z",
        "count": 3,
        "type": "Warning",
        "reportingComponent": "kubelet",
        "reportingInstance": "node-1",
    }


def test_an_event_name_fits_and_is_the_same_for_a_repeat() -> None:
    long = pod(name="x" * 219 + "." + "y" * 33)
    event = {"metadata": {"uid": "1"}}
    assert events.name(event, long) == events.name({"metadata": {"uid": "1", "name": "z"}}, long)
    assert events.name(event, long) == "x" * 219 + "." + events.name(event, pod()).removeprefix("web.")
    assert events.name(event, pod()) != events.name({"metadata": {"uid": "2"}}, pod())


def test_an_event_about_a_claim_is_one_of_the_claim_inside() -> None:
    source = {"kind": "PersistentVolumeClaim", "name": "cfg"}
    claim = {"metadata": VIRTUAL["metadata"], "spec": {"dataSource": source}}
    host_event = {
        "metadata": {"uid": "event-uid"},
        "involvedObject": {"kind": "PersistentVolumeClaim", "name": WEB, "uid": "host-uid"},
        "message": f'provisioning volume pvc-host-uid for claim "tenants/{WEB}" from {CFG}, pvc-uid-of-cfg',
    }
    told = events.to_virtual(host_event, claim, CLUSTER, {"uid-of-cfg": "own-uid-of-cfg"})
    assert told["involvedObject"]["kind"] == "PersistentVolumeClaim"
    assert told["message"] == (
        'provisioning volume pvc-pod-uid for claim "default/web" from cfg, pvc-own-uid-of-cfg'
    )
