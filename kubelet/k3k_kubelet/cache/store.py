"""The local copy of a collection: objects as compact bytes, found by key, uid or an index.

A decoded pod takes five times the memory of its JSON and makes each full garbage collection slower: objects
are kept encoded and decoded when read: 0.1 ms each. A reader may change what it gets.

The JSON is deflated, with the store's first object as dictionary, because objects of one kind are much alike:
a pod of 2.5 KB takes 0.2 to 0.4 KB. Next to JSON itself that costs little: 10 us to write, 3 us to read.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import msgspec
import orjson
from msgspec import structs

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace (`""` for cluster-scoped objects) and name."""
IndexFunction = Callable[[Object], Iterable[str]]

_LEVEL, _WINDOW, _MEMORY = 1, -15, 5
"""Of zlib: the fastest compression, raw deflate with the largest window, little working memory."""
_MAX_DICTIONARY = 32768


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One object of the store.

    Attributes:
        key: Its namespace (`""` when cluster-scoped) and name.
        uid: Its uid.
        version: metadata.resourceVersion as a number: both etcd and kine count revisions of the whole store.
        values: For each index of the store, the values under which the object is found.
        packed: The object as deflated JSON, reduced by the store's `reduce`.
        dictionary: What it was deflated with.
    """

    key: Key
    uid: str
    version: int
    values: tuple[tuple[str, ...], ...]
    packed: bytes
    dictionary: bytes

    @property
    def namespace(self) -> str:
        """Its namespace, `""` when cluster-scoped."""
        return self.key[0]

    @property
    def name(self) -> str:
        """Its name."""
        return self.key[1]

    def object(self) -> Object:
        """A fresh copy of the object."""
        inflate = zlib.decompressobj(_WINDOW, self.dictionary)
        return cast(Object, orjson.loads(inflate.decompress(self.packed)))


class Change(NamedTuple):
    """A change of one key. `old` is None for a new object, `new` for a deleted one; never both."""

    old: Entry | None
    new: Entry | None

    @property
    def entry(self) -> Entry:
        """The newest there is."""
        entry = self.new or self.old
        assert entry is not None  # noqa: S101 - by construction
        return entry


Handler = Callable[[Change], None]


class Store:
    """Objects of one collection with indexes, and whom to tell of changes.

    Args:
        indexes: Name of an index -> function that gives an object's values in it.
        reduce: Drops what nobody needs, in place; managedFields are always dropped.
    """

    def __init__(
        self,
        indexes: Mapping[str, IndexFunction] | None = None,
        reduce: Callable[[Object], None] | None = None,
    ) -> None:
        self._indexes = dict(indexes or {})
        self._positions = {name: position for position, name in enumerate(self._indexes)}
        self._reduce = reduce
        self._dictionary = b""
        self._entries: dict[Key, Entry] = {}
        self._by_uid: dict[str, Key] = {}
        self._by_value: list[dict[str, Key | set[Key]]] = [{} for _ in self._indexes]
        self._handlers: list[Handler] = []
        self.seen_version = 0
        """The newest resourceVersion a watch or list has brought; see `observe`."""
        self.forgets = False
        """Whether `forget` is used here: what a list brings that came before is no news then."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def subscribe(self, handler: Handler) -> None:
        """Calls `handler` at every change from now on, within the event loop; it must not block."""
        self._handlers.append(handler)

    def get(self, namespace: str, name: str) -> Entry | None:
        """The object of that namespace and name."""
        return self._entries.get((namespace, name))

    def by_uid(self, uid: str) -> Entry | None:
        """The object with that uid."""
        key = self._by_uid.get(uid)
        return None if key is None else self._entries[key]

    def by_index(self, index: str, value: str) -> list[Entry]:
        """All objects that have `value` in the index of that name."""
        found = self._by_value[self._positions[index]].get(value, set())
        return [self._entries[key] for key in (found if isinstance(found, set) else (found,))]

    def values(self, index: str) -> set[str]:
        """All values that some object has in the index of that name."""
        return set(self._by_value[self._positions[index]])

    def values_of(self, index: str, entry: Entry) -> tuple[str, ...]:
        """The values under which an object is found in the index of that name."""
        return entry.values[self._positions[index]]

    def put(self, obj: Object) -> None:
        """Takes over an object that a list or watch brought, unless the store has a newer one."""
        entry = self._entry(obj)
        self.seen_version = max(self.seen_version, entry.version)
        self._put(entry)

    def observe(self, obj: Object) -> None:
        """Takes over the answer to a write of ours, so that what follows does not act on the state before it.

        Ignored when the watch is past that version: then the store has it already, or a later deletion of it.
        """
        if int(obj["metadata"]["resourceVersion"]) > self.seen_version:
            self._put(self._entry(obj))

    def remove(self, obj: Object) -> None:
        """Takes over a deletion that a watch brought; `obj` is the object's last state."""
        entry = self._entry(obj)
        self.seen_version = max(self.seen_version, entry.version)
        old = self._entries.get(entry.key)
        if old is not None and (old.uid == entry.uid or old.version <= entry.version):
            # What the deletion carries is the newest state there is: handlers get that one.
            self._set(entry)
            self._drop(entry)

    def forget(self, entry: Entry) -> None:
        """Keeps nothing of an object: what it says has been dealt with. Nobody is told.

        It comes back with its next change; the informer's lists do not bring it again without one.
        """
        self.forgets = True
        if self._entries.get(entry.key) is entry:
            self._unindex(entry)
            del self._entries[entry.key]

    def clear(self) -> None:
        """Forgets everything, without telling anybody: what is known is no longer kept current."""
        self._entries.clear()
        self._by_uid.clear()
        for table in self._by_value:
            table.clear()
        self.seen_version = 0

    def rewind(self) -> None:
        """Before a list that is older than what we know: the server lost its data, and the list is the truth.

        Versions of before say nothing any more; entries stay until the list's objects replace them.
        """
        self._entries = {key: structs.replace(entry, version=0) for key, entry in self._entries.items()}
        self.seen_version = 0

    def retain(self, keys: set[Key], version: int) -> None:
        """After a full list of `version`: removes what it lacks, but for writes of ours since then."""
        for entry in list(self._entries.values()):
            if entry.key not in keys and entry.version <= version:
                self._drop(entry)
        self.seen_version = max(self.seen_version, version)

    def _entry(self, obj: Object) -> Entry:
        metadata = obj["metadata"]
        metadata.pop("managedFields", None)
        values = tuple(tuple(function(obj)) for function in self._indexes.values())
        if self._reduce is not None:
            self._reduce(obj)
        version = int(metadata["resourceVersion"])
        key = (sys.intern(metadata.get("namespace", "")), metadata["name"])
        return Entry(key, metadata["uid"], version, values, self._packed(obj), self._dictionary)

    def _packed(self, obj: Object) -> bytes:
        raw = orjson.dumps(obj)
        if not self._dictionary:
            self._dictionary = raw[-_MAX_DICTIONARY:]
        deflate = zlib.compressobj(
            _LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, self._dictionary
        )
        return deflate.compress(raw) + deflate.flush()

    def _put(self, entry: Entry) -> None:
        old = self._entries.get(entry.key)
        if old is not None:
            if old.version >= entry.version:
                return
            if old.uid != entry.uid:
                self._drop(old)
                old = None
        self._set(entry)
        self._notify(Change(old, entry))

    def _set(self, entry: Entry) -> None:
        old = self._entries.get(entry.key)
        if old is not None:
            self._unindex(old)
        self._entries[entry.key] = entry
        self._by_uid[entry.uid] = entry.key
        for table, values in zip(self._by_value, entry.values, strict=True):
            for value in values:
                _add(table, value, entry.key)

    def _drop(self, entry: Entry) -> None:
        self._unindex(entry)
        del self._entries[entry.key]
        self._notify(Change(entry, None))

    def _unindex(self, entry: Entry) -> None:
        self._by_uid.pop(entry.uid, None)
        for table, values in zip(self._by_value, entry.values, strict=True):
            for value in values:
                _discard(table, value, entry.key)

    def _notify(self, change: Change) -> None:
        for handler in self._handlers:
            handler(change)


def _add(table: dict[str, Key | set[Key]], value: str, key: Key) -> None:
    """Most values lead to one object: a set for each of them would take more than the object."""
    found = table.setdefault(value, key)
    if isinstance(found, set):
        found.add(key)
    elif found != key:
        table[value] = {found, key}


def _discard(table: dict[str, Key | set[Key]], value: str, key: Key) -> None:
    found = table[value]
    if isinstance(found, set):
        found.discard(key)
    if not found or found == key:
        del table[value]
