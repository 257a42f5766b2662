"""A whole pod, its metadata, and the fields of its spec that concern no container."""

import json
import time
import timeit
from collections.abc import Callable
from typing import Any

import pytest
from k3k_kubelet.translate import ObjectRef, Refused, TokenProjection

from kubelet.tests.translate.builders import (
    LINKS,
    OWNER,
    host_spec,
    pod,
    to_host,
)

ADMITTED = pod(
    # As the API server has the pod of a Deployment, its defaults and its token volume included.
    labels={"app": "web", "pod-template-hash": "7d9c8b6f5d"},
    annotations={"kubectl.kubernetes.io/restartedAt": "2026-11-21T05:00:00Z"},
    ownerReferences=[{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs"}],
    finalizers=["example.com/keep"],
    generateName="web-",
)
ADMITTED["spec"] = {
    "containers": [
        {
            "name": "main",
            "image": "nginx:1",
            "imagePullPolicy": "IfNotPresent",
            "ports": [{"containerPort": 80, "protocol": "TCP"}],
            "resources": {"requests": {"cpu": "10m"}},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "volumeMounts": [
                {
                    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                    "name": "kube-api-access-x",
                    "readOnly": True,
                }
            ],
        }
    ],
    "dnsPolicy": "ClusterFirst",
    "enableServiceLinks": True,
    "nodeName": "",
    "preemptionPolicy": "PreemptLowerPriority",
    "priority": 0,
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "serviceAccount": "builder",
    "serviceAccountName": "builder",
    "terminationGracePeriodSeconds": 30,
    "tolerations": [
        {
            "effect": "NoExecute",
            "key": "node.kubernetes.io/not-ready",
            "operator": "Exists",
            "tolerationSeconds": 300,
        }
    ],
    "volumes": [
        {
            "name": "kube-api-access-x",
            "projected": {
                "defaultMode": 420,
                "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {
                        "configMap": {
                            "items": [{"key": "ca.crt", "path": "ca.crt"}],
                            "name": "kube-root-ca.crt",
                        }
                    },
                    {
                        "downwardAPI": {
                            "items": [
                                {
                                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                                    "path": "namespace",
                                }
                            ]
                        }
                    },
                ],
            },
        }
    ],
}

ON_HOST = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "web-default-zetuizgzxmxha772",
        "namespace": "tenants",
        "labels": {
            "k3k-pulumi.io/cluster": "team",
            "k3k-pulumi.io/namespace": "default",
            "k3k-pulumi.io/component": "workload",
            "labels.k3k-pulumi.io/app": "web",
            "labels.k3k-pulumi.io/pod-template-hash": "7d9c8b6f5d",
        },
        "annotations": {
            "k3k-pulumi.io/cluster": "team",
            "k3k-pulumi.io/namespace": "default",
            "k3k-pulumi.io/name": "web",
            "k3k-pulumi.io/uid": "pod-uid",
            "k3k-pulumi.io/service-account": "builder",
            "k3k-pulumi.io/applied": '{"images":{"main":"nginx:1"},"resources":{"main":{"requests":'
            '{"cpu":"10m"}}},"tolerations":[{"effect":"NoExecute",'
            '"key":"node.kubernetes.io/not-ready","operator":"Exists","tolerationSeconds":300}]}',
        },
        "ownerReferences": [OWNER],
    },
    "spec": {
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": "main",
                "image": "nginx:1",
                "imagePullPolicy": "IfNotPresent",
                "envFrom": [LINKS],
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {"requests": {"cpu": "10m"}},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "volumeMounts": [
                    {
                        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                        "name": "kube-api-access-x",
                        "readOnly": True,
                    }
                ],
            }
        ],
        "dnsConfig": {
            "nameservers": ["10.96.7.10"],
            "searches": ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"],
            "options": [{"name": "ndots", "value": "5"}],
        },
        "dnsPolicy": "None",
        "enableServiceLinks": False,
        "hostname": "web",
        "restartPolicy": "Always",
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "serviceAccountName": "team-workload",
        "terminationGracePeriodSeconds": 30,
        "tolerations": ADMITTED["spec"]["tolerations"],
        "volumes": [
            {
                "name": "kube-api-access-x",
                "projected": {
                    "defaultMode": 420,
                    "sources": [
                        {
                            "secret": {
                                "name": "web-default-7uksoqce2rjfcem6",
                                "items": [{"key": "token-0", "path": "token"}],
                            }
                        },
                        {
                            "configMap": {
                                "items": [{"key": "ca.crt", "path": "ca.crt"}],
                                "name": "kube-root-ca-crt-default-cko4uwtfh33qrvp5",
                            }
                        },
                        {
                            "downwardAPI": {
                                "items": [
                                    {
                                        "fieldRef": {
                                            "apiVersion": "v1",
                                            "fieldPath": "metadata.annotations['k3k-pulumi.io/namespace']",
                                        },
                                        "path": "namespace",
                                    }
                                ]
                            }
                        },
                    ],
                },
            }
        ],
    },
}


VARIABLES = ObjectRef("default", ":service-links", LINKS["configMapRef"]["name"], optional=False)


def test_a_pod_of_a_deployment() -> None:
    made = to_host(ADMITTED)
    assert made.manifest == ON_HOST
    assert made.config_maps == {
        ObjectRef("default", "kube-root-ca.crt", "kube-root-ca-crt-default-cko4uwtfh33qrvp5", optional=False),
        VARIABLES,
    }
    assert made.secrets == frozenset()
    assert made.claims == frozenset()
    assert made.tokens == (TokenProjection("token-0", "", 3607),)
    assert made.dropped == ()


