"""What Ingresses and routes say inside of the host is taken back, however late the watch tells of it."""

from __future__ import annotations

import asyncio
import itertools
import json
from types import SimpleNamespace
from typing import Any

import pytest
from k3k_kubelet import policy
from k3k_kubelet.api import Resource
from k3k_kubelet.cache import Store
from k3k_kubelet.sync.kind import Kind
from k3k_kubelet.sync.kinds.http_routes import HttpRoutes
from k3k_kubelet.sync.kinds.ingresses import Ingresses

Object = dict[str, Any]

GATEWAY = {"namespace": "infra", "name": "public", "hostNamespace": "gateways", "hostName": "shared"}
ROUTES = {"enabled": True, "hosts": ["app.example.com"], "gateways": [GATEWAY]}
POLICY = {"apiVersion": "k3k-pulumi.io/v1", "sync": {"toHost": {"httpRoutes": ROUTES}}}


@pytest.mark.parametrize(
    ("kind", "spec", "said", "nothing"),
    [
        (
            Ingresses,
            {},
            {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
            {"loadBalancer": {"ingress": None}},
        ),
        (
            HttpRoutes,
            {"parentRefs": [{"namespace": "infra", "name": "public"}]},
            {"parents": [{"parentRef": {"namespace": "gateways", "name": "shared"}, "controllerName": "c"}]},
            {"parents": []},
        ),
    ],
)
def test_what_was_shown_a_moment_ago_is_taken_back(
    kind: type[Kind], spec: Object, said: Object, nothing: Object
) -> None:
    versions = itertools.count(1)
    written: list[Object] = []

    def front(status: Object) -> Object:
        metadata = {"name": "front", "namespace": "shop", "uid": "u", "resourceVersion": str(next(versions))}
        return {"metadata": metadata, "spec": spec, "status": status}

    async def patch(_: Resource, __: str, ___: str, body: Object, *, subresource: str) -> Object:
        assert subresource == "status"
        written.append(body["status"])
        return front(body["status"])

    shared: Any = SimpleNamespace(
        virtual=SimpleNamespace(patch=patch), policy=SimpleNamespace(current=policy.load(json.dumps(POLICY)))
    )

    async def test() -> None:
        store, shows = Store(), kind(shared)
        shows.copies = SimpleNamespace(virtual=store)  # type: ignore[assignment]

        def known() -> Object:
            (entry,) = store
            return entry.object()

        store.put(front({}))
        await shows.up(known(), front(said))
        assert len(written) == 1
        await shows.down(known())
        assert written[1:] == [nothing]

    asyncio.run(test())
