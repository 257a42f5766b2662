"""The host cluster as a component's kubernetes provider sees it: with the provider's own credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from k3k_pulumi.threads import in_thread

if TYPE_CHECKING:
    from k3k_pulumi.host import Host

_INPUTS = ("kubeconfig", "context", "cluster")
"""Inputs of the kubernetes provider that say which cluster it is for, and as whom."""


class NoAccessError(Exception):
    """The host cannot be asked from here; the text tells why, and what to do."""


async def host_of(component: pulumi.Resource) -> Host:
    """Connects to the cluster that the component's children are made in.

    Raises:
        NoAccessError: The `kubernetes` package is missing, the provider's credentials are not to be seen
            here, or the cluster does not answer.
    """
    kubeconfig, context, cluster = await _inputs(component)
    if cluster:
        raise NoAccessError(
            "the kubernetes provider has `cluster`, which is not understood here: use `context`"
        )
    try:
        # Large, and of use only when something goes wrong; users of Pulumi alone need not have it.
        from k3k_pulumi.host import DirectError, Host
    except ModuleNotFoundError as error:
        raise NoAccessError(
            f"the package {error.name} is not installed: pip install 'k3k-pulumi[direct]'"
        ) from None

    try:
        return await in_thread(Host.of_provider, kubeconfig, context)
    except DirectError as error:
        raise NoAccessError(str(error)) from error


async def _inputs(component: pulumi.Resource) -> list[str | None]:
    provider = component.get_provider("kubernetes:core/v1:Pod")
    if provider is None:
        settings = pulumi.Config("kubernetes")
        return [settings.get(name) or None for name in _INPUTS]
    outputs = [getattr(provider, name, None) for name in _INPUTS]
    if None in outputs:  # made by another program: there is no more of it than a reference
        raise NoAccessError("the kubernetes provider's credentials are not known in this program")
    return [await output.future() or None for output in outputs if output is not None]
