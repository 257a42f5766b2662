"""The virtual kubelet: stores, controllers, Nodes and the kubelet API of one virtual cluster."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

from k3k_kubelet.api import CONFIG_MAPS, ApiClient, HostEndpoint
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change, WorkQueue
from k3k_kubelet.config import Config
from k3k_kubelet.events import EventRecorder
from k3k_kubelet.leader import Leader, RestartError
from k3k_kubelet.node import NodeManager
from k3k_kubelet.node.heartbeat import Heartbeats
from k3k_kubelet.server import Access, KubeletServer, TlsFiles
from k3k_kubelet.sync.config import ConfigController
from k3k_kubelet.sync.lookup import Lookup
from k3k_kubelet.sync.mirror import EventMirror
from k3k_kubelet.sync.pods import PodController
from k3k_kubelet.sync.policy import PolicyFile
from k3k_kubelet.sync.shared import Shared
from k3k_kubelet.sync.stores import Stores
from k3k_kubelet.sync.tokens import TokenController
from k3k_kubelet.translate import Cluster

log = logging.getLogger(__name__)

PATROL_SECONDS = 60.0
"""How often both sides are compared as a whole, whatever the watches told."""


class Kubelet:
    """The virtual kubelet of one cluster.

    Args:
        config: Its configuration.
        host: Host API server.
        virtual: Virtual API server.
        heartbeats: A client of the virtual API server for heartbeats alone.
        anchor: The ConfigMap that owns what we make on the host.
        api: Address and port of the virtual API server as pods reach it.
        host_endpoint: For the kubelet API's tunnels.
    """

    def __init__(
        self,
        config: Config,
        host: ApiClient,
        virtual: ApiClient,
        heartbeats: ApiClient,
        anchor: Object,
        api: tuple[str, int],
        host_endpoint: HostEndpoint,
    ) -> None:
        cluster = _cluster(config, anchor, api)
        stores = Stores(config.cluster, config.namespace, host, virtual)
        self._policy = PolicyFile(config.paths.policy / "policy.json")
        self._policy.read()
        root_ca = (config.paths.tls / "server-ca.crt").read_text()
        self._events = EventRecorder(virtual)
        shared = Shared(config, cluster, host, virtual, stores, self._policy, self._events, root_ca)
        self._shared = shared
        lookup = Lookup(shared)
        files = TlsFiles(
            certificate=config.paths.run / "serving.crt",
            key=config.paths.run / "serving.key",
            client_ca=config.paths.tls / "client-ca.crt",
        )
        self._server = KubeletServer(host_endpoint, lookup.pod, lookup.pods_of, Access(virtual), files)
        self._heartbeats = Heartbeats(heartbeats)
        self._nodes = NodeManager(
            config,
            host,
            virtual,
            self._heartbeats,
            stores.virtual_nodes,
            stores.virtual_pods,
            self._server,
        )
        self._configs = ConfigController(shared)
        self._tokens = TokenController(shared)
        self._pods = PodController(shared, self._nodes, self._configs, self._tokens)
        self._mirror = EventMirror(shared)
        self._working = False
        self._anchor_replaced = asyncio.Event()
        stores.host_config[CONFIG_MAPS.plural].subscribe(self._config_map_changed)

    def missing(self) -> str:
        """What keeps the kubelet from being ready, `""` for nothing."""
        if not self._shared.stores.are_synced():
            waiting = [i.resource.plural for i in self._shared.stores.informers if not i.synced.is_set()]
            return f"not synced: {', '.join(waiting)}"
        return "" if self._working else "waiting for the lease or the kubelet's Service"

    def reload_tls(self) -> None:
        """The serving certificate has been renewed."""
        self._server.reload_tls()

    async def run(self, leader: Leader) -> None:
        """Works until cancelled. Nothing is changed anywhere before both sides are known completely.

        Args:
            leader: Says when we may act. Nodes are kept alive in between too: that the host's API server is
                away is no reason to let the virtual cluster evict its pods.

        Raises:
            RestartError: Another process has to go on, in a group.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for informer in (*self._shared.stores.informers, self._mirror.informer):
                    group.create_task(informer.run())
                await self._shared.stores.synced()
                gc.collect()
                gc.freeze()
                await self._nodes.start()
                group.create_task(self._events.run())
                group.create_task(self._policy.run(self._pods.add_all))
                group.create_task(self._patrol())
                group.create_task(self._end_with_anchor())
                await self._act(leader)
        finally:
            await self._server.close()
            await self._heartbeats.close()

    async def _act(self, leader: Leader) -> None:
        """Does the work of all queues while we hold the Lease."""
        queues: tuple[WorkQueue[Any], ...] = (
            self._nodes.queue,
            self._configs.queue,
            self._tokens.queue,
            self._pods.queue,
            self._mirror.queue,
        )
        while True:
            await leader.held.wait()
            self._add_all()
            try:
                async with asyncio.TaskGroup() as group:
                    for queue in queues:
                        group.create_task(queue.run())
                    group.create_task(_suspend(leader))
                    self._working = True
                    log.info("working", extra={"pods": len(self._shared.stores.virtual_pods)})
            except* _SuspendedError:
                log.warning("suspended")
            finally:
                self._working = False

    def _config_map_changed(self, change: Change) -> None:
        entry, anchor = change.new, (self._shared.config.anchor, self._shared.cluster.owner["uid"])
        if entry is not None and entry.name == anchor[0] and entry.uid != anchor[1]:
            self._anchor_replaced.set()

    async def _end_with_anchor(self) -> None:
        """All that we made so far goes with the old anchor; what comes needs the new one as owner."""
        await self._anchor_replaced.wait()
        raise RestartError(f"ConfigMap {self._shared.config.anchor} has been made anew")

    async def _patrol(self) -> None:
        while True:
            await asyncio.sleep(PATROL_SECONDS)
            self._add_all()

    def _add_all(self) -> None:
        self._nodes.add_all()
        self._configs.add_all()
        self._tokens.add_all()
        self._pods.add_all()


class _SuspendedError(Exception):
    """Ends the work of the queues until we may act again."""


async def _suspend(leader: Leader) -> None:
    await leader.lost.wait()
    raise _SuspendedError


def _cluster(config: Config, anchor: Object, api: tuple[str, int]) -> Cluster:
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
    )
