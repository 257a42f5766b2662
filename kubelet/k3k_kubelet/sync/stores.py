"""The kubelet's view of the two clusters: which collections it keeps, what of them, by which indexes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from functools import partial

import msgspec

from k3k_kubelet.api import (
    CONFIG_MAPS,
    NETWORK_POLICIES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICES,
    ApiClient,
    Resource,
)
from k3k_kubelet.cache import NAMESPACE, Entry, Informer, Store, by_namespace
from k3k_kubelet.cache.store import Key, Object
from k3k_kubelet.config import Config
from k3k_kubelet.host_ranges import HostRanges
from k3k_kubelet.node import health
from k3k_kubelet.node.hosts import reduce_host_node, reduce_quota, reduce_virtual_node
from k3k_kubelet.node.serving import ports
from k3k_kubelet.translate import HostContainer, HostObject, HostPod, downward, identity, is_terminal
from k3k_kubelet.translate import pod as translate_pod

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""Annotation with a whole pod once more."""
DEFAULT_SCHEDULER = "default-scheduler"
_UNLISTED = "unlisted"
"""Index of what the host has where it was not said to be: empty mostly, so it takes nothing."""


class Reference(msgspec.Struct, frozen=True):
    """A ConfigMap or Secret of the virtual cluster.

    Attributes:
        plural: `configmaps` or `secrets`.
    """

    plural: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.plural}/{self.namespace}/{self.name}"

    @property
    def resource(self) -> Resource:
        """The resource it is of."""
        return CONFIG_MAPS if self.plural == CONFIG_MAPS.plural else SECRETS

    @staticmethod
    def parse(text: str) -> Reference:
        """The reverse of `str`."""
        return Reference(*text.split("/"))


def used_by(wanted: HostPod | HostContainer | HostObject) -> list[Reference]:
    """What has to be on the host before that is."""
    config_maps = [Reference(CONFIG_MAPS.plural, ref.namespace, ref.name) for ref in wanted.config_maps]
    return config_maps + [Reference(SECRETS.plural, ref.namespace, ref.name) for ref in wanted.secrets]


def node_of(pod: Object) -> str:
    """The node that a pod is bound to, `""` for none."""
    return pod["spec"].get("nodeName") or ""


def wants_copy(pod: Object) -> bool:
    """Whether a pod's scheduling is up to us: it is bound, or left to the default scheduler without gates."""
    spec = pod["spec"]
    if spec.get("nodeName"):
        return True
    return (
        not spec.get("schedulingGates") and spec.get("schedulerName", DEFAULT_SCHEDULER) == DEFAULT_SCHEDULER
    )


class Stores:
    """The stores and the informers that fill them.

    Args:
        config: The kubelet's configuration.
        host: Host API server.
        virtual: Virtual API server.
    """

    def __init__(self, config: Config, host: ApiClient, virtual: ApiClient) -> None:
        self._cluster = cluster = config.cluster
        namespace = config.namespace
        self.virtual_pods = Store(
            {"node": _nodes, "uses": _uses, "claims": _claims, NAMESPACE: by_namespace}, _reduce_virtual_pod
        )
        self.virtual_nodes = Store({"port": partial(ports, config)}, reduce_virtual_node)
        self.virtual_services = Store({NAMESPACE: by_namespace}, _reduce_service)
        ranges = HostRanges(config.host_ranges)
        indexes = {
            "owner": self.owners,
            health.INDEX: health.signs,
            "address": _addresses,
            "isolated": _isolated,
            _UNLISTED: lambda pod: () if is_terminal(pod) else ranges.of_pod(pod),
        }
        self.host_pods = Store(indexes, _reduce_host_pod)
        self.host_services = Store()
        self.host_nodes = Store({_UNLISTED: ranges.of_node}, reduce_host_node)
        self.host_quotas = Store(reduce=reduce_quota)
        self.host_policies = Store({"owner": self.owners})
        self.virtual_claims, self.host_claims = Store(reduce=_reduce_claim), Store({"owner": self.owners})
        kinds = (CONFIG_MAPS, SECRETS)
        self.virtual_config = {kind.plural: Store(reduce=_reduce_to_version) for kind in kinds}
        self.host_config = {kind.plural: Store({"owner": self.owners}) for kind in kinds}
        selector = f"{identity.CLUSTER}={cluster}"
        self.informers = [
            Informer(virtual, PODS, self.virtual_pods),
            Informer(virtual, NODES, self.virtual_nodes),
            Informer(virtual, SERVICES, self.virtual_services),
            Informer(host, PODS, self.host_pods, namespace=namespace, label_selector=selector),
            Informer(virtual, PERSISTENT_VOLUME_CLAIMS, self.virtual_claims),
            Informer(
                *(host, PERSISTENT_VOLUME_CLAIMS, self.host_claims),
                namespace=namespace,
                label_selector=selector,
            ),
            # Those of the library are of no virtual namespace. Several kinds of copies are NetworkPolicies.
            Informer(
                *(host, NETWORK_POLICIES, self.host_policies),
                namespace=namespace,
                label_selector=f"{selector},{identity.NAMESPACE}",
            ),
            # All of the namespace: who makes one has to know whether somebody else has the name.
            Informer(host, SERVICES, self.host_services, namespace=namespace, metadata_only=True),
        ]
        if config.mirror_host_nodes:
            self.informers.append(Informer(host, NODES, self.host_nodes))
        else:
            self.informers.append(Informer(host, RESOURCE_QUOTAS, self.host_quotas, namespace=namespace))
        for kind in kinds:
            source, copies = self.virtual_config[kind.plural], self.host_config[kind.plural]
            self.informers += [
                Informer(virtual, kind, source, metadata_only=True),
                Informer(
                    *(host, kind, copies),
                    namespace=namespace,
                    label_selector=selector,
                    metadata_only=True,
                ),
            ]

    async def synced(self) -> None:
        """Returns when every store has had its first full list."""
        await asyncio.gather(*(informer.synced.wait() for informer in self.informers))

    def unlisted(self) -> set[str]:
        """Addresses of the host's nodes and pods that are in none of its ranges; see `HostRanges`."""
        return self.host_pods.values(_UNLISTED) | self.host_nodes.values(_UNLISTED)

    def owner(self, entry: Entry) -> Key | None:
        """Namespace and name of the virtual object that a host object stands for; None if it is not ours.

        Args:
            entry: One of a store of this class that has the index `owner` before all others.
        """
        for value in entry.values[0]:
            namespace, _, name = value.partition("/")
            return namespace, name
        return None

    def owners(self, obj: Object) -> Iterable[str]:
        """For an index: the virtual object that a host object stands for, as `namespace/name`."""
        owner = identity.owner_of(obj)
        if owner is not None and owner.cluster == self._cluster:
            yield f"{owner.namespace}/{owner.name}"


