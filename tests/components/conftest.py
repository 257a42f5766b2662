"""Component tests run in both modes of a program: what a preview shows, and what a deployment does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from k3k_pulumi import VirtualCluster
from tests.components.host import Deployment, run

Deploy = Callable[..., Deployment]
SOURCES = {"source_cidrs": ["192.0.2.0/24"]}


@pytest.fixture(autouse=True)
def event_loop_of_the_thread() -> Iterator[None]:
    """Pulumi takes the thread's event loop, which asyncio.run() of another test leaves without one."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture(params=[True, False], ids=["preview", "up"])
def preview(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def deploy(preview: bool) -> Deploy:
    """Runs a program of one VirtualCluster `c` with the given arguments."""

    def deploy(
        stashes: dict[str, Any] | None = None,
        namespaces: dict[str, Any] | None = None,
        secrets: dict[str, Any] | None = None,
        **args: Any,
    ) -> Deployment:
        def program() -> dict[str, Any]:
            cluster = VirtualCluster("c", {"namespace": "team", "distribution": "kubernetes", **args})
            return {
                "kubeconfig": cluster.kubeconfig,
                "endpoint": cluster.endpoint,
                "namespace": cluster.namespace,
                "ca_certificate_pem": cluster.ca_certificate_pem,
            }

        return run(program, preview=preview, stashes=stashes, namespaces=namespaces, secrets=secrets)

    return deploy
