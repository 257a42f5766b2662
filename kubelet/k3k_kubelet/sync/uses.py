"""What objects other than pods use of ConfigMaps and Secrets: an Ingress its certificates, say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from k3k_kubelet.api import Resource
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Store
from k3k_kubelet.sync.stores import Reference


class User(NamedTuple):
    """An object inside that has a copy on the host.

    Attributes:
        resource: Of its copy.
        namespace: Its namespace inside.
        name: Its name there.
    """

    resource: Resource
    namespace: str
    name: str


class Uses:
    """Who uses what. Copies of what is used are made and kept by `ConfigController`."""

    def __init__(self) -> None:
        self._awaited: set[Resource] = set()
        self._used: dict[User, frozenset[Reference]] = {}
        self._users: dict[Reference, set[User]] = {}
        self._sources: dict[Resource, tuple[Resource, Store]] = {}
        self._handlers: list[Callable[[Reference], None]] = []
        self._known: list[Callable[[], None]] = []

    def subscribe(self, handler: Callable[[Reference], None], known: Callable[[], None]) -> None:
        """Tells of changes from now on.

        Args:
            handler: Called with what is used, or no longer used.
            known: Called once `are_known` is so.
        """
        self._handlers.append(handler)
        self._known.append(known)

    def register(self, resource: Resource, source: Resource, store: Store, *, awaited: bool) -> None:
        """Says where users are found.

        Args:
            resource: Of their copies.
            source: Of them inside.
            store: Has them.
            awaited: Whether `settled` is to be called when it is known what they use.
        """
        self._sources[resource] = source, store
        if awaited:
            self._awaited.add(resource)

    @property
    def are_known(self) -> bool:
        """Whether all is known that is used; until then nothing is unused."""
        return not self._awaited

    def settled(self, resource: Resource) -> None:
        """What the users of a resource use is known by now."""
        if resource not in self._awaited:
            return
        self._awaited.remove(resource)
        if self.are_known:
            for handler in self._known:
                handler()

    def set(self, user: User, references: Iterable[Reference]) -> None:
        """Says all that an object uses; nothing when its copy is gone."""
        before, now = self._used.get(user, frozenset()), frozenset(references)
        if before == now:
            return
        for reference in before - now:
            self._users[reference].discard(user)
            if not self._users[reference]:
                del self._users[reference]
        for reference in now - before:
            self._users.setdefault(reference, set()).add(user)
        if now:
            self._used[user] = now
        else:
            del self._used[user]
        for reference in before ^ now:
            for handler in self._handlers:
                handler(reference)

    def used(self, reference: Reference) -> bool:
        """Whether anything uses it."""
        return reference in self._users

    def references(self) -> list[Reference]:
        """All that is used."""
        return list(self._users)

    def users(self, reference: Reference) -> Iterator[tuple[Resource, Object]]:
        """The objects that use it, with their resources."""
        for user in sorted(self._users.get(reference, ()), key=str):
            source, store = self._sources[user.resource]
            entry = store.get(user.namespace, user.name)
            if entry is not None:
                yield source, entry.object()
