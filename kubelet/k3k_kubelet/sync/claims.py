"""What pods need to know of the claims that they use, and of the claims' copies."""

from __future__ import annotations

from collections.abc import Iterable

from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Entry
from k3k_kubelet.sync.shared import Shared
from k3k_kubelet.translate import ObjectRef, identity
from k3k_kubelet.translate import pod as translate_pod


class Claims:
    """The claims of both sides as pods see them.

    Args:
        shared: The two clusters.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def names(self, obj: Object) -> dict[str, str]:
        """What the host's messages about an object call things -> what they are called inside.

        That are the claims that it uses, by whose uids volumes are called, and the pods that use it.
        """
        shared, metadata = self._shared, obj["metadata"]
        namespace, found = metadata["namespace"], {}
        for name in translate_pod.references(obj).claims:
            claim, copy = shared.stores.virtual_claims.get(namespace, name), self._copy(namespace, name)
            if claim is not None and copy is not None:
                found[copy.uid] = claim.uid
        for pod in shared.stores.virtual_pods.by_index("claims", f"{namespace}/{metadata['name']}"):
            found[shared.host_name(*pod.key)] = pod.name
        return found

    def missing(self, pod: Object, claims: Iterable[ObjectRef]) -> str:
        """Why a pod cannot have its copy yet, in the words of Kubernetes' scheduler; "" if it can.

        Args:
            pod: The pod.
            claims: Those that it uses, ephemeral ones included.
        """
        own = {
            f"{pod['metadata']['name']}-{volume['name']}"
            for volume in pod["spec"].get("volumes") or ()
            if volume.get("ephemeral")
        }
        reasons = (self._missing(pod, claim, claim.name in own) for claim in sorted(claims))
        return next(filter(None, reasons), "")

    def _missing(self, pod: Object, reference: ObjectRef, ephemeral: bool) -> str:
        named = f'persistentvolumeclaim "{reference.name}"'
        entry = self._shared.stores.virtual_claims.get(reference.namespace, reference.name)
        if entry is None:
            return f"{named} not found"
        claim = entry.object()
        if claim["metadata"].get("deletionTimestamp"):
            return f"{named} is being deleted"
        if ephemeral and not _made_for(claim, pod):
            return f"{named} was not created for this pod: the pod is not its controller"
        if (claim.get("status") or {}).get("phase") == "Lost":
            return f"{named} has lost its volume"
        copy = self._copy(reference.namespace, reference.name)
        if copy is None:
            return f"{named} is not on the host: see its events"
        host = copy.object()
        owner = identity.owner_of(host)
        if owner is None or owner.uid != entry.uid or host["metadata"].get("deletionTimestamp"):
            return f"{named} waits for the end of one of that name that was deleted"
        return ""

    def _copy(self, namespace: str, name: str) -> Entry | None:
        """The host's claim of that name, whichever incarnation; None if its annotations say otherwise."""
        stores = self._shared.stores
        entry = stores.host_claims.get(
            self._shared.cluster.namespace, self._shared.host_name(namespace, name)
        )
        return entry if entry is not None and stores.owner(entry) == (namespace, name) else None


def _made_for(claim: Object, pod: Object) -> bool:
    owners = claim["metadata"].get("ownerReferences") or ()
    return any(each.get("controller") and each.get("uid") == pod["metadata"]["uid"] for each in owners)
