"""Host Services that are made before their virtual Service exists, for it to take over what the host gave.

The admission of a Service (`sync.admission`) makes its twin on the host. Whether the virtual Service lands
after that, admission does not know: a quota inside, another webhook or a client that went away may end it. So
the twin carries a mark until its Service is seen: `sync.kinds.services` waits while it is there, and removes
twins whose Service never came.
"""

from __future__ import annotations

import logging

from k3k_kubelet.api import (
    SERVICES,
    AlreadyExistsError,
    ApiClient,
    ConflictError,
    InvalidError,
    NotFoundError,
    PatchType,
)
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Store
from k3k_kubelet.sync.apply import FIELD_MANAGER
from k3k_kubelet.sync.shared import NameTakenError
from k3k_kubelet.translate import Cluster, identity
from k3k_kubelet.translate.names import DOMAIN

log = logging.getLogger(__name__)

ADMITTED = f"{DOMAIN}/admitted"
"""Annotation of a twin whose virtual Service is about to be created or changed: the resourceVersion that this
had before, `""` for a new one, `AGAIN` for a new one in place of an earlier one of its name, a slash, and the
uid of the admission request."""
AGAIN = "0"
_TRIES = 4


class Twins:
    """Makes host Services, with a client that writes whoever holds the Lease: any replica answers admission.

    All it does is idempotent, and never touches what is not of this cluster.

    Args:
        host: The host's API server, without the check of the Lease.
        virtual: The virtual one.
        known: Metadata of all Services in the workloads' namespace.
        cluster: The cluster.
    """

    def __init__(self, host: ApiClient, virtual: ApiClient, known: Store, cluster: Cluster) -> None:
        self._host = host
        self._virtual = virtual
        self._known = known
        self._cluster = cluster

    async def make(self, service: Object, manifest: Object, version: str, request: str) -> Object:
        """The twin of a Service that is about to be created or changed, made or brought to what it will be.

        In the common case that is one request.

        Args:
            service: The Service as it will be.
            manifest: Its twin.
            version: Its resourceVersion before, `""` for a new one.
            request: Uid of the admission request.

        Returns:
            The twin as the host has it.

        Raises:
            AlreadyExistsError: A Service that exists is created again; nothing is changed.
            ApiError: The host refused it or did not answer.
            NameTakenError: A Service of somebody else has its name.
        """
        metadata = manifest["metadata"]
        known = self._known.get(self._cluster.namespace, metadata["name"])
        there = known.object()["metadata"] if known else None
        for attempt in range(1, _TRIES + 1):
            if there is not None:
                self._check_owner(service, there)
                if not version and await self._owner(service, there):
                    name = service["metadata"]["name"]
                    raise AlreadyExistsError(409, "AlreadyExists", f'services "{name}" already exists')
            uid = {"uid": there["uid"]} if there else {}
            before = version or (AGAIN if there else "")
            annotations = metadata["annotations"] | {ADMITTED: f"{before}/{request}"}
            try:
                return await self._apply(
                    {**manifest, "metadata": {**metadata, "annotations": annotations, **uid}}
                )
            except (ConflictError, NotFoundError):
                if attempt == _TRIES:
                    raise
            except InvalidError:
                # That of an earlier Service of this name has another address, which cannot be changed.
                if there is None or attempt == _TRIES or await self._owner(service, there):
                    raise
                await self._remove(there)
            there = await self._read(metadata["name"])
        raise AssertionError("unreachable")

    async def _apply(self, manifest: Object) -> Object:
        made = await self._host.patch(
            *(SERVICES, self._cluster.namespace, manifest["metadata"]["name"], manifest),
            kind=PatchType.APPLY,
            field_manager=FIELD_MANAGER,
        )
        self._known.observe({"metadata": dict(made["metadata"])})
        return made

    async def _owner(self, service: Object, there: Object) -> Object | None:
        """The Service inside that a twin is of, unless that ends or has no address any more."""
        uid, metadata = (there.get("annotations") or {}).get(identity.UID), service["metadata"]
        try:
            found = await self._virtual.get(SERVICES, metadata["namespace"], metadata["name"])
        except NotFoundError:
            return None
        ends = "deletionTimestamp" in found["metadata"] or found["spec"].get("type") == "ExternalName"
        return found if uid in ("", found["metadata"]["uid"]) and not ends else None

    async def _remove(self, there: Object) -> None:
        conditions = {"uid": there["uid"], "resource_version": there["resourceVersion"]}
        try:
            await self._host.delete(SERVICES, self._cluster.namespace, there["name"], **conditions)
        except (ConflictError, NotFoundError):
            return
        log.info("the twin of an earlier Service removed", extra={"host_name": there["name"]})

    async def _read(self, name: str) -> Object | None:
        try:
            found = await self._host.get(SERVICES, self._cluster.namespace, name, metadata_only=True)
        except NotFoundError:
            return None
        metadata: Object = found["metadata"]
        return metadata

    def _check_owner(self, service: Object, there: Object) -> None:
        owner, metadata = identity.owner_of({"metadata": there}), service["metadata"]
        wanted = (self._cluster.name, metadata["namespace"], metadata["name"])
        if owner is None or (owner.cluster, owner.namespace, owner.name) != wanted:
            raise NameTakenError(SERVICES.kind, there["name"], owner)
