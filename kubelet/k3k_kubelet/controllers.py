"""What one replica alone does, the holder of the Lease: everything that changes one of the two clusters."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from k3k_kubelet.api import ApiClient, ApiError
from k3k_kubelet.extension import Dns, Registration, Webhook
from k3k_kubelet.leader import Leader
from k3k_kubelet.node import NodeManager
from k3k_kubelet.node.heartbeat import Heartbeats
from k3k_kubelet.node.hosts import HostNodes
from k3k_kubelet.sync.addresses import Addresses
from k3k_kubelet.sync.cidrs import ServiceCidrs
from k3k_kubelet.sync.claims import Claims
from k3k_kubelet.sync.classes import KINDS, Classes
from k3k_kubelet.sync.config import ConfigController
from k3k_kubelet.sync.copies import Copies
from k3k_kubelet.sync.isolation import Isolation
from k3k_kubelet.sync.kinds.backends import Backends
from k3k_kubelet.sync.kinds.claims import ClaimKind
from k3k_kubelet.sync.kinds.disruption_budgets import DisruptionBudgets
from k3k_kubelet.sync.kinds.endpoint_slices import EndpointSlices
from k3k_kubelet.sync.kinds.entrances import Entrances
from k3k_kubelet.sync.kinds.exposures import Exposures
from k3k_kubelet.sync.kinds.http_routes import HttpRoutes
from k3k_kubelet.sync.kinds.ingresses import Ingresses
from k3k_kubelet.sync.kinds.network_policies import NetworkPolicies
from k3k_kubelet.sync.kinds.services import Services
from k3k_kubelet.sync.mirror import EventMirror, Sides
from k3k_kubelet.sync.pods import PodController
from k3k_kubelet.sync.shared import Shared
from k3k_kubelet.sync.tokens import TokenController
from k3k_kubelet.sync.volumes import VolumeController

log = logging.getLogger(__name__)

PATROL_SECONDS = 60.0
"""How often both sides are compared as a whole, and what we know of them with what they say, whatever the
watches told."""


class Controller(Protocol):
    """Keeps one kind of thing in step."""

    def add_all(self) -> None:
        """Looks at everything there is: at the start, and on patrol."""

    async def run(self) -> None:
        """Works until cancelled; begun again when that was for the Lease's sake."""


class Controllers:
    """The controllers of one cluster. They listen to the stores from the moment they are made.

    Args:
        shared: The two clusters; their stores have synced.
        heartbeats: A client of the virtual API server for heartbeats alone.
        cidrs: The ranges of the virtual API server's Services.
        address: ClusterIP of the kubelet's Service, the virtual Nodes' address.
    """

    def __init__(self, shared: Shared, heartbeats: ApiClient, cidrs: ServiceCidrs, address: str) -> None:
        self._shared = shared
        self._heartbeats = Heartbeats(heartbeats)
        stores = shared.stores
        hosts = HostNodes(
            shared.config,
            lambda: shared.policy.current.pods,
            pods=stores.host_pods,
            nodes=stores.host_nodes,
            quotas=stores.host_quotas,
        )
        self._nodes = NodeManager(
            shared.config,
            shared.host,
            shared.virtual,
            self._heartbeats,
            stores.virtual_nodes,
            stores.virtual_pods,
            address,
            hosts,
        )
        configs = ConfigController(shared)
        tokens = TokenController(shared)
        policies = NetworkPolicies(shared)
        network_policies = Copies(shared, policies, copies=stores.host_policies)
        isolation = Isolation(shared, policies)
        pods = PodController(shared, self._nodes, configs, tokens, isolation)
        config = shared.config
        services = Copies(shared, Services(shared), stores.virtual_services)
        ingresses, routes = Copies(shared, Ingresses(shared)), Copies(shared, HttpRoutes(shared))
        exposures = Copies(shared, Exposures(shared), stores.virtual_services, stores.host_policies)
        backends = Copies(
            shared, Backends(shared, ingresses, routes), stores.virtual_services, stores.host_policies
        )
        entrances = Entrances(shared, policies, (exposures, backends))
        self._followed: tuple[Copies | Classes, ...] = (
            Copies(shared, ClaimKind(shared), stores.virtual_claims, stores.host_claims),
            services,
            exposures,
            Copies(shared, EndpointSlices(shared)),
            Copies(shared, DisruptionBudgets(shared)),
            network_policies,
            ingresses,
            routes,
            backends,
            Copies(shared, entrances, entrances.pairs, stores.host_policies),
            *(Classes(shared, kind) for kind in KINDS),
        )
        told = {
            "Pod": Sides(stores.host_pods, stores.virtual_pods),
            "PersistentVolumeClaim": Sides(stores.host_claims, stores.virtual_claims),
            "Service": Sides(services.host, stores.virtual_services),
            "Ingress": Sides(ingresses.host, ingresses.virtual),
        }
        serving_ca = config.paths.tls / "kubelet-serving-ca.crt"
        called_at = config.extension_address or address, config.extension_port, serving_ca
        self._all: tuple[Controller, ...] = (
            self._nodes,
            configs,
            tokens,
            pods,
            *self._followed,
            VolumeController(shared),
            EventMirror(shared, told, Claims(shared).names),
            Dns(shared.virtual, shared.cluster.dns_host, stores.virtual_services),
            Registration(shared.virtual, address, config.extension_port, serving_ca),
            Webhook(
                shared.virtual, *called_at, wanted=lambda: shared.policy.current.sync.to_host.services.enabled
            ),
            Addresses(shared, cidrs, (shared.cluster.api_host, address)),
        )
        self.working = False

    async def run(self, leader: Leader) -> None:
        """Works while we hold the Lease, until cancelled.

        Nodes are kept alive in between too: that the host's API server is away is no reason to let the
        virtual cluster evict its pods.
        """
        self._nodes.start()
        try:
            while True:
                await leader.held.wait()
                try:
                    await self._work(leader)
                except* _SuspendedError:
                    log.warning("suspended")
                finally:
                    self.working = False
        finally:
            await self._heartbeats.close()

    async def _work(self, leader: Leader) -> None:
        self._add_all()
        async with asyncio.TaskGroup() as group:
            for controller in self._all:
                group.create_task(controller.run())
            group.create_task(self._shared.events.run())
            group.create_task(self._shared.policy.run(self._add_all))
            group.create_task(self._patrol())
            group.create_task(_suspend(leader))
            self.working = True
            log.info("working", extra={"pods": len(self._shared.stores.virtual_pods)})

    async def _patrol(self) -> None:
        while True:
            await asyncio.sleep(PATROL_SECONDS)
            self._add_all()
            followed = (informer for each in self._followed for informer in each.informers)
            for informer in (*self._shared.stores.informers, *followed):
                try:
                    await informer.verify()
                except ApiError as error:
                    fields = {"resource": informer.resource.plural, "error": str(error)}
                    log.info("not verified", extra=fields)

    def _add_all(self) -> None:
        for controller in self._all:
            try:
                controller.add_all()
            except Exception:  # of what one object says, which is no reason to look at no other kind
                log.exception("not all is looked at", extra={"controller": type(controller).__name__})


class _SuspendedError(Exception):
    """Ends the work until we may act again."""


async def _suspend(leader: Leader) -> None:
    await leader.lost.wait()
    raise _SuspendedError
