"""The local copy of a collection: objects as compact bytes, found by key, uid or an index.

A decoded pod takes five times the memory of its JSON and makes each full garbage collection slower: objects
are kept encoded and decoded when read: 0.1 ms each. A reader may change what it gets.

The JSON is deflated, with the store's first object as dictionary, because objects of one kind are much alike:
a pod of 2.5 KB takes 0.2 to 0.4 KB. Next to JSON itself that costs little: 10 us to write, 3 us to read.
"""

from __future__ import annotations

import logging
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple, cast

import msgspec
import orjson
from msgspec import structs

log = logging.getLogger(__name__)

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace (`""` for cluster-scoped objects) and name."""
IndexFunction = Callable[[Object], Iterable[str]]
NAMESPACE = "namespace"
"""Usual name of the index `by_namespace`."""


def by_namespace(obj: Object) -> Iterable[str]:
    """An index function: the namespace of an object that is in one."""
    return (sys.intern(obj["metadata"]["namespace"]),)


_LEVEL, _WINDOW, _MEMORY = 1, -15, 5
"""Of zlib: the fastest compression, raw deflate with the largest window, little working memory."""
_MAX_DICTIONARY = 32768


class _Metadata(msgspec.Struct, gc=False):
    name: str
    uid: str
    version: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,19}$")] = msgspec.field(name="resourceVersion")
    namespace: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    finalizers: list[str] | None = None
    owners: list[dict[str, Any]] | None = msgspec.field(name="ownerReferences", default=None)


class _Shape(msgspec.Struct, gc=False):
    """What every object is like, whatever its kind."""

    metadata: _Metadata
    spec: dict[str, Any] | None = None
    status: dict[str, Any] | None = None


class OddObjectError(ValueError):
    """What should be an object is like none of Kubernetes'."""


def key_of(obj: Any) -> tuple[Key, int]:
    """The key of an object that a server has sent, and its version.

    An API server may say anything in place of what it should: a tenant can put one of his own before a group
    of the virtual one (an APIService).

    Raises:
        OddObjectError: It is none.
    """
    try:
        metadata = msgspec.convert(obj, _Shape).metadata
    except msgspec.ValidationError as error:
        raise OddObjectError(str(error)) from None
    return (sys.intern(metadata.namespace), metadata.name), int(metadata.version)


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
        return cast(Object, orjson.loads(self.json()))

    def json(self) -> bytes:
        """The object as JSON, for who passes it on: that is a tenth of the work."""
        return zlib.decompressobj(_WINDOW, self.dictionary).decompress(self.packed)


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
        self._odd: dict[Key, int] = {}
        """Objects that are like none of their kind, and at which version."""
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
        """Takes over an object that a list or watch brought, unless the store has a newer one.

        One that is like none of its kind counts as not being there.

        Raises:
            OddObjectError: It is like no object at all.
        """
        key, version = key_of(obj)
        self.seen_version = max(self.seen_version, version)
        entry = self._entry(key, version, obj)
        if entry is not None:
            self._odd.pop(key, None)
            self._put(entry)
            return
        self._odd[key] = version
        if (old := self._entries.get(key)) is not None and old.version < version:
            self._drop(old)

    def has(self, key: Key, version: int) -> bool:
        """Whether an object is known as it was at that version, or as it has been since."""
        entry = self._entries.get(key)
        return max(entry.version if entry else -1, self._odd.get(key, -1)) >= version

    def observe(self, obj: Object) -> None:
        """Takes over the answer to a write of ours, so that what follows does not act on the state before it.

        Ignored when the watch is past that version: then the store has it already, or a later deletion of it.
        """
        key, version = key_of(obj)
        if version > self.seen_version and (entry := self._entry(key, version, obj)) is not None:
            self._put(entry)

    def remove(self, obj: Object) -> None:
        """Takes over a deletion that a watch brought; `obj` is the object's last state.

        Raises:
            OddObjectError: It is like no object at all.
        """
        key, version = key_of(obj)
        self.seen_version = max(self.seen_version, version)
        self._odd.pop(key, None)
        old, uid = self._entries.get(key), obj["metadata"]["uid"]
        if old is not None and (old.uid == uid or old.version <= version):
            # What the deletion carries is the newest state there is: handlers get that one.
            if (entry := self._entry(key, version, obj)) is not None:
                self._set(entry)
            self._drop(entry or old)

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
        self._odd.clear()
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
        self._odd = {key: at for key, at in self._odd.items() if key in keys}
        self.seen_version = max(self.seen_version, version)

    def _entry(self, key: Key, version: int, obj: Object) -> Entry | None:
        """None for an object whose fields are not of the types that its kind has."""
        metadata = obj["metadata"]
        metadata.pop("managedFields", None)
        try:
            values = tuple(_texts(function(obj)) for function in self._indexes.values())
            if self._reduce is not None:
                self._reduce(obj)
            packed = self._packed(obj)
        except Exception as error:
            fields = {"object": "/".join(key), "error": type(error).__name__}
            log.warning("an object is like none of its kind, and left out", extra=fields)
            return None
        return Entry(key, metadata["uid"], version, values, packed, self._dictionary)

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
            try:
                handler(change)
            except Exception:  # what an object says must not keep the others from being known
                log.exception("a change is not followed", extra={"object": "/".join(change.entry.key)})


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    found = tuple(values)
    if not all(isinstance(each, str) for each in found):
        raise TypeError("a value of an index is no text")
    return found


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