def seconds(work: Callable[[], object]) -> float:
    """Of CPU time, as the machine may be busy."""
    return min(timeit.repeat(work, timer=time.process_time, number=20, repeat=10)) / 20


def test_a_pod_takes_no_longer_than_to_read_it_a_few_times() -> None:
    """0.2 ms where its JSON takes 0.02 ms: compared with that, as machines differ."""
    assert seconds(lambda: to_host(ADMITTED)) < 15 * seconds(lambda: json.loads(json.dumps(ADMITTED)))


COPIED_FIELDS: list[dict[str, Any]] = [
    {"activeDeadlineSeconds": 60},
    {
        "dnsPolicy": "Default",
        "dnsConfig": {
            "nameservers": ["1.1.1.1"],
            "searches": ["a.b"],
            "options": [{"name": "ndots", "value": "2"}],
        },
    },
    {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1", "2001:db8::1"]}},
    {"hostAliases": [{"ip": "10.1.1.1", "hostnames": ["a", "b"]}]},
    {"hostnameOverride": "a.b"},
    {"os": {"name": "linux"}},
    {"readinessGates": [{"conditionType": "example.com/ready"}]},
    {"resources": {"limits": {"cpu": "1"}}},
    {"restartPolicy": "Never"},
    {"setHostnameAsFQDN": True},
    {"shareProcessNamespace": True},
    {"subdomain": "db"},
    {"terminationGracePeriodSeconds": 0},
    {"hostUsers": False},
]


@pytest.mark.parametrize("field", COPIED_FIELDS, ids="-".join)
def test_a_copied_field(field: dict[str, Any]) -> None:
    assert host_spec(pod(field)) == {**host_spec(pod()), **field}


LEFT_OUT: list[dict[str, Any]] = [
    {"preemptionPolicy": "Never"},
    {"schedulerName": "default-scheduler"},
    {"priority": 2000001000},
    {"serviceAccount": "admin"},
    {"serviceAccountName": "admin"},
    {"automountServiceAccountToken": True},
    {"enableServiceLinks": True},
    {"enableServiceLinks": None},
    {"ephemeralContainers": [{"name": "debug", "image": "x", "securityContext": {"privileged": True}}]},
    {"schedulingGates": []},
    {"hostNetwork": False, "hostPID": False, "hostIPC": False},
    {"securityContext": None},
    {"nodeName": ""},
]


@pytest.mark.parametrize("field", LEFT_OUT, ids=lambda field: next(iter(field)))
def test_a_field_that_changes_nothing_on_the_host(field: dict[str, Any]) -> None:
    made = to_host(pod(field))
    assert (made.manifest["spec"].pop("hostPID", False), made.dropped) == (False, ())
    for key in ("hostNetwork", "hostIPC"):
        assert made.manifest["spec"].pop(key, False) is False
    assert made.manifest["spec"] == host_spec(pod())


DROPPED: list[dict[str, Any]] = [
    {"evictionResponders": [{"name": "example.com/slow", "priority": 1}]},
    {"overhead": {"cpu": "1"}},
    {"schedulerName": "other"},
]


@pytest.mark.parametrize("field", DROPPED, ids=lambda field: next(iter(field)))
def test_a_field_that_is_dropped_with_an_event(field: dict[str, Any]) -> None:
    made = to_host(pod(field))
    assert [each.path for each in made.dropped] == [f"spec.{next(iter(field))}"]
    assert made.dropped[0].reason
    assert made.manifest["spec"] == host_spec(pod())


@pytest.mark.parametrize(
    ("name", "hostname", "on_host"),
    [
        ("web", None, "web"),
        ("web", "own", "own"),
        ("web", "", "web"),
        ("a.b.c", None, "a-b-c"),
        ("x" * 70, None, "x" * 63),
        ("x" * 62 + "-y", None, "x" * 62),
        ("x" * 61 + ".-y", None, "x" * 61),
    ],
)
def test_the_hostname_is_that_of_the_virtual_pod(name: str, hostname: str | None, on_host: str) -> None:
    assert host_spec(pod({"hostname": hostname}, name=name))["hostname"] == on_host


@pytest.mark.parametrize("amount", ["0", 0, 0.0, "0m", "0Ki", "-0", "0.000", "0e3", "0E-0005", ".0k"])
@pytest.mark.parametrize("kind", ["limits", "requests"])
@pytest.mark.parametrize("containers", ["containers", "initContainers"])
def test_nothing_of_an_extended_resource_is_refused(containers: str, kind: str, amount: Any) -> None:
    each = {"name": "main", "image": "nginx:1", "resources": {kind: {"team.example.com/dedicated": amount}}}
    path = rf"^spec\.{containers}\[0\]\.resources\.{kind}\[team\.example\.com/dedicated\]: "
    with pytest.raises(Refused, match=path):
        to_host(pod({containers: [each]}))


@pytest.mark.parametrize(
    "amounts", [{"cpu": "0", "memory": 0}, {"example.com/gpu": "1"}, {"example.com/gpu": "10"}]
)
def test_other_amounts_stay_as_they_are(amounts: dict[str, Any]) -> None:
    made = host_spec(pod(container={"resources": {"requests": amounts}}))
    assert made["containers"][0]["resources"] == {"requests": amounts}
