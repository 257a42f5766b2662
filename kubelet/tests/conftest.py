"""A real API server for the tests of the client, the caches and the controllers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kubelet.tests.clusters import Clusters, started
from kubelet.tests.controlplane import ControlPlane
from kubelet.tests.replica import Replica, in_place


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd and kube-apiserver of this test process."""
    plane = ControlPlane(tmp_path_factory.mktemp("control-plane"))
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


@pytest.fixture
def own_control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One that a test may stop and compact."""
    plane = ControlPlane(tmp_path_factory.mktemp("own-control-plane"))
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    """A host, a virtual cluster and the kubelet of this process; who stops the kubelet starts it again."""
    with started(tmp_path_factory.mktemp("clusters")) as both:
        yield both


@pytest.fixture
def replica(clusters: Clusters) -> Iterator[Replica]:
    """A kubelet behind proxies, in place of the clusters' own."""
    with in_place(clusters) as found:
        yield found
