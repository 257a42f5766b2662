"""Services inside and their twins on the host, as tests make and see them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from k3k_kubelet.api import SERVICES, AlreadyExistsError, ApiError

from kubelet.tests.clusters import Clusters
from kubelet.tests.waiting import eventually
from kubelet.tests.world import World, in_world


async def asked(world: World) -> None:
    """Returns when the API server inside asks the kubelet, and takes what that says."""
    probe = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "probe"}}

    async def refused() -> bool:
        """Whether an address that nobody can have is refused by the host; without it, it is inside."""
        nowhere = {**probe, "spec": spec(clusterIP="192.0.2.1")}
        try:
            await world.virtual.create(SERVICES, world.namespace, nowhere)
        except ApiError as error:
            return "the host does not take it" in error.message
        raise AssertionError("a Service has an address outside of all ranges")

    async def takes_over() -> bool:
        made: dict[str, Any] | None = None
        try:
            made = await world.virtual.create(SERVICES, world.namespace, {**probe, "spec": spec()})
        except AlreadyExistsError:  # by a try whose answer was lost
            pass
        except ApiError:  # it learns of a range that the kubelet adds by a watch of its own; or is too busy
            return False
        twin = await world.host_get(SERVICES, "probe")
        await world.virtual.delete(SERVICES, world.namespace, "probe")
        return bool(made and twin and twin["spec"]["clusterIP"] == made["spec"]["clusterIP"])

    await eventually(refused)
    await eventually(takes_over)


def in_services(clusters: Clusters, test: Callable[[World], Awaitable[None]]) -> None:
    """Runs a test in a namespace of its own, in which Services have the host's addresses from the start."""

    async def once_asked(world: World) -> None:
        await asked(world)
        await test(world)

    in_world(clusters, once_asked)


def spec(**more: Any) -> dict[str, Any]:
    return {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}], **more}


async def service(world: World, name: str, **more: Any) -> dict[str, Any]:
    return await world.create(SERVICES, name, spec=spec(**more))


async def twin(world: World, name: str) -> dict[str, Any]:
    found = await world.host_get(SERVICES, name)
    assert found is not None, f"no twin of {name}"
    return found


async def gone(world: World, name: str) -> bool:
    return await world.host_get(SERVICES, name) is None


async def settled(world: World, name: str) -> dict[str, Any] | None:
    """The twin, once it says for which Service it is."""
    found, made = await world.host_get(SERVICES, name), await world.get(SERVICES, name)
    assert made is not None
    if found is None:  # that of an earlier Service of the name may have to go first
        return None
    is_its = found["metadata"]["annotations"]["k3k-pulumi.io/uid"] == made["metadata"]["uid"]
    return found if is_its else None
