"""The Job that proves that the host enforces NetworkPolicies: two pods in the workload namespace.

One listens on three ports. The other one reaches it on the first, and must not on the two others, which a
NetworkPolicy (`network.network_policies`) closes: one where packets arrive, one where they leave. Which of
the two a pod is, the Job's index says. They know nothing of the cluster and have no rights.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from k3k_pulumi.manifests import objects, pods
from k3k_pulumi.manifests.objects import Manifest, annotate, make

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

OPEN_PORT, NO_INGRESS_PORT, NO_EGRESS_PORT = 7001, 7002, 7003
"""What the listening pod admits and the asking one may connect to; the first alone is both."""
NOT_ENFORCED = 3
"""Exit code of `k3k-kubelet probe` when it is sure; any other failure is worth another try."""

_INDEX = "batch.kubernetes.io/job-completion-index"
_SIZES = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}


def services(spec: VirtualClusterSpec) -> list[Manifest]:
    """The Service by which one pod finds the other, if the cluster is to have the proof."""
    return [_service(spec)] if spec.require_network_policy else []


def jobs(spec: VirtualClusterSpec) -> list[Manifest]:
    """The Job, if the cluster is to have it."""
    return [_job(spec)] if spec.require_network_policy else []


def _service(spec: VirtualClusterSpec) -> Manifest:
    ports = {"open": OPEN_PORT, "no-ingress": NO_INGRESS_PORT, "no-egress": NO_EGRESS_PORT}
    service = make(
        spec,
        "Service",
        spec.names.network_probe,
        objects.NETWORK_PROBE,
        spec.namespace,
        spec={
            "type": "ClusterIP",
            "selector": {**objects.selector(spec, objects.NETWORK_PROBE), _INDEX: "0"},
            "ports": [
                {"name": name, "port": port, "targetPort": port, "protocol": "TCP"}
                for name, port in ports.items()
            ],
        },
    )
    # Its endpoints come with the Job, which Pulumi makes after it.
    return annotate(service, {"pulumi.com/skipAwait": "true"})


def _job(spec: VirtualClusterSpec) -> Manifest:
    body: dict[str, Any] = {
        "completionMode": "Indexed",
        "completions": 2,
        "parallelism": 2,
        "backoffLimit": 3,
        "podFailurePolicy": {
            "rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [NOT_ENFORCED]}}]
        },
        "template": pods.template(
            spec,
            objects.NETWORK_PROBE,
            service_account=spec.names.workload,
            mounts_token=False,
            config=[],
            pod={
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 1,
                **pods.apart(spec, objects.NETWORK_PROBE, 2),
                "containers": [_container(spec)],
            },
        ),
    }
    job = make(spec, "Job", spec.names.network_probe, objects.NETWORK_PROBE, spec.namespace, spec=body)
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    # Nothing of a Job's pods can be changed: by the checksum `direct` knows whether it is another one.
    return annotate(job, {objects.CHECKSUM: digest, "pulumi.com/replaceUnready": "true"})


def _container(spec: VirtualClusterSpec) -> dict[str, Any]:
    return {
        "name": "probe",
        "image": spec.kubelet_image,
        "args": [
            "probe",
            f"--open={OPEN_PORT}",
            f"--no-ingress={NO_INGRESS_PORT}",
            f"--no-egress={NO_EGRESS_PORT}",
        ],
        "env": [{"name": "K3K_PROBE_HOST", "value": f"$({spec.names.network_probe_host_variable})"}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": _SIZES,
        "securityContext": pods.container_security(),
    }
