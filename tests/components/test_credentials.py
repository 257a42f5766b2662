"""Whose credentials the host is looked at with when a deployment fails, and what is said without them."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes
import pytest
from pulumi.resource import DependencyProviderResource

from k3k_pulumi.credentials import NoAccessError, host_of
from tests.components.host import run

SECRET = "a-token-of-somebody"
NOBODY = "http://127.0.0.1:1"


def kubeconfig(server: str) -> str:
    return f"""
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "{server}"}}}}]
users: [{{name: u, user: {{token: {SECRET}}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
current-context: x
"""


def said(provider: Any) -> str:
    """Why the host of a component with this provider cannot be asked."""

    async def ask(component: pulumi.Resource) -> str:
        with pytest.raises(NoAccessError) as refused:
            await host_of(component)
        return str(refused.value)

    def program() -> dict[str, pulumi.Output[Any]]:
        opts = pulumi.ResourceOptions(providers=[provider()])
        component = pulumi.ComponentResource("test:index:Component", "c", {}, opts)
        return {"said": pulumi.Output.from_input(ask(component))}

    return str(run(program, preview=False).outputs["said"].value)


def test_a_cluster_that_does_not_answer_is_named() -> None:
    def provider() -> pulumi_kubernetes.Provider:
        return pulumi_kubernetes.Provider("p", kubeconfig=pulumi.Output.secret(kubeconfig(NOBODY)))

    assert said(provider).startswith(f"host cluster {NOBODY} does not answer: ")


def test_a_context_that_is_not_there_is_not_replaced_by_another() -> None:
    def provider() -> pulumi_kubernetes.Provider:
        return pulumi_kubernetes.Provider("p", kubeconfig=kubeconfig(NOBODY), context="other")

    assert said(provider) == "host cluster: no usable kubeconfig: ConfigException"


@pytest.mark.parametrize("text", [f"token: {SECRET}", f"{{{SECRET}", SECRET])
def test_a_kubeconfig_that_is_none_is_not_shown(text: str) -> None:
    assert SECRET not in said(lambda: pulumi_kubernetes.Provider("p", kubeconfig=text))


def test_a_cluster_apart_from_the_context_is_not_guessed() -> None:
    def provider() -> pulumi_kubernetes.Provider:
        return pulumi_kubernetes.Provider("p", kubeconfig=kubeconfig(NOBODY), cluster="c")

    assert (
        said(provider) == "the kubernetes provider has `cluster`, which is not understood here: use `context`"
    )


def test_a_provider_of_another_program_is_not_replaced_by_the_default_one() -> None:
    """A component in another language has no more of it than a reference."""
    urn = "urn:pulumi:stack::project::pulumi:providers:kubernetes::p"
    told = said(lambda: DependencyProviderResource(f"{urn}::id"))
    assert told == "the kubernetes provider's credentials are not known in this program"
