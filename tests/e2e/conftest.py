"""Fixtures of the end-to-end tests: a host cluster, namespaces of it, and virtual clusters in them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from k3k_pulumi import direct
from tests import run
from tests.e2e.support.clusters import MADE_WITHIN, Access, View, variant
from tests.e2e.support.device_plugin import RESOURCE, shared_devices
from tests.e2e.support.diagnostics import describe
from tests.e2e.support.ingress_controller import IngressController, shared_controller
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import KUBELET
from tests.e2e.support.polling import eventually
from tests.e2e.support.shared import shared_cluster

WATCHED = pytest.StashKey[list[Kubectl]]()  # namespaces whose state a failure shows
MakeCluster = Callable[..., View]
CORDONED = "node.kubernetes.io/unschedulable"
"""The taint of a node that takes no new pods."""


@dataclass(frozen=True)
class Host:
    """The host cluster of the run."""

    kubeconfig: Path

    @property
    def kubectl(self) -> Kubectl:
        """kubectl with an administrator's rights."""
        return Kubectl(self.kubeconfig)


@pytest.fixture(scope="session")
def host(request: pytest.FixtureRequest) -> Host:
    """The host cluster all tests of the run share; made on first use unless an option names one."""
    config = request.config
    if config.option.host_kubeconfig:
        return Host(Path(config.option.host_kubeconfig).resolve())
    return Host(run.started_devcluster(config.stash[run.FOLDER], config.option.devcluster))


@pytest.fixture(scope="session")
def kubelet_image(request: pytest.FixtureRequest, host: Host) -> str:
    """The kubelet image's reference, once the host has it; an existing host has to have it or to pull it."""
    del host  # just has to be there
    config = request.config
    if not config.option.host_kubeconfig:
        run.load_kubelet_image(config.stash[run.FOLDER], config.option.devcluster)
    return KUBELET


@pytest.fixture(scope="session")
def ingress_controller(request: pytest.FixtureRequest, host: Host) -> IngressController:
    """The host's ingress controller and gateway, which all tests of the run share; made on first use."""
    config = request.config
    folder = config.stash[run.FOLDER]
    definitions = run.load_ingress_controller(folder, config.option.devcluster)
    return shared_controller(folder, host.kubeconfig, definitions)


@pytest.fixture(scope="session")
def gpus(request: pytest.FixtureRequest, host: Host) -> str:
    """An extended resource of which every node of the host has two pieces, from a real device plugin."""
    folder = request.config.stash[run.FOLDER]
    run.load_device_plugin(folder, request.config.option.devcluster)
    shared_devices(folder, host.kubeconfig)
    return RESOURCE


def watch(node: pytest.Item, *kubectls: Kubectl) -> None:
    """Has a failure of the test show the state of the namespaces these stand in."""
    node.stash.setdefault(WATCHED, []).extend(kubectls)


def unique(prefix: str) -> str:
    """A name nothing else of this or another run has."""
    return f"{prefix}-{secrets.token_hex(4)}"


@pytest.fixture
def namespace(host: Host, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """kubectl bound to a fresh namespace of the host, which goes when the test is over."""
    kubectl = host.kubectl.within(unique("t"))
    kubectl("create", "namespace", kubectl.namespace)
    watch(request.node, kubectl)
    eventually(lambda: kubectl("get", "serviceaccount", "default"))  # pods are refused before
    yield kubectl
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false", "--ignore-not-found")


@pytest.fixture
def distribution() -> str:
    """Distribution of the virtual clusters; a test that is about both is parametrized with `both`."""
    return "kubernetes"


@pytest.fixture
def make_cluster(
    host: Host, kubelet_image: str, distribution: str, request: pytest.FixtureRequest
) -> Iterator[MakeCluster]:
    """Makes virtual clusters of the test's own; arguments as for `ephemeral_cluster`, all optional."""
    del kubelet_image
    with ExitStack() as stack:

        def make(name: str = "own", **args: Any) -> View:
            args = {"namespace": unique("t"), "timeout": MADE_WITHIN, **variant(distribution), **args}
            own = stack.enter_context(ExitStack())
            made = own.enter_context(direct.ephemeral_cluster(name=name, kubeconfig=host.kubeconfig, **args))
            view = View.of(host.kubectl, Access.of(made), own.close)
            watch(request.node, view.control_plane, view.workloads)
            return view

        yield make


def _not_yours() -> None:
    raise AssertionError("the shared virtual cluster is not one test's to destroy: take make_cluster")


@pytest.fixture
def every_node(host: Host, request: pytest.FixtureRequest) -> Iterator[None]:
    """Every node of the host takes pods while a test looks where they go."""

    def cordoned() -> list[str]:
        taints = {
            node["metadata"]["name"]: node["spec"].get("taints", []) for node in host.kubectl.get("nodes")
        }
        return [name for name, found in taints.items() if any(each["key"] == CORDONED for each in found)]

    with run.locked(request.config.stash[run.FOLDER], "nodes", shared=True):
        eventually(lambda: not cordoned())  # a controller takes the taint away a moment after `uncordon`
        yield


@pytest.fixture
def a_node_less(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test may take a node of the host's out of service: nobody counts on it meanwhile."""
    with run.locked(request.config.stash[run.FOLDER], "nodes"):
        yield


@pytest.fixture
def priority(host: Host) -> Iterator[str]:
    """A PriorityClass of the host, below all others."""
    name = unique("low")
    host.kubectl("create", "priorityclass", name, "--value=-100")
    yield name
    host.kubectl("delete", "priorityclass", name)


@pytest.fixture
def missing(host: Host) -> Iterator[str]:
    """The name of a StorageClass that nobody has made."""
    name = unique("class")
    yield name
    host.kubectl("delete", "storageclass", name, "--ignore-not-found")


@pytest.fixture
def cluster(host: Host, kubelet_image: str, distribution: str, request: pytest.FixtureRequest) -> View:
    """The virtual cluster that all tests of the run share, one per distribution; not to be disturbed."""
    del kubelet_image
    shared = shared_cluster(request.config.stash[run.FOLDER], distribution, host.kubeconfig)
    view = View.of(host.kubectl, shared, destroy=_not_yours)
    watch(request.node, view.control_plane, view.workloads)
    return view


@pytest.fixture
def inside(cluster: View, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """kubectl bound to a fresh namespace inside the shared virtual cluster."""
    kubectl = cluster.inside.within(unique("v"))
    kubectl("create", "namespace", kubectl.namespace)
    watch(request.node, kubectl)
    eventually(lambda: kubectl("get", "serviceaccount", "default"))  # pods are refused before
    yield kubectl
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed and call.when != "teardown":
        for kubectl in item.stash.get(WATCHED, []):
            title = f"namespace {kubectl.namespace} by {kubectl.kubeconfig.name}"
            report.sections.append((title, describe(kubectl)))
    return report
