"""Who reaches what around a virtual cluster, by packets: each source asks each target, each answer is known.

On a dual-stack host of two nodes, by IPv4 and by IPv6 where both ends have it. All pods are on the first node
but those that are called far. Where somebody gets through, the target does answer, and it is a policy that
stops the others. docs/network.md says why each answer is what it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from k3k_pulumi.manifests.policy.namespace import namespace_objects
from k3k_pulumi.model.policy import VirtualClusterPolicySpec
from tests import run
from tests.e2e.conftest import watch
from tests.e2e.devcluster.command import NAME, Own
from tests.e2e.devcluster.packets import SOURCES, Net, made

pytestmark = pytest.mark.xdist_group("own-devcluster")

# Ranges around the metadata addresses do not open these.
EGRESS_CIDRS = ["192.168.77.0/24", "168.0.0.0/7", "fd77::/64", "fd00::/16"]

# A row is a target, a column a source, in the order of SOURCES: + is answered, - is not, . is not asked (it
# is itself, or no route leads there). o, c, i and d stand for what the egress makes of it: of the host, the
# company's network, the internet, and port 53 of anybody.
TABLE = """
pod near             + + + - - - - - + - - -
pod far              + . + - - - - - - + - -
pod of neighbour     - - - - - . - - + - - -
pod of stranger      - - - - - - . - + - - -
API                  + + . + + - - - + - . .
API pod              + + . + + - - - + - + -
API node port        + {o} . + + - - - + - + -
API pod, ICMP        - - . - - - - - + - - -
etcd                 - - . - - - - - . - - -
DNS                  + + - - . - - - + - . .
DNS pod              + + - - . - - - + - - -
DNS health           - - - - . - - - + - - -
DNS metrics          - - - - . - - - + - - -
kubelet Service      - - + . - - - - + - . .
kubelet extension    - - + . - - - - + - - -
kubelet health       - - - . - - - - + - - -
kubelet pod, ICMP    - - - . - - - - + - - -
API pod of neighbour - - - - - + - - + - - -
pod of the host      {o} {o} {o} + - - - . + + + +
near node            {o} {o} {o} + - - - + . + + +
far node             {o} {o} {o} + - - - + + . + +
kubelet of near node {o} {o} {o} + - - - + . + + +
kubelet of far node  {o} {o} {o} + - - - + + . + +
API of the host      {o} {o} {o} + - - - + + + + +
metadata             {o} {o} {o} + - - - + + + . .
other                {o} {o} {o} + - - - + + + . .
company              {c} {c} {c} + - - - + + + . .
internet             {i} {i} {i} + - + - + + + . .
internet, DNS        {d} {d} {d} + {d} + - + + + . .
metadata, DNS        {d} {d} {d} + {d} + - + + + . .
"""

EGRESS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "internet": ({}, {"o": "-", "c": "-", "i": "+", "d": "+"}),
    "none": ({"egress": "none"}, {"o": "-", "c": "-", "i": "-", "d": "-"}),
    "all": ({"egress": "all"}, {"o": "+", "c": "+", "i": "+", "d": "+"}),
    "internet and ranges": ({"egress_cidrs": EGRESS_CIDRS}, {"o": "-", "c": "+", "i": "+", "d": "+"}),
    "ranges alone": (
        {"egress": "none", "egress_cidrs": EGRESS_CIDRS},
        {"o": "-", "c": "+", "i": "-", "d": "-"},
    ),
}


def expected(egress: str) -> dict[tuple[str, str], bool]:
    """What is to come of each question: (source, target) -> whether it is answered."""
    answers = {}
    for row in TABLE.format(**EGRESS[egress][1]).strip().splitlines():
        target, cells = row[:21].strip(), row[21:].split()
        for source, cell in zip(SOURCES, cells, strict=True):
            if cell != ".":
                answers[source, target] = cell == "+"
    return answers


@pytest.fixture(scope="module")
def net(own: Own, request: pytest.FixtureRequest) -> Iterator[Net]:
    """Three virtual clusters, plain pods, nodes and stand-ins for the rest of the world."""
    run.load_kubelet_image(request.config.stash[run.FOLDER], NAME)
    with made(own) as net:
        yield net


@pytest.fixture(autouse=True)
def _watched(net: Net, request: pytest.FixtureRequest) -> None:
    watch(request.node, net.tenant.control_plane, net.tenant.workloads)


def test_the_cluster_has_its_proof(net: Net) -> None:
    """A host that does not enforce NetworkPolicies is in test_network_probe.py."""
    (job,) = net.tenant.workloads.get("jobs")
    assert {"Complete": "True"}.items() <= {
        c["type"]: c["status"] for c in job["status"]["conditions"]
    }.items()
    # One that did not reach the other in time, or the address of its Service, was followed by another one.
    pods = net.tenant.workloads.get(
        "pods", "-l", "k3k-pulumi.io/component=network-probe", "--field-selector=status.phase=Succeeded"
    )
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 1  # where the control plane may be
    said = [net.tenant.workloads("logs", pod["metadata"]["name"]) for pod in pods]
    assert sorted(said) == ["", "k3k-kubelet probe: the host enforces NetworkPolicies in both directions\n"]


@pytest.mark.parametrize("egress", EGRESS)
def test_who_reaches_what(net: Net, egress: str) -> None:
    answers = expected(egress)
    assert {target for _, target in answers} == set(net.targets) - {"pod beside"}
    net.set_egress(EGRESS[egress][0])
    net.obeys(answers)


def test_a_policys_default_deny_changes_nothing_for_a_cluster(net: Net) -> None:
    """What closes are the other pods of its namespaces."""
    answers = expected("internet")
    net.set_egress({})
    open_to = {"kubelet", "plain", "near-node", "far-node", "internet", "elsewhere"}
    beside = {(source, "pod beside"): source in open_to for source in SOURCES}
    net.obeys({**answers, **beside})
    namespaces = [net.tenant.workloads.namespace, net.tenant.control_plane.namespace]
    policy = VirtualClusterPolicySpec.parse("policy", {"namespaces": namespaces})
    for namespace in namespaces:
        for manifest in namespace_objects(policy, namespace):
            if manifest["kind"] == "NetworkPolicy":
                net.host.apply(manifest)
    beside = {(source, "pod beside"): source == "near-node" for source in SOURCES}  # its own node
    net.obeys({**answers, **beside})
