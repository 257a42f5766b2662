"""The virtual kubelet of one cluster: what every replica knows and serves, and what their leader does."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import gc
from dataclasses import dataclass
from typing import NamedTuple

from k3k_kubelet.api import CONFIG_MAPS, ApiClient
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change
from k3k_kubelet.config import Config
from k3k_kubelet.controllers import Controllers
from k3k_kubelet.events import EventRecorder
from k3k_kubelet.extension import ExtensionServer, MetricsApi
from k3k_kubelet.host_ranges import advice
from k3k_kubelet.leader import Leader, RestartError
from k3k_kubelet.node import NodeApis
from k3k_kubelet.server import Access, KubeletServer, Pages, TlsFiles
from k3k_kubelet.server.trim import Trim
from k3k_kubelet.sync.admission import ServiceAdmission
from k3k_kubelet.sync.cidrs import ServiceCidrs
from k3k_kubelet.sync.lookup import Lookup
from k3k_kubelet.sync.policy import PolicyFile
from k3k_kubelet.sync.shared import Shared
from k3k_kubelet.sync.stores import Stores
from k3k_kubelet.sync.twins import Twins
from k3k_kubelet.translate import Cluster
from k3k_kubelet.usage import HostUsage, Usage


@dataclass(frozen=True, slots=True)
class Clients:
    """The kubelet's clients of the two API servers.

    Attributes:
        host: Host; writes for the holder of the Lease alone.
        virtual: Virtual; the same.
        heartbeats: Virtual, for heartbeats alone.
        reviews: Virtual, for who asks the kubelet API and what he may: on every replica.
        admissions: Host, for what the virtual API server asks before it creates a Service: on every replica.
    """

    host: ApiClient
    virtual: ApiClient
    heartbeats: ApiClient
    reviews: ApiClient
    admissions: ApiClient


class Addresses(NamedTuple):
    """ClusterIPs of the cluster's own Services on the host: of the kubelet and of its DNS."""

    kubelet: str
    dns: str


class Kubelet:
    """One replica.

    Each has the stores and serves the kubelet API of all Nodes. What changes anything is done by the holder
    of the Lease, by `Controllers` that are made when it is taken: a replica that follows needs none of them.

    Args:
        config: Its configuration.
        clients: The two API servers.
        anchor: The ConfigMap that owns what we make on the host.
        addresses: Of the cluster's Services on the host.
        leader: The Lease.
        policy: What the tenant may do.
    """

    def __init__(
        self,
        config: Config,
        clients: Clients,
        anchor: Object,
        addresses: Addresses,
        leader: Leader,
        policy: PolicyFile,
    ) -> None:
        self._clients = clients
        self._address = addresses.kubelet
        self._leader = leader
        virtual = clients.virtual
        api_host = config.api_address or virtual.endpoint.host
        cluster = _cluster(config, anchor, (api_host, virtual.endpoint.port), addresses.dns)
        stores = Stores(config, clients.host, virtual)
        root_ca = (config.paths.tls / "server-ca.crt").read_text()
        self._shared = Shared(
            config, cluster, clients.host, virtual, stores, policy, EventRecorder(virtual), root_ca
        )
        lookup = Lookup(self._shared)
        files = TlsFiles(
            certificate=config.paths.run / "serving.crt",
            key=config.paths.run / "serving.key",
            client_ca=config.paths.tls / "client-ca.crt",
        )
        access = Access(clients.reviews)
        source = HostUsage(clients.host, config.namespace, config.cluster)
        usage = Usage(source, stores.virtual_pods, stores.virtual_nodes, self._shared.host_pod)
        front_proxy = dataclasses.replace(files, client_ca=config.paths.tls / "request-header-ca.crt")
        self._cidrs = ServiceCidrs(clients.reviews, config.version)
        twins = Twins(clients.admissions, clients.reviews, stores.host_services, cluster)
        # Of its own, for who reads is told of a change once, and the controllers have to be told of each.
        self._policy = copy.copy(policy)
        admission = ServiceAdmission(self._shared, twins, self._cidrs, self._policy)
        self._extension = ExtensionServer(
            MetricsApi(usage), admission.answer, access, front_proxy, address=config.address
        )
        self._server = KubeletServer(
            *(clients.host.endpoint, lookup.pod, Pages(usage), access, files), address=config.address
        )
        self._apis = NodeApis(stores.virtual_nodes, self._server)
        self._controllers: Controllers | None = None
        self._anchor_replaced = asyncio.Event()
        stores.host_config[CONFIG_MAPS.plural].subscribe(self._config_map_changed)

    def missing(self) -> str:
        """What keeps this replica from being ready, `""` for nothing.

        One that follows is ready when it serves the kubelet API: the Service leads to all that are ready.
        """
        waiting = [i.resource.plural for i in self._shared.stores.informers if not i.synced.is_set()]
        if waiting:
            return f"not synced: {', '.join(waiting)}"
        if unlisted := self._shared.stores.unlisted():
            return advice(unlisted)
        self._policy.read()  # the controllers of a replica that follows do not
        if self._policy.wrong:
            return f"the last good policy holds, the present one is refused: {self._policy.wrong}"
        if not self._apis.serving.is_set():
            return "the kubelet API is not served yet"
        if not self._leader.answered:
            return "the host does not say who holds the lease"
        follows = self._leader.holder and not self._leader.held.is_set()
        works = self._controllers is not None and self._controllers.working
        return "" if works or follows else "waiting for the lease"

    def reload_tls(self) -> None:
        """The serving certificate has been renewed."""
        self._server.reload_tls()
        self._extension.reload_tls()

    async def run(self) -> None:
        """Works until cancelled. Nothing is changed anywhere before both sides are known completely.

        Raises:
            RestartError: Another process has to go on, in a group.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for informer in self._shared.stores.informers:
                    group.create_task(informer.run())
                await self._shared.stores.synced()
                gc.collect()
                gc.freeze()
                await self._extension.serve(self._shared.config.extension_port)
                group.create_task(self._apis.run())
                group.create_task(self._end_with_anchor())
                # Not before: who knows one side only would keep the Lease from another replica.
                group.create_task(self._leader.run())
                group.create_task(Trim().run())
                await self._leader.held.wait()
                self._shared.policy.read()
                self._controllers = Controllers(
                    self._shared, self._clients.heartbeats, self._cidrs, self._address
                )
                await self._controllers.run(self._leader)
        finally:
            await self._server.close()
            await self._extension.close()

    def _config_map_changed(self, change: Change) -> None:
        entry, anchor = change.new, (self._shared.config.anchor, self._shared.cluster.owner["uid"])
        if entry is not None and entry.name == anchor[0] and entry.uid != anchor[1]:
            self._anchor_replaced.set()

    async def _end_with_anchor(self) -> None:
        """All that we made so far goes with the old anchor; what comes needs the new one as owner."""
        await self._anchor_replaced.wait()
        raise RestartError(f"ConfigMap {self._shared.config.anchor} has been made anew")


def _cluster(config: Config, anchor: Object, api: tuple[str, int], dns: str) -> Cluster:
    owner = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": config.anchor,
        "uid": anchor["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }
    return Cluster(
        name=config.cluster,
        namespace=config.namespace,
        owner=owner,
        service_account=config.service_account,
        cluster_domain=config.cluster_domain,
        api_host=api[0],
        api_port=api[1],
        dns_host=dns,
    )
