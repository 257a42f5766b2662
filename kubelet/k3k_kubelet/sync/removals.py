"""Copies that we delete: gone from then on, also while the watch has not told of it."""

from __future__ import annotations

from k3k_kubelet.api import ApiClient, NotFoundError, Resource
from k3k_kubelet.cache import Change, Entry, Store


class Removals:
    """Deletes copies, and knows which of those in the stores are not to be counted on any more.

    A pod that needs such a copy would else begin without it.

    Args:
        host: Host API server.
        stores: What the host has, as far as the watches have told.
    """

    def __init__(self, host: ApiClient, *stores: Store) -> None:
        self._host = host
        self._uids: set[str] = set()
        for store in stores:
            store.subscribe(self._changed)

    def __contains__(self, copy: Entry) -> bool:
        return copy.uid in self._uids

    async def delete(self, resource: Resource, copy: Entry) -> bool:
        """Deletes a copy; returns whether it was there.

        Raises:
            ApiError: The host did not, or did not answer.
        """
        self._uids.add(copy.uid)
        is_gone = False
        try:
            answer = await self._host.delete(resource, copy.namespace, copy.name, uid=copy.uid)
            is_gone = answer.get("kind") == "Status"  # else it is the copy, which finalizers hold
        except NotFoundError:
            return False
        finally:
            if not is_gone:
                self._uids.discard(copy.uid)
        return True

    def _changed(self, change: Change) -> None:
        if change.new is None:
            self._uids.discard(change.entry.uid)
