"""What all controllers work with."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from k3k_kubelet.api import CONFIG_MAPS, ApiClient, ApiError, ForbiddenError
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Entry
from k3k_kubelet.config import Config
from k3k_kubelet.events import EventRecorder
from k3k_kubelet.sync.policy import PolicyFile
from k3k_kubelet.sync.stores import Stores
from k3k_kubelet.sync.uses import Uses
from k3k_kubelet.translate import Cluster, Identity, names
from k3k_kubelet.translate.rewrite import rewriter

log = logging.getLogger(__name__)


class NameTakenError(Exception):
    """A host object has the name we need but stands for somebody else; it is never touched."""

    def __init__(self, kind: str, name: str, owner: Identity | None) -> None:
        self.owner = owner
        self.kind = kind
        whose = f"{owner.cluster}: {owner.namespace}/{owner.name}" if owner else "nobody we know"
        super().__init__(f"{kind} {name} on the host belongs to {whose}")


class AnchorGoneError(Exception):
    """The owner of all we make is gone: the cluster is being removed, and what is new would go at once."""


EXPECTED = (ApiError, NameTakenError, AnchorGoneError)
"""Failures that the world is to blame for, not the kubelet."""


@dataclass(frozen=True, slots=True)
class Shared:
    """The two API servers, what is known of them, and what the cluster is.

    Attributes:
        config: The kubelet's configuration.
        cluster: The cluster, as translation needs it.
        host: Host API server.
        virtual: Virtual API server.
        stores: What both have.
        policy: The tenant's policy.
        events: For reports on virtual objects.
        root_ca: CA certificate of the virtual API server, PEM.
        uses: What objects other than pods use.
    """

    config: Config
    cluster: Cluster
    host: ApiClient
    virtual: ApiClient
    stores: Stores
    policy: PolicyFile
    events: EventRecorder
    root_ca: str
    uses: Uses = field(default_factory=Uses)

    def host_name(self, namespace: str, name: str) -> str:
        """Name on the host of a virtual object."""
        return names.host_name(self.cluster.name, namespace, name)

    def said_inside(self, obj: Object, error: Exception) -> str:
        """What the tenant may read of a failure on the host: his own names, nobody else's."""
        if isinstance(error, ForbiddenError) and error.is_about_rights:
            log.warning("a right is missing", extra={"error": str(error)})
            return "the virtual kubelet has no right on the host to do this"
        if isinstance(error, ApiError):
            return rewriter(obj, self.cluster.name, self.cluster.namespace, "")(error.message)
        if isinstance(error, NameTakenError):
            return (
                f"a {error.kind} of somebody else has the name on the host that this needs; it is left alone"
            )
        return str(error)

    def check_anchor(self) -> None:
        """Call it before anything is made on the host.

        Raises:
            AnchorGoneError: The owner of it would not be there.
        """
        anchor = self.stores.host_config[CONFIG_MAPS.plural].get(self.cluster.namespace, self.config.anchor)
        if anchor is None or anchor.uid != self.cluster.owner["uid"]:
            raise AnchorGoneError(
                f"ConfigMap {self.config.anchor} of namespace {self.cluster.namespace} is gone"
            )

    def host_pod(self, namespace: str, name: str) -> Entry | None:
        """The host pod of that virtual name, whichever incarnation; None if its annotations say otherwise."""
        entry = self.stores.host_pods.get(self.cluster.namespace, self.host_name(namespace, name))
        if entry is None or self.stores.owner(entry) != (namespace, name):
            return None
        return entry
