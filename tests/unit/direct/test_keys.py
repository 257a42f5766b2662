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
        f"{about} c-client-ca in namespace {planes} does not exist: restore it, give the keys themselves, or "
        "leave pki out",
    ]
    assert base64.b64decode(secret["data"]["tls.crt"]).decode() not in str(error.value)


def planted(host: Host, namespace: str, name: str, data: dict[str, str], **labels: str) -> None:
    """A Secret in place of one of the cluster's, its data as it goes over the wire."""
    host.api("DELETE", f"/api/v1/namespaces/{namespace}/secrets/{name}")
    body = {"metadata": {"name": name, "labels": labels}, "data": data}
    host.api("POST", f"/api/v1/namespaces/{namespace}/secrets", body)


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def refused(client: Client, namespace: str, **pki: Any) -> list[str]:
    with pytest.raises(DirectError) as error:
        keys(client, spec(namespace, "kubernetes", **pki))
    assert "BEGIN" not in str(error.value)
    about = f"virtual cluster {namespace}/c: "
    lines = str(error.value).splitlines()
    assert all(line.startswith(about) for line in lines)
    return [line.removeprefix(about) for line in lines]


OURS = {"k3k-pulumi.io/cluster": "c"}


@pytest.mark.parametrize("labels", [{}, {"k3k-pulumi.io/cluster": "d"}], ids=["none", "another's"])
@pytest.mark.parametrize("pki", [{}, {"from_cluster": True}], ids=["by itself", "asked for"])
def test_a_secret_of_somebody_else_is_refused(
    host: Host, client: Client, labels: dict[str, str], pki: dict[str, Any]
) -> None:
    namespace, _ = on_host(host, client, "kubernetes")
    planes, theirs = f"{namespace}-planes", create_authority("theirs")
    data = {"tls.crt": encoded(theirs.certificate), "tls.key": encoded(theirs.key)}
    planted(host, planes, "c-client-ca", data, **labels)
    assert refused(client, namespace, **pki) == [
        f"Secret c-client-ca in namespace {planes} has no label k3k-pulumi.io/cluster=c: it is not this "
        "cluster's; or, where you did not make it, delete it: its keys may be known to others"
    ]


def test_what_a_secret_has_is_looked_at(host: Host, client: Client) -> None:
    namespace, made = on_host(host, client, "kubernetes")
    planes, other = f"{namespace}-planes", create_authority("other")
    data = {"tls.crt": encoded(made.client_ca.certificate), "tls.key": encoded(other.key)}
    planted(host, planes, "c-client-ca", data, **OURS)
    secret = f"Secret c-client-ca in namespace {planes}"
    assert refused(client, namespace) == [f"{secret}, 'tls.key': does not belong to {secret}, 'tls.crt'"]
    planted(host, planes, "c-client-ca", data | {"tls.key": encoded(b"\xff\xfe")}, **OURS)
    assert refused(client, namespace) == [
        f"{secret}: 'tls.key' is no text in base64: restore it; or, where you did not make it, delete it: "
        "its keys may be known to others"
    ]


def test_what_is_given_in_place_of_it_is_not_looked_at(host: Host, client: Client) -> None:
    namespace, made = on_host(host, client, "kubernetes")
    own = create_authority("own")
    data = {"tls.crt": encoded("nonsense"), "tls.key": encoded("nonsense")}
    planted(host, f"{namespace}-planes", "c-client-ca", data, **OURS)
    given = {"client_ca_certificate": own.certificate, "client_ca_key": own.key}
    assert keys(client, spec(namespace, "kubernetes", **given)).client_ca == own
    # The same key in two places is found wherever each is.
    given["client_ca_certificate"], given["client_ca_key"] = made.server_ca.certificate, made.server_ca.key
    assert refused(client, namespace, **given) == [
        f"pki.client_ca_key: is the same key as Secret c-server-ca in namespace {namespace}-planes, "
        "'tls.key': each needs one of its own"
    ]


def test_a_half_of_a_pair_is_not_made_up(host: Host, client: Client) -> None:
    namespace, made = on_host(host, client, "kubernetes")
    data = {"tls.crt": encoded(made.client_ca.certificate)}
    planted(host, f"{namespace}-planes", "c-client-ca", data, **OURS)
    assert refused(client, namespace) == [
        f"the Secrets in namespace {namespace}-planes hold only the certificate of client_ca; restore the "
        "other half, or delete the cluster"
    ]