def _nodes(pod: Object) -> Iterable[str]:
    node = node_of(pod)
    return (node,) if node else ()


def _addresses(host_pod: Object) -> Iterable[str]:
    """The addresses that a host pod has: those of one that has ended may be another's by now."""
    if is_terminal(host_pod):
        return ()
    return [each["ip"] for each in (host_pod.get("status") or {}).get("podIPs") or () if each.get("ip")]


def _isolated(host_pod: Object) -> Iterable[str]:
    """The namespace inside of a pod that NetworkPolicies of the tenant isolate, as long as it changes."""
    metadata = host_pod["metadata"]
    if is_terminal(host_pod) or metadata.get("deletionTimestamp") or not identity.isolated(host_pod):
        return ()
    return (metadata["labels"].get(identity.NAMESPACE, ""),)


def _uses(pod: Object) -> Iterable[str]:
    """The references of a pod that has a copy on the host, or is to get one.

    A pod that waits (gates, another scheduler) uses nothing: a tenant could fill the host with copies by it,
    past every quota on pods. Many pods use the same: they share its text.
    """
    if is_terminal(pod) or not wants_copy(pod):
        return
    namespace = pod["metadata"]["namespace"]
    found = translate_pod.references(pod)
    for name in found.config_maps:
        yield sys.intern(str(Reference(CONFIG_MAPS.plural, namespace, name)))
    for name in found.secrets:
        yield sys.intern(str(Reference(SECRETS.plural, namespace, name)))


def _claims(pod: Object) -> Iterable[str]:
    """The claims of a pod that may have to wait for them."""
    if not is_terminal(pod):
        namespace = pod["metadata"]["namespace"]
        yield from (f"{namespace}/{name}" for name in translate_pod.references(pod).claims)


def _reduce_claim(claim: Object) -> None:
    (claim["metadata"].get("annotations") or {}).pop(_LAST_APPLIED, None)


def _reduce_virtual_pod(pod: Object) -> None:
    annotations = pod["metadata"].get("annotations") or {}
    if _LAST_APPLIED in annotations and not downward.reads_annotations(pod["spec"]):
        del annotations[_LAST_APPLIED]


def _reduce_host_pod(pod: Object) -> None:
    """Of a host pod's spec only what `translate.update` and the binding look at."""
    spec = pod["spec"]
    kinds = ("containers", "initContainers")
    for kind in kinds:
        if kind in spec:
            spec[kind] = [{"name": container["name"]} for container in spec[kind]]
    kept = ("nodeName", "tolerations", *kinds)
    pod["spec"] = {key: spec[key] for key in kept if key in spec}


def _reduce_service(service: Object) -> None:
    """Of a Service what its copy is made of, and what is known inside of its load balancer."""
    (service["metadata"].get("annotations") or {}).pop(_LAST_APPLIED, None)
    balancer = (service.get("status") or {}).get("loadBalancer")
    service["status"] = {"loadBalancer": balancer} if balancer else {}


def _reduce_to_version(obj: Object) -> None:
    metadata = obj["metadata"]
    kept = ("namespace", "name", "uid", "resourceVersion")
    obj["metadata"] = {key: metadata[key] for key in kept if key in metadata}
