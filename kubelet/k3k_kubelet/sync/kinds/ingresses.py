"""Ingresses: served by the host's controllers, their addresses shown inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from k3k_kubelet.api import INGRESSES
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache.store import IndexFunction
from k3k_kubelet.policy import Policy, ToHost
from k3k_kubelet.sync.kind import Kind
from k3k_kubelet.sync.kinds.backends import BACKEND, hints
from k3k_kubelet.translate import HostObject, ingress


def _backends(obj: Object) -> Iterable[str]:
    return {each.service for each in ingress.backends(obj)}


class Ingresses(Kind):
    """Ingresses. The Secrets that they name are on the host as long as they are."""

    resource = INGRESSES
    uses_config = True

    indexes: Mapping[str, IndexFunction] = {BACKEND: _backends}

    def setting(self, policy: Policy) -> ToHost:
        """The part of the policy about them."""
        return policy.sync.to_host.ingresses

    def to_host(self, obj: Object, host: Object | None) -> HostObject | None:  # noqa: ARG002
        """The copy as it should be."""
        made = ingress.to_host(obj, self.shared.cluster, self.shared.policy.current.sync.to_host.ingresses)
        dropped = hints(ingress.backends(obj), self.shared.stores.virtual_services)
        return dataclasses.replace(made, dropped=(*made.dropped, *dropped))

    async def up(self, obj: Object, host: Object) -> None:
        """Shows where the host's controller answers."""
        await self._show(obj, ingress.status(host))

    async def down(self, obj: Object) -> None:
        """Nobody answers any more."""
        await self._show(obj, ingress.status({}))

    async def _show(self, obj: Object, status: Object) -> None:
        if status == ingress.status(obj):
            return
        metadata = obj["metadata"]
        balancer = {"ingress": status["loadBalancer"].get("ingress")}
        body = {"metadata": {"uid": metadata["uid"]}, "status": {"loadBalancer": balancer}}
        written = await self.shared.virtual.patch(
            *(INGRESSES, metadata["namespace"], metadata["name"], body), subresource="status"
        )
        self.copies.virtual.observe(written)
