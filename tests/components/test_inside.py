"""Resources inside the virtual cluster, and which provider everything gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_kubernetes
import pytest
from pulumi_kubernetes.apps.v1 import Deployment as Workload

from k3k_pulumi import VirtualCluster
from k3k_pulumi.inputs import VirtualClusterInputError
from tests.components.conftest import SOURCES
from tests.components.host import COMPONENT, Deployment, run

PROVIDER = "pulumi:providers:kubernetes"


def make(opts: pulumi.ResourceOptions | None = None, **args: Any) -> VirtualCluster:
    return VirtualCluster("c", {"namespace": "team", "distribution": "kubernetes", **args}, opts)


SPEC: Any = {"selector": {}, "template": {}}


def provider_of(done: Deployment, type_: str, name: str) -> str:
    """Name of the provider resource that a resource is to be made with."""
    urn_and_id = done.one(type_, name).request.provider
    return str(urn_and_id).rpartition("::")[0].rpartition("::")[2]


def test_there_is_no_provider_unless_one_is_asked_for(preview: bool) -> None:
    def program() -> dict[str, Any]:
        make(expose=SOURCES)
        return {}

    assert run(program, preview=preview).all(PROVIDER) == []


def test_the_provider_survives_changes_of_the_address_and_outages(preview: bool) -> None:
    def program() -> dict[str, Any]:
        cluster = make(expose=SOURCES)
        assert cluster.provider is cluster.provider
        return {}

    inputs = run(program, preview=preview).one(PROVIDER, "c").plain
    assert inputs["clusterIdentifier"] == "team/c"
    assert inputs["skipUpdateUnreachable"] in (True, "true")
    assert "deleteUnreachable" not in inputs


def test_what_variables_say_in_one_run_is_not_noted_in_the_state(
    preview: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run without them would show a change. The provider's own process reads them."""

    def program() -> dict[str, Any]:
        _ = make(expose=SOURCES).provider
        return {}

    for each in ("UPSERT_EXISTING_OBJECTS", "ENABLE_PATCH_FORCE", "DELETE_UNREACHABLE"):
        monkeypatch.setenv(f"PULUMI_K8S_{each}", "true")
    inputs = run(program, preview=preview).one(PROVIDER, "c").inputs
    assert inputs.keys() <= {"kubeconfig", "clusterIdentifier", "skipUpdateUnreachable"}


@pytest.mark.parametrize("take", [lambda vc: vc.provider, lambda vc: vc.inside], ids=["provider", "inside"])
def test_without_sources_nothing_can_be_made_inside(
    preview: bool, take: Callable[[VirtualCluster], object]
) -> None:
    def program() -> dict[str, Any]:
        cluster = make()
        with pytest.raises(VirtualClusterInputError, match=r"expose\.source_cidrs: is empty"):
            take(cluster)
        return {}

    assert run(program, preview=preview).all(PROVIDER) == []


def test_inside_is_in_the_cluster_and_the_cluster_as_parent_is_on_the_host(preview: bool) -> None:
    def program() -> dict[str, Any]:
        host = pulumi_kubernetes.Provider("host", kubeconfig="{}")
        cluster = make(pulumi.ResourceOptions(provider=host), expose=SOURCES)
        Workload("in", spec=SPEC, opts=pulumi.ResourceOptions(parent=cluster.inside))
        Workload("by", spec=SPEC, opts=pulumi.ResourceOptions(provider=cluster.provider))
        Workload("out", spec=SPEC, opts=pulumi.ResourceOptions(parent=cluster))
        return {}

    done = run(program, preview=preview)
    assert provider_of(done, "Deployment", "in") == "c"
    assert provider_of(done, "Deployment", "by") == "c"
    assert provider_of(done, "Deployment", "out") == "host"
    inside = done.one(f"{COMPONENT}Inside", "c").request
    assert inside.deletedWith.endswith(f"{COMPONENT}::c")
