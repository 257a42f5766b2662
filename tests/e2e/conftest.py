"""Fixtures of the end-to-end tests: a host cluster, namespaces of it, and virtual clusters in them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import run
from tests.e2e.support.diagnostics import describe
from tests.e2e.support.kubectl import Kubectl

WATCHED = pytest.StashKey[list[Kubectl]]()  # namespaces whose state a failure shows


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


@pytest.fixture
def namespace(host: Host, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """kubectl bound to a fresh namespace of the host, which goes when the test is over."""
    kubectl = host.kubectl.within(f"t-{secrets.token_hex(4)}")
    kubectl("create", "namespace", kubectl.namespace)
    watch(request.node, kubectl)
    yield kubectl
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")


def watch(node: pytest.Item, *kubectls: Kubectl) -> None:
    """Has a failure of the test show the state of the namespaces these stand in."""
    node.stash.setdefault(WATCHED, []).extend(kubectls)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed and call.when != "teardown":
        for kubectl in item.stash.get(WATCHED, []):
            title = f"namespace {kubectl.namespace} by {kubectl.kubeconfig.name}"
            report.sections.append((title, describe(kubectl)))
    return report
