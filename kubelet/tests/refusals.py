"""Refusals of the host's own admission."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from k3k_kubelet.api import ForbiddenError, Resource

from kubelet.tests.clusters import NAMESPACE
from kubelet.tests.waiting import eventually
from kubelet.tests.world import World

QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")
POLICIES = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicies",
    "ValidatingAdmissionPolicy",
    namespaced=False,
)
BINDINGS = Resource(
    POLICIES.group,
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    namespaced=False,
)


@asynccontextmanager
async def quota(world: World, hard: dict[str, str], name: str = "full") -> AsyncIterator[None]:
    """A quota of the workloads' namespace on the host."""
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard}}
    await world.host.create(QUOTAS, NAMESPACE, body)
    try:

        async def counts() -> bool:
            found = await world.host.get(QUOTAS, NAMESPACE, name)
            return hard.keys() <= (found.get("status", {}).get("hard") or {}).keys()

        await eventually(counts)
        yield
    finally:
        await world.host.delete(QUOTAS, NAMESPACE, name)


@asynccontextmanager
async def refused(
    world: World, operation: str, resource: Resource, host_name: str, words: str
) -> AsyncIterator[None]:
    """The host refuses an operation on one object, from a moment after this begins.

    Args:
        world: the test's.
        operation: `CREATE` or `UPDATE`.
        resource: of the object.
        host_name: its name there.
        words: CEL expression of what the host says.
    """
    name = f"refused-{world.namespace}"
    rule = {
        "apiGroups": [resource.group],
        "apiVersions": [resource.version],
        "operations": [operation],
        "resources": [resource.plural],
    }
    spec: dict[str, Any] = {
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "it", "expression": f"object.metadata.name == '{host_name}'"}],
        "validations": [{"expression": "false", "messageExpression": words, "reason": "Forbidden"}],
    }
    binding = {"policyName": name, "validationActions": ["Deny"]}
    for kind, body in ((POLICIES, spec), (BINDINGS, binding)):
        whole = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}, "spec": body}
        await world.host.create(kind, None, whole)
    try:
        yield
    finally:
        await world.host.delete(BINDINGS, None, name)
        await world.host.delete(POLICIES, None, name)


async def forbidden(asked: Awaitable[object], words: str) -> bool:
    """Whether what is asked for is forbidden in these words."""
    try:
        await asked
    except ForbiddenError as error:
        return words in error.message
    return False


async def enforced(world: World, resource: Resource, spec: dict[str, Any], words: str) -> None:
    """Returns when the host refuses such an object in these words: its admission has a watch of its own."""
    metadata = {"name": "dry-run"}
    body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": spec}
    await eventually(lambda: forbidden(world.host.create(resource, NAMESPACE, body, dry_run=True), words))


async def full(world: World, quota: str, **container: Any) -> None:
    """Returns when the host refuses a pod with this container because of a quota, by what it uses."""
    await eventually(lambda: forbidden(world.dry_run(**container), f"exceeded quota: {quota}"))
