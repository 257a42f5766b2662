"""A host without metrics.k8s.io: all but usage goes on inside, and what asks for usage is told why."""

from __future__ import annotations

import pytest

from k3k_pulumi import direct
from tests import run
from tests.e2e.conftest import unique, watch
from tests.e2e.devcluster.command import NAME, Own
from tests.e2e.support.clusters import MADE_WITHIN, Access, View, running
from tests.e2e.support.objects import deployment
from tests.e2e.support.polling import eventually
from tests.e2e.test_metrics import BUSY, autoscaler

pytestmark = pytest.mark.xdist_group("own-devcluster")

WHY = "the host cluster has no metrics.k8s.io API"


def test_a_host_without_metrics_is_a_clear_condition(own: Own, request: pytest.FixtureRequest) -> None:
    run.load_kubelet_image(request.config.stash[run.FOLDER], NAME)
    own.kubectl("delete", "apiservice", "v1beta1.metrics.k8s.io")
    kubeconfig = own.instance.kubeconfig
    arguments = {"namespace": unique("t"), "distribution": "kubernetes"}
    with direct.ephemeral_cluster(
        name="bare", kubeconfig=kubeconfig, timeout=MADE_WITHIN, **arguments
    ) as made:
        view = View.of(own.kubectl, Access.of(made), lambda: None)
        watch(request.node, view.control_plane, view.workloads)
        inside = view.inside
        inside.apply(
            deployment("busy", 1, BUSY, terminationGracePeriodSeconds=0), autoscaler(inside, "busy", 2)
        )
        running(inside, "app=busy", 1)

        def told() -> bool:
            """It is said anew each time the autoscaler looks; the first time, the API may not be there."""
            found = inside.get("hpa", "busy").get("status", {}).get("conditions", [])
            active = {each["type"]: each for each in found}.get("ScalingActive", {})
            assert active.get("reason") == "FailedGetResourceMetric", found
            assert active["status"] == "False"
            assert WHY in active["message"], found
            return True

        for kind in ("pods", "nodes"):
            eventually(lambda kind=kind: WHY.encode() in inside.run("top", kind).stderr)
        eventually(told)
        eventually(lambda: "metrics.k8s.io/v1beta1" in inside("api-versions").split())
        namespace = unique("v")
        inside("create", "namespace", namespace)
        inside("delete", "namespace", namespace)  # it needs the discovery of every API
