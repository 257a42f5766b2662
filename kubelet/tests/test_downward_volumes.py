"""What the downward API of a host pod reads: all labels and annotations of the pod inside, as of now."""

from __future__ import annotations

import pytest
from k3k_kubelet.api import PODS

from kubelet.tests.clusters import Clusters
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def test_files_follow_changes_and_leave_nothing_out(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        items = [
            {"path": kind, "fieldRef": {"fieldPath": f"metadata.{kind}"}}
            for kind in ("labels", "annotations")
        ]
        metadata = {"labels": {"a": "1"}, "annotations": {LAST_APPLIED: '{"kind": "Pod"}', "b": "x"}}
        await world.pod("reader", metadata=metadata, volumes=[{"name": "v", "downwardAPI": {"items": items}}])
        host = await world.host_pod("reader")
        found = host["metadata"]["annotations"]
        assert found["k3k-pulumi.io/labels"] == 'a="1"'
        last = f'{LAST_APPLIED}="{{\\"kind\\": \\"Pod\\"}}"'
        assert found["k3k-pulumi.io/annotations"] == f'b="x"\n{last}'
        await world.schedule("reader", "node-a")
        change = {"metadata": {"labels": {"a": None, "c": "2"}, "annotations": {"b": "y"}}}
        await world.virtual.patch(PODS, world.namespace, "reader", change)
        await world.until_host(
            PODS,
            "reader",
            lambda pod: (
                pod["metadata"]["annotations"]["k3k-pulumi.io/labels"] == 'c="2"'
                and pod["metadata"]["annotations"]["k3k-pulumi.io/annotations"] == f'b="y"\n{last}'
            ),
        )

    in_world(clusters, test)
