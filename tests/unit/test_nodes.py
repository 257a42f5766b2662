"""`mirror_host_nodes` and `node_capacity`: what the kubelet is told, and what it may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from k3k_kubelet import config

from k3k_pulumi.model import VirtualClusterSpec
from tests.unit.support import find, manifests, spec

CONTROL_PLANE = "team-c-control-plane"


def kubelet_config(folder: Path, **args: Any) -> config.Config:
    """The kubelet's configuration as it reads it itself."""
    file = folder / "config.json"
    file.write_text(find(manifests(**args), "ConfigMap", "c-kubelet", CONTROL_PLANE)["data"]["config.json"])
    return config.load(file)


def test_mirroring_is_one_right_to_read_nodes(tmp_path: Path) -> None:
    assert not kubelet_config(tmp_path).mirror_host_nodes
    assert kubelet_config(tmp_path, mirror_host_nodes=True).mirror_host_nodes
    before = {(each["kind"], each["metadata"]["name"]) for each in manifests()}
    objects = manifests(mirror_host_nodes=True)
    name = f"k3k-pulumi.io:{CONTROL_PLANE}:c"
    added = {(each["kind"], each["metadata"]["name"]) for each in objects} - before
    assert added == {("ClusterRole", name), ("ClusterRoleBinding", name)}
    assert find(objects, "ClusterRole", name)["rules"] == [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]}
    ]
    binding = find(objects, "ClusterRoleBinding", name)
    assert binding["roleRef"]["name"] == name
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "c-kubelet", "namespace": CONTROL_PLANE}
    ]
    assert "namespace" not in binding["metadata"]


def test_clusters_of_one_name_share_no_cluster_role() -> None:
    names = {
        VirtualClusterSpec.parse(name, {"namespace": namespace}).names.cluster_reader
        for name, namespace in (("c", "a"), ("c", "b"), ("d", "a"))
    }
    assert len(names) == 3


@pytest.mark.parametrize(
    ("given", "resources"),
    [
        ({}, {}),
        ({"cpu": "8"}, {"cpu": "8"}),
        (
            {"cpu": 1.5, "memory": "32Gi", "ephemeral_storage": "1Ti", "pods": 110.0},
            {"cpu": "1.5", "memory": "32Gi", "ephemeral-storage": "1Ti", "pods": "110"},
        ),
        ({"extended_resources": {}}, {}),
        (
            {"cpu": "8", "extended_resources": {"example.com/gpu": 4.0, "example.com/none": 0}},
            {"cpu": "8", "example.com/gpu": "4", "example.com/none": "0"},
        ),
    ],
)
def test_capacity_reaches_the_kubelet(
    tmp_path: Path, given: dict[str, Any], resources: dict[str, str]
) -> None:
    """Through Pulumi's plugins whole numbers arrive as floats."""
    assert kubelet_config(tmp_path, node_capacity=given).node_capacity.resources() == resources
    assert spec(node_capacity=given)
