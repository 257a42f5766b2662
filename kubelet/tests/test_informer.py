"""Stores and informers, the latter against a real kube-apiserver that is cut off, compacted and restarted."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from k3k_kubelet.api import CONFIG_MAPS, ApiClient
from k3k_kubelet.cache import Change, Informer, Store
from k3k_kubelet.cache.store import OddObjectError

from kubelet.tests.controlplane import ADDRESS, ControlPlane
from kubelet.tests.waiting import SECONDS, eventually


def config_map(name: str, version: int = 0, uid: str = "", **labels: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "default", "labels": labels}
    if version:
        metadata |= {"resourceVersion": str(version), "uid": uid or f"uid-{name}"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"v": str(version)}}


def labelled(obj: dict[str, Any]) -> list[str]:
    return list(obj["metadata"].get("labels") or {})


def test_indexes_follow_changes_and_deletions() -> None:
    store = Store({"label": labelled})
    store.put(config_map("a", 1, red="", green=""))
    store.put(config_map("b", 2, green=""))
    assert {entry.name for entry in store.by_index("label", "green")} == {"a", "b"}
    store.put(config_map("a", 3, blue=""))
    assert [entry.name for entry in store.by_index("label", "green")] == ["b"]
    assert store.values("label") == {"green", "blue"}
    store.remove(config_map("b", 4, green=""))
    assert store.values("label") == {"blue"}
    assert store.get("default", "b") is None
    found = store.by_uid("uid-a")
    assert found is not None
    assert found.object()["data"] == {"v": "3"}


def test_a_value_leads_to_all_its_objects_however_many_come_and_go() -> None:
    store = Store({"label": labelled})
    for version, name in enumerate("abca", start=1):
        store.put(config_map(name, version, red=""))
    assert {entry.name for entry in store.by_index("label", "red")} == {"a", "b", "c"}
    for version, name in enumerate("cb", start=5):
        store.remove(config_map(name, version, red=""))
    assert [entry.name for entry in store.by_index("label", "red")] == ["a"]
    store.put(config_map("a", 7))
    assert store.by_index("label", "red") == []
    assert store.values("label") == set()


def test_an_older_state_never_overwrites_a_newer_one() -> None:
    store = Store()
    changes: list[Change] = []
    store.subscribe(changes.append)
    store.observe(config_map("a", 5))
    store.put(config_map("a", 4))
    found = store.get("default", "a")
    assert found is not None
    assert found.version == 5
    assert len(changes) == 1


def test_objects_are_given_back_as_they_came_whatever_the_first_one_was() -> None:
    store = Store()
    large = config_map("large", 1) | {"data": {"v": "x" * 100_000}}
    objects = [large, config_map("a", 2), config_map("b", 3, label="ü")]
    for obj in objects:
        store.put(obj)
    assert [entry.object() for entry in store] == objects
    assert [json.loads(entry.json()) for entry in store] == objects


def test_of_a_forgotten_object_nothing_is_kept() -> None:
    store = Store({"label": labelled})
    changes: list[Change] = []
    store.put(config_map("a", 1, red=""))
    store.subscribe(changes.append)
    (first,) = store
    store.forget(first)
    assert (len(store), store.by_uid("uid-a"), store.values("label")) == (0, None, set())
    assert not changes
    store.put(config_map("a", 2))
    store.forget(first)  # what it said then has been dealt with, not what it says now
    changed = store.by_uid("uid-a")
    assert changed is not None
    assert changed.object()["data"] == {"v": "2"}
    assert len(changes) == 1
    store.forget(changed)
    store.remove(config_map("a", 3))
    assert len(changes) == 1


def test_an_answer_that_the_watch_has_passed_does_not_bring_a_deleted_object_back() -> None:
    store = Store()
    store.put(config_map("a", 4))
    store.remove(config_map("a", 6))
    store.observe(config_map("a", 5))
    assert len(store) == 0


def test_a_list_keeps_what_we_wrote_after_it() -> None:
    store = Store()
    store.put(config_map("old", 4))
    store.observe(config_map("new", 9))
    store.retain(set(), 7)
    assert [entry.name for entry in store] == ["new"]


def test_a_recreated_object_is_a_deletion_and_a_creation() -> None:
    store = Store()
    changes: list[Change] = []
    store.put(config_map("a", 1, "first"))
    store.subscribe(changes.append)
    store.put(config_map("a", 3, "second"))
    assert [(c.old and c.old.uid, c.new and c.new.uid) for c in changes] == [
        ("first", None),
        (None, "second"),
    ]
    assert store.by_uid("first") is None


def test_a_deletion_brings_the_last_state() -> None:
    store = Store()
    changes: list[Change] = []
    store.put(config_map("a", 1))
    store.subscribe(changes.append)
    store.remove(config_map("a", 7))
    assert changes[0].new is None
    assert changes[0].entry.object()["data"] == {"v": "7"}


def test_a_server_that_lost_its_data_is_believed() -> None:
    store = Store()
    for name in ("same", "gone"):
        store.put(config_map(name, 50, f"old-{name}"))
    store.rewind()
    store.put(config_map("same", 3, "new-same"))
    store.put(config_map("new", 4))
    store.retain({("default", "same"), ("default", "new")}, 5)
    assert sorted((entry.name, entry.uid) for entry in store) == [("new", "uid-new"), ("same", "new-same")]
    assert store.seen_version == 5


@pytest.mark.parametrize(
    "odd",
    [
        {"metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "labels": 5}},
        {"metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "finalizers": {"b": 1}}},
        {"metadata": {"name": ["a"], "uid": "u", "resourceVersion": "7"}},
        {"metadata": {"name": "a", "uid": "u", "resourceVersion": "-7"}},
        {"metadata": {"name": "a", "resourceVersion": "7"}},
        {"metadata": {"name": "a", "uid": "u", "resourceVersion": "7"}, "spec": "s"},
        {"metadata": None},
        ["a"],
        None,
    ],
)
def test_what_is_like_no_object_changes_nothing(odd: Any) -> None:
    store = Store({"label": labelled})
    store.put(config_map("a", 5, red=""))
    for take in (store.put, store.observe, store.remove):
        with pytest.raises(OddObjectError):
            take(odd)
    assert [entry.version for entry in store.by_index("label", "red")] == [5]


def test_what_is_like_none_of_its_kind_counts_as_absent() -> None:
    def first(obj: dict[str, Any]) -> list[str]:
        return [obj["data"]["v"]]

    store = Store({"first": first})
    changes: list[Change] = []
    store.subscribe(changes.append)
    store.put(config_map("a", 5))
    for version, data in ((6, 7), (7, {"v": ["x"]})):
        store.put(config_map("a", version) | {"data": data})
        assert store.has(("default", "a"), version)
    assert not store.has(("default", "a"), 8)
    assert (len(store), store.values("first")) == (0, set())
    assert [change.new is None for change in changes] == [False, True]
    store.remove(config_map("a", 8) | {"data": None})
    assert not store.has(("default", "a"), 7)
    store.put(config_map("a", 9))
    assert store.values("first") == {"9"}


def test_a_handler_that_fails_keeps_no_other_from_what_changes() -> None:
    def fails(change: Change) -> None:
        raise KeyError(change.entry.name)

    store = Store()
    changes: list[Change] = []
    store.subscribe(fails)
    store.subscribe(changes.append)
    store.put(config_map("a", 5))
    assert len(changes) == 1


def with_informer(
    plane: ControlPlane, test: Callable[[ApiClient, Informer], Awaitable[None]], **options: Any
) -> None:
    async def run() -> None:
        client = plane.client()
        informer = Informer(client, CONFIG_MAPS, Store(), namespace="default", **options)
        task = asyncio.create_task(informer.run())
        try:
            await asyncio.wait_for(informer.synced.wait(), SECONDS)
            await test(client, informer)
        finally:
            task.cancel()
            await client.close()

    asyncio.run(run())


def test_the_store_follows_the_server(control_plane: ControlPlane) -> None:
    async def test(client: ApiClient, informer: Informer) -> None:
        store = informer.store
        made = await client.create(CONFIG_MAPS, "default", config_map("follow", yes=""))
        await eventually(lambda: store.get("default", "follow"))
        await client.create(CONFIG_MAPS, "default", config_map("follow-not"))
        await client.patch(CONFIG_MAPS, "default", "follow", {"data": {"v": "new"}})
        await eventually(lambda: (e := store.get("default", "follow")) and e.object()["data"]["v"] == "new")
        assert store.get("default", "follow-not") is None
        entry = store.get("default", "follow")
        assert entry is not None
        assert "managedFields" not in entry.object()["metadata"]
        assert entry.uid == made["metadata"]["uid"]
        # Losing the label is a deletion for whom watches it.
        await client.patch(CONFIG_MAPS, "default", "follow", {"metadata": {"labels": {"yes": None}}})
        await eventually(lambda: store.get("default", "follow") is None)

    with_informer(control_plane, test, label_selector="yes")


def test_what_happened_while_the_server_was_away_is_made_up_for(own_control_plane: ControlPlane) -> None:
    """The watch is lost, its place is compacted away: 410, a new list, and a deletion nobody told of."""

    async def test(client: ApiClient, informer: Informer) -> None:
        plane, store = own_control_plane, informer.store
        for name in ("stays", "told", "goes"):
            await client.create(CONFIG_MAPS, "default", config_map(name))
        await eventually(lambda: store.get("default", "goes"))
        told = store.get("default", "told")
        assert told is not None
        store.forget(told)
        deleted: list[str] = []
        store.subscribe(lambda change: deleted.append(change.entry.name) if change.new is None else None)
        plane.stop("kube-apiserver")
        etcd = f"http://{ADDRESS}:{plane.etcd_port}"
        key = "/registry/configmaps/default/goes"
        post(f"{etcd}/v3/kv/deleterange", {"key": encode(key)})
        revision = post(f"{etcd}/v3/kv/range", {"key": encode(key)})["header"]["revision"]
        post(f"{etcd}/v3/kv/compaction", {"revision": revision, "physical": True})
        await asyncio.to_thread(plane.start_api_server)
        await eventually(lambda: deleted == ["goes"])
        assert store.get("default", "stays") is not None
        assert store.get("default", "told") is None, "what was dealt with is no news"
        await client.create(CONFIG_MAPS, "default", config_map("after"))
        await eventually(lambda: store.get("default", "after"))
        await client.patch(CONFIG_MAPS, "default", "told", {"data": {"v": "new"}})
        await eventually(lambda: store.get("default", "told"))

    with_informer(own_control_plane, test)


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def post(url: str, body: dict[str, Any]) -> Any:
    with urllib.request.urlopen(url, data=json.dumps(body).encode(), timeout=SECONDS) as answer:
        return json.load(answer)


def test_metadata_alone_is_kept_and_watched(control_plane: ControlPlane) -> None:
    async def test(client: ApiClient, informer: Informer) -> None:
        await client.create(CONFIG_MAPS, "default", config_map("bare"))
        entry = await eventually(lambda: informer.store.get("default", "bare"))
        assert "data" not in entry.object()

    with_informer(control_plane, test, metadata_only=True)


def test_a_server_that_comes_back_empty_is_followed_at_once(own_control_plane: ControlPlane) -> None:
    async def test(client: ApiClient, informer: Informer) -> None:
        plane, store = own_control_plane, informer.store
        for number in range(300):  # far ahead of the empty server
            await client.create(CONFIG_MAPS, "default", config_map(f"lost-{number}"))
        await eventually(lambda: store.get("default", "lost-299"))
        plane.stop("kube-apiserver", "etcd")
        shutil.rmtree(plane.directory / "etcd")
        await asyncio.to_thread(plane.start_etcd)
        await asyncio.to_thread(plane.start_api_server)
        await eventually(lambda: store.get("default", "lost-0") is None)
        await client.create(CONFIG_MAPS, "default", config_map("fresh"))
        await eventually(lambda: store.get("default", "fresh"))

    with_informer(own_control_plane, test)
