"""How the servers are configured: what a distribution and its versions take, certificates, issuers."""

import itertools
import json
import re
from typing import Any

import pytest

from tests.unit.support import DISTRIBUTIONS, containers, find, manifests, templates


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return list(itertools.chain.from_iterable(map(strings, value.values())))
    if isinstance(value, list):
        return list(itertools.chain.from_iterable(map(strings, value)))
    return [value] if isinstance(value, str) else []


def test_the_memory_limit_of_go_programs_is_nine_tenths_of_their_containers() -> None:
    def limit(**args: Any) -> list[str]:
        server = containers(templates(manifests(**args))["server"])["kube-apiserver"]
        return [each["value"] for each in server["env"] if each["name"] == "GOMEMLIMIT"]

    assert limit() == ["1843MiB"]
    assert limit(resources={"server": {"limits": {"memory": "1G"}}}) == ["858MiB"]
    assert limit(resources={"server": {"requests": {"memory": "1G"}}}) == []


@pytest.mark.parametrize(("kind", "waits"), [("dynamic", True), ("ephemeral", False)])
def test_etcd_waits_for_the_disk_where_its_data_is_to_last(kind: str, waits: bool) -> None:
    made = manifests(distribution="kubernetes", persistence={"type": kind})
    etcd = containers(templates(made)["server"])["etcd"]
    assert ("--unsafe-no-fsync=true" not in etcd["args"]) is waits


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("v1.21.14+k3s1", False),
        ("v1.22.9+k3s1", False),
        ("v1.22.10+k3s1", True),
        ("v1.23.6+k3s1", False),
        ("v1.24.0+k3s1", False),
        ("v1.24.1+k3s1", True),
        ("v1.25.0+k3s1", True),
        ("v1.34.4+k3s1", True),
    ],
)
def test_k3s_gets_no_key_that_its_release_does_not_know(version: str, known: bool) -> None:
    server = find(manifests(distribution="k3s", version=version), "ConfigMap", "c-server")
    assert ("egress-selector-mode" in json.loads(server["data"]["config.yaml"])) is known


def test_k3s_controllers_have_the_names_of_their_time() -> None:
    def controllers(version: str) -> str:
        server = find(manifests(distribution="k3s", version=version), "ConfigMap", "c-server")
        arguments: list[str] = json.loads(server["data"]["config.yaml"])["kube-controller-manager-arg"]
        return arguments[0]

    assert controllers("v1.27.9+k3s1") == "controllers=*,tokencleaner,-attachdetach"
    assert (
        controllers("v1.28.0+k3s1") == "controllers=*,tokencleaner,-persistentvolume-attach-detach-controller"
    )


@DISTRIBUTIONS
def test_the_serving_certificate_names_every_way_to_the_api(distribution: str) -> None:
    objects = manifests("my-c", distribution=distribution, expose={"host": "api.example.com"})
    text = json.dumps(objects)
    for name in (
        "127.0.0.1",
        "localhost",
        "kubernetes.default.svc.cluster.local",
        "my-c-api.team-my-c-control-plane.svc",
        "api.example.com",
    ):
        assert f'"--tls-san={name}"' in text if distribution == "k3s" else name in text
    address = "$(MY_C_API_SERVICE_HOST)"
    container = containers(templates(objects)["server"])["k3s" if distribution == "k3s" else "certificates"]
    assert any(address in text for text in strings([container["env"], container["args"]]))


def test_authentication_configuration_has_the_api_version_of_its_time() -> None:
    def api_version(version: str) -> Any:
        server = find(manifests(version=version), "ConfigMap", "c-server")
        return json.loads(server["data"]["authentication.json"])["apiVersion"]

    assert api_version("v1.33.9") == "apiserver.config.k8s.io/v1beta1"
    assert api_version("v1.34.0") == "apiserver.config.k8s.io/v1"


@DISTRIBUTIONS
def test_tokens_have_another_issuer_in_each_cluster(distribution: str) -> None:
    """A token of one cluster must not pass for another's where a cloud or Vault trusts issuers."""
    where = [("a", "team"), ("b", "team"), ("a", "other")]
    texts = [json.dumps(manifests(name, namespace=space, distribution=distribution)) for name, space in where]
    issuers = [re.findall(r"service-account-issuer=([^\"\\]+)", text) for text in texts]
    assert all(len(found) == 1 for found in issuers)
    assert len({found[0] for found in issuers}) == len(where)
