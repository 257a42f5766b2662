"""Applying a virtual cluster to a host and waiting until it answers from here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from k3k_pulumi.cluster_pki import ClusterPki
from k3k_pulumi.direct import network_probe
from k3k_pulumi.direct.cluster import Cluster
from k3k_pulumi.direct.keys import keys
from k3k_pulumi.direct.machine import check_machine, is_to_be_admitted, source_cidr
from k3k_pulumi.direct.ranges import check_ranges
from k3k_pulumi.direct.remove import is_ours, remove_cluster_scoped
from k3k_pulumi.direct.steps import OnStep, silent
from k3k_pulumi.endpoint import endpoint, wait_until_ready
from k3k_pulumi.host import DirectError, Host, Object, Ref
from k3k_pulumi.kubeconfig import kubeconfig
from k3k_pulumi.manifests import virtual_cluster, waits_for_ready
from k3k_pulumi.manifests.objects import POLICY
from k3k_pulumi.model import VirtualClusterSpec
from k3k_pulumi.reasons import explain

READY_SECONDS = 180.0
"""How long a cluster may take where nobody says so."""


def deploy(
    host: Host,
    spec: VirtualClusterSpec,
    args: Mapping[str, Any],
    *,
    timeout: float | None = None,
    on_step: OnStep = silent,
) -> Cluster:
    """Applies a cluster with server-side apply and waits until it is ready.

    Safe to repeat: what is there stays, with the same keys. Where `expose.source_cidrs` is not given, this
    machine's address towards the cluster is admitted.

    Args:
        host: where to.
        spec: the cluster, which `check` found possible there.
        args: what `spec` was made of.
        timeout: seconds from the first object to the last one ready; `ready_timeout` of `args` by default,
            and `READY_SECONDS` without it.
        on_step: shows progress.

    Raises:
        DirectError: the host refused an object, or the cluster was not ready in time; the text says why.
    """
    if timeout is None:
        timeout = spec.ready_seconds if args.get("ready_timeout") else READY_SECONDS
    with on_step("Keys and certificates"):
        pki = keys(host, spec)
    deadline = time.monotonic() + timeout
    with on_step("Create the control plane's objects"):
        spec = _admit_this_machine(host, spec, pki, args)
        manifests = virtual_cluster(spec, pki)
        try:
            network_probe.make_way(host, manifests, spec.names, deadline)
        except TimeoutError as error:
            raise DirectError(f"{error} of an earlier run is still there after {timeout:g} s") from error
        for manifest in manifests:
            host.apply(manifest)
        # Of an earlier run.
        remove_cluster_scoped(host, spec.names, keep={Ref.of(manifest) for manifest in manifests})
    try:
        with on_step("Control plane starts"):
            url = _endpoint(host, spec, deadline)
            _await(host, manifests, "StatefulSet", deadline)
        text = kubeconfig(spec, url, pki.server_ca.certificate, pki.admin.certificate, pki.admin.key)
        cluster = Cluster(spec.name, spec.namespace, spec.control_plane_namespace, url, text)
        with on_step(f"API server answers at {url}"):
            wait_until_ready(text, deadline - time.monotonic())
        with on_step("Virtual kubelet starts"):
            _await(host, manifests, "Deployment", deadline)
        if spec.require_network_policy:
            with on_step("The host proves that it enforces NetworkPolicies"):
                network_probe.await_proof(host, spec, manifests, deadline)
    except TimeoutError as error:
        about = f"virtual cluster {spec.namespace}/{spec.name}"
        reasons = explain(host, spec.control_plane_namespace, spec.name)
        if spec.require_network_policy:
            reasons += "\n" + network_probe.explain_pods(host, spec)
        raise DirectError(f"{about}: not ready after {timeout:g} s: waited for {error}\n{reasons}") from error
    return cluster


def check(host: Host, spec: VirtualClusterSpec) -> None:
    """Refuses to take over a namespace that somebody else made, or to start without one that must exist.

    Also refuses a host that has addresses where `egress: internet` would be open to them, and a cluster whose
    policy does not let this machine in.

    Raises:
        DirectError: which namespace or address, and what to do.
    """
    for field, namespace, create in (
        ("namespace", spec.namespace, spec.create_namespace),
        ("control_plane_namespace", spec.control_plane_namespace, spec.create_control_plane_namespace),
    ):
        found = host.get(Ref("v1", "Namespace", "", namespace))
        about = f"virtual cluster {spec.namespace}/{spec.name}: {field} {namespace!r}"
        if not create and found is None:
            raise DirectError(f"{about} does not exist: create it, or leave create_{field} at its default")
        if create and found is not None and not is_ours(found, spec.name):
            raise DirectError(
                f"{about} exists already and was not made for this cluster: choose another one, or use it "
                f"as it is with create_{field}=False"
            )
        policy = ((found or {}).get("metadata", {}).get("labels") or {}).get(POLICY)
        if policy is not None and field == "control_plane_namespace":
            raise DirectError(
                f"{about} has the policy {policy!r}, whose quota would stop the control plane: choose "
                "another one, or leave control_plane_namespace at its default"
            )
        if create and found is not None and "deletionTimestamp" in found["metadata"]:
            raise DirectError(f"{about} is being deleted: wait until it is gone, or choose another one")
    check_ranges(host, spec)
    check_machine(host, spec)


def _api_service(spec: VirtualClusterSpec) -> Ref:
    return Ref("v1", "Service", spec.control_plane_namespace, spec.names.api)


def _admit_this_machine(
    host: Host, spec: VirtualClusterSpec, pki: ClusterPki[str], args: Mapping[str, Any]
) -> VirtualClusterSpec:
    """The spec, with this machine's address in `expose.source_cidrs` when a ClusterIP is all there is.

    The address this machine has towards the Service is known when the Service has its own.
    """
    if not is_to_be_admitted(spec):
        return spec
    for manifest in virtual_cluster(spec, pki):
        if manifest["kind"] == "Namespace" or Ref.of(manifest) == _api_service(spec):
            host.apply(manifest)
    address = _service(host, spec)["spec"]["clusterIP"]
    expose = {**(args.get("expose") or {}), "source_cidrs": [source_cidr(address)]}
    return VirtualClusterSpec.parse(spec.name, {**args, "expose": expose})


def _service(host: Host, spec: VirtualClusterSpec) -> Object:
    service = host.get(_api_service(spec))
    if service is None:
        raise DirectError(f"{_api_service(spec)}: gone while the cluster was being made")
    return service


def _endpoint(host: Host, spec: VirtualClusterSpec, deadline: float) -> str:
    """URL of the cluster's API as it is exposed; a load balancer's address takes its time."""

    def exposed(service: Object | None) -> bool:
        return service is not None and endpoint(spec, service) is not None

    url = endpoint(spec, host.wait_for(_api_service(spec), exposed, deadline) or {})
    if url is None:
        raise DirectError(f"{_api_service(spec)}: gone while the cluster was being made")
    return url


def _await(host: Host, manifests: list[Object], kind: str, deadline: float) -> None:
    """Watches the workloads of a kind that readiness depends on."""
    for manifest in manifests:
        if manifest["kind"] == kind and waits_for_ready(manifest):
            host.wait_for(Ref.of(manifest), _ready, deadline)


def _ready(workload: Object | None) -> bool:
    """Whether all replicas of a StatefulSet or Deployment are of the newest revision and ready."""
    if workload is None:
        return False
    wanted, status = workload["spec"]["replicas"], workload.get("status", {})
    if status.get("observedGeneration", 0) < workload["metadata"]["generation"]:
        return False
    return all(status.get(kind, 0) == wanted for kind in ("replicas", "updatedReplicas", "readyReplicas"))
