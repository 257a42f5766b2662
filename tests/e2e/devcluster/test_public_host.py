"""A host with a node whose address is public: `egress: internet` is refused before anything is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from k3k_pulumi import direct
from k3k_pulumi.direct.deploy import check
from k3k_pulumi.host import Host
from k3k_pulumi.model import VirtualClusterSpec
from tests.e2e.conftest import unique
from tests.e2e.devcluster.command import Own
from tests.e2e.support.polling import eventually

pytestmark = pytest.mark.xdist_group("own-devcluster")

ADDRESS, POD_CIDR = "203.0.113.7", "2001:db8:7::/64"
CIDRS = ["203.0.113.0/24", "2001:db8:7::/48"]


@pytest.fixture
def public(own: Own) -> Iterator[Own]:
    """The host with one more node, to which nothing is scheduled: no kubelet has ever said it is ready."""
    name = unique("public")
    spec = {"podCIDR": POD_CIDR, "podCIDRs": [POD_CIDR], "unschedulable": True}
    own.kubectl.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec})
    try:
        status = f'{{"status": {{"addresses": [{{"type": "InternalIP", "address": "{ADDRESS}"}}]}}}}'
        own.kubectl("patch", "node", name, "--subresource=status", "-p", status)
        yield own
    finally:
        own.kubectl("delete", "node", name)


def spec(namespace: str, **args: Any) -> VirtualClusterSpec:
    return VirtualClusterSpec.parse("c", {"namespace": namespace, "distribution": "kubernetes", **args})


def test_addresses_that_nobody_gave_are_refused_and_nothing_is_made(public: Own) -> None:
    namespace = unique("t")
    with pytest.raises(direct.DirectError) as failure:
        direct.apply(
            "c", namespace=namespace, kubeconfig=public.instance.kubeconfig, distribution="kubernetes"
        )
    text = str(failure.value)
    assert ADDRESS in text
    assert POD_CIDR in text
    assert "add the host's public ranges (nodes, pods, Services) to host_cidrs" in text
    assert namespace not in public.kubectl("get", "namespaces")
    host = Host.connect(public.instance.kubeconfig)
    try:
        with pytest.raises(direct.DirectError, match=POD_CIDR):
            check(host, spec(namespace, host_cidrs=CIDRS[:1]))
        for args in ({"host_cidrs": CIDRS}, {"egress_cidrs": CIDRS}, {"egress": "none"}, {"egress": "all"}):
            check(host, spec(namespace, **args))
    finally:
        host.close()


def test_who_may_not_read_the_nodes_passes(public: Own) -> None:
    host, user = Host.connect(public.instance.kubeconfig), unique("user")
    try:
        namespaces = ("--verb=get", "--resource=namespaces")
        public.kubectl("create", "clusterrole", user, *namespaces)
        public.kubectl("create", "clusterrolebinding", user, f"--clusterrole={user}", f"--user={user}")
        # The API server learns of a Role a moment after it is written.
        question = ("auth", "can-i", "get", "namespaces", f"--as={user}")
        eventually(lambda: public.kubectl.run(*question).stdout.strip() == b"yes")
        host.api.set_default_header("Impersonate-User", user)
        check(host, spec(unique("t")))
    finally:
        host.close()
        public.kubectl("delete", "clusterrole,clusterrolebinding", user)
