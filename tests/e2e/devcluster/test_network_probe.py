"""A host that does not enforce NetworkPolicies: who demands proof gets no cluster there, and is told why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster import config
from k3k_pulumi import direct
from tests import run
from tests.e2e.devcluster.command import succeed
from tests.e2e.support.clusters import MADE_WITHIN
from tests.e2e.support.kubectl import Kubectl

pytestmark = pytest.mark.xdist_group("own-devcluster")

NAME = "bare"


@pytest.fixture
def bare(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The kubeconfig of a host of one node that enforces nothing."""
    succeed("down", "--name", NAME)  # of a run that was killed
    try:
        flags = ("--nodes=1", "--no-network-policies", "--host=parts")
        succeed("up", "--name", NAME, *flags)
        run.load_kubelet_image(request.config.stash[run.FOLDER], NAME)
        yield config.existing(NAME).kubeconfig
    finally:
        succeed("down", "--name", NAME)


def test_without_enforcement_there_is_no_cluster_for_who_demands_proof(bare: Path) -> None:
    args: dict[str, Any] = {"namespace": "team", "kubeconfig": bare, "distribution": "kubernetes"}
    with pytest.raises(direct.DirectError) as failure:
        direct.apply(
            "demands",
            **args,
            persistence={"type": "ephemeral"},
            require_network_policy=True,
            timeout=MADE_WITHIN,
        )
    text = str(failure.value)
    assert "Job team/demands-network-probe has failed: require_network_policy is not met" in text
    assert "the host does not enforce NetworkPolicies: after 30 s its network plugin still lets" in text
    assert "in to port 7002" in text
    assert "out to port 7003" in text
    assert "or leave require_network_policy out" in text
    # What was made stays for who wants to look, and goes by name as any cluster.
    kubectl = Kubectl(bare, "team")
    assert kubectl.get("jobs")
    # Who leaves it out gets a cluster, and nothing of the probe stays.
    with direct.ephemeral_cluster(name="demands", **args, timeout=MADE_WITHIN) as cluster:
        assert Kubectl(cluster.kubeconfig_path).get("nodes") == []
        for kind in ("jobs", "services", "networkpolicies"):
            names = [each["metadata"]["name"] for each in kubectl.get(kind)]
            assert "demands-network-probe" not in names
