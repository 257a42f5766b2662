"""The keys of a cluster that is applied without an engine: given, read back, or new."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import pytest

from k3k_pulumi.direct.keys import keys
from k3k_pulumi.host import DirectError
from k3k_pulumi.host import Host as Client
from k3k_pulumi.manifests import virtual_cluster
from k3k_pulumi.model import VirtualClusterSpec
from k3k_pulumi.pki import ClusterPki, create_authority, create_pki
from tests.e2e.conftest import unique
from tests.unit.direct.conftest import Host


@pytest.fixture
def client(host: Host) -> Any:
    made = Client.connect(host.admin)
    yield made
    made.close()


def spec(namespace: str, distribution: str, **pki: Any) -> VirtualClusterSpec:
    args = {"namespace": namespace, "control_plane_namespace": f"{namespace}-planes", "pki": pki}
    return VirtualClusterSpec.parse("c", {**args, "distribution": distribution})


def kept(pki: ClusterPki[str]) -> ClusterPki[Any]:
    """All but the administrator's certificate, which is in no Secret."""
    return dataclasses.replace(pki, admin=None)


def on_host(host: Host, client: Client, distribution: str) -> tuple[str, ClusterPki[Any]]:
    """The Secrets of a cluster; its namespace and its keys, with nothing in place of what it does not use."""
    namespace = unique("t")
    host.namespace(f"{namespace}-planes")
    made = create_pki("c")
    for manifest in virtual_cluster(spec(namespace, distribution), made):
        if manifest["kind"] == "Secret":
            client.apply(manifest)
    return namespace, kept(made)


@pytest.mark.parametrize("distribution", ["k3s", "kubernetes"])
@pytest.mark.parametrize("pki", [{}, {"from_cluster": True}], ids=["by itself", "asked for"])
def test_keys_are_read_back(host: Host, client: Client, distribution: str, pki: dict[str, Any]) -> None:
    namespace, made = on_host(host, client, distribution)
    found = kept(keys(client, spec(namespace, distribution, **pki)))
    unused = ("etcd_ca",) if distribution == "k3s" else ("probe_token", "join_token")
    assert dataclasses.replace(found, **{each: getattr(made, each) for each in unused}) == made


def test_given_keys_are_used_whatever_the_cluster_has(host: Host, client: Client) -> None:
    namespace, made = on_host(host, client, "kubernetes")
    own = create_authority("own")
    given = {"server_ca_certificate": own.certificate, "server_ca_key": own.key}
    found = keys(client, spec(namespace, "kubernetes", **given))
    assert found.server_ca == own
    assert found.client_ca == made.client_ca


def test_keys_of_a_running_cluster_are_never_made(host: Host, client: Client) -> None:
    namespace, _ = on_host(host, client, "kubernetes")
    planes = f"{namespace}-planes"
    host.api("DELETE", f"/api/v1/namespaces/{planes}/secrets/c-client-ca")
    path = f"/api/v1/namespaces/{planes}/secrets/c-server-ca"
    secret = host.api("GET", path)
    del secret["data"]["tls.key"]
    host.api("PUT", path, secret)
    with pytest.raises(DirectError) as error:
        keys(client, spec(namespace, "kubernetes", from_cluster=True))
    about = f"virtual cluster {namespace}/c: pki.from_cluster: Secret"
    assert str(error.value).splitlines() == [
        f"{about} c-server-ca in namespace {planes} has no 'tls.key': restore it, give the keys themselves, "
        "or leave pki out",
        f"{about} c-client-ca in namespace {planes} has no label k3k-pulumi.io/cluster=c: it is not this "
        "cluster's",
    ]
    assert base64.b64decode(secret["data"]["tls.crt"]).decode() not in str(error.value)
