"""The variables by which containers find Services: those of Kubernetes' own kubelet, below all others."""

from dataclasses import replace
from typing import Any

import pytest
from k3k_kubelet.translate import identity, names, services

from kubelet.tests.translate.builders import CLUSTER, LINKS, host_spec, pod, to_host


def service(name: str = "my-db", address: str | None = "10.43.0.9", *ports: dict[str, Any]) -> dict[str, Any]:
    """A Service as the store has it."""
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": address, "ports": list(ports) or [{"port": 5432}]},
    }


SINGLE = {
    "MY_DB_SERVICE_HOST": "10.43.0.9",
    "MY_DB_SERVICE_PORT": "5432",
    "MY_DB_PORT": "tcp://10.43.0.9:5432",
    "MY_DB_PORT_5432_TCP": "tcp://10.43.0.9:5432",
    "MY_DB_PORT_5432_TCP_PROTO": "tcp",
    "MY_DB_PORT_5432_TCP_PORT": "5432",
    "MY_DB_PORT_5432_TCP_ADDR": "10.43.0.9",
}
SEVERAL = service(
    "q",
    "fd00::9",
    {"name": "m-1", "port": 1, "protocol": "UDP"},
    {"name": "x", "port": 2, "protocol": "SCTP"},
)
CASES: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("one port without a name", service(), SINGLE),
    (
        "several ports, IPv6",
        SEVERAL,
        {
            "Q_SERVICE_HOST": "fd00::9",
            "Q_SERVICE_PORT": "1",
            "Q_SERVICE_PORT_M_1": "1",
            "Q_SERVICE_PORT_X": "2",
            "Q_PORT": "udp://[fd00::9]:1",
            "Q_PORT_1_UDP": "udp://[fd00::9]:1",
            "Q_PORT_1_UDP_PROTO": "udp",
            "Q_PORT_1_UDP_PORT": "1",
            "Q_PORT_1_UDP_ADDR": "fd00::9",
            "Q_PORT_2_SCTP": "sctp://[fd00::9]:2",
            "Q_PORT_2_SCTP_PROTO": "sctp",
            "Q_PORT_2_SCTP_PORT": "2",
            "Q_PORT_2_SCTP_ADDR": "fd00::9",
        },
    ),
    ("headless", service("h", "None"), {}),
    ("ExternalName", {"metadata": {"name": "e"}, "spec": {"type": "ExternalName"}}, {}),
    ("no address yet", service("n", ""), {}),
    ("no ports", {"metadata": {"name": "p"}, "spec": {"clusterIP": "10.0.0.1", "ports": None}}, {}),
]


@pytest.mark.parametrize(("found", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_variables_of_a_service(found: dict[str, Any], expected: dict[str, str]) -> None:
    assert services.variables(found) == expected


KUBERNETES = {
    "KUBERNETES_SERVICE_HOST": "10.96.7.7",
    "KUBERNETES_SERVICE_PORT": "443",
    "KUBERNETES_SERVICE_PORT_HTTPS": "443",
    "KUBERNETES_PORT": "tcp://10.96.7.7:443",
    "KUBERNETES_PORT_443_TCP": "tcp://10.96.7.7:443",
    "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
    "KUBERNETES_PORT_443_TCP_PORT": "443",
    "KUBERNETES_PORT_443_TCP_ADDR": "10.96.7.7",
}


def test_the_api_server_is_where_pods_reach_it() -> None:
    assert services.kubernetes(CLUSTER) == KUBERNETES
    found = services.kubernetes(replace(CLUSTER, api_host="fd00::7"))
    assert (found["KUBERNETES_SERVICE_HOST"], found["KUBERNETES_PORT"]) == ("fd00::7", "tcp://[fd00::7]:443")


OWN_KUBERNETES = service("kubernetes", "10.43.0.1", {"port": 443, "name": "https"})


@pytest.mark.parametrize(
    ("namespace", "name", "expected"),
    [
        ("team", services.LINKS, KUBERNETES | SINGLE | services.variables(OWN_KUBERNETES)),
        ("team", services.KUBERNETES, KUBERNETES),
    ],
    ids=["links", "no links"],
)
def test_the_config_map_of_a_namespace(namespace: str, name: str, expected: dict[str, str]) -> None:
    made = services.config_map(CLUSTER, namespace, name, [service(), OWN_KUBERNETES])
    assert made["data"] == expected
    owner = identity.owner_of(made)
    assert owner == identity.Identity("team", namespace, name, "")
    assert made["metadata"]["name"] == names.host_name("team", namespace, name)


def test_a_config_map_takes_no_more_than_kubernetes_lets_it() -> None:
    many = [service(f"service-{n:05}", "10.0.0.1", {"port": 80, "name": "x" * 15}) for n in range(6000)]
    data = services.config_map(CLUSTER, "team", services.LINKS, reversed(many))["data"]
    size = sum(len(key) + len(value) for key, value in data.items())
    assert services.MAX_BYTES - 1000 < size <= services.MAX_BYTES
    assert "SERVICE_00000_SERVICE_HOST" in data
    assert KUBERNETES.items() <= data.items()


KINDS = ("initContainers", "containers")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("links", "source"),
    [
        (None, LINKS["configMapRef"]["name"]),
        (True, LINKS["configMapRef"]["name"]),
        (False, names.host_name("team", "default", ":kubernetes")),
    ],
)
def test_every_container_reads_them_before_its_own_sources(
    kind: str, links: bool | None, source: str
) -> None:
    own = [{"prefix": "A_", "secretRef": {"name": "s"}}]
    spec = {"enableServiceLinks": links, kind: [{"name": "c", "image": "x", "envFrom": own}]}
    found = host_spec(pod(spec))[kind][0]["envFrom"]
    assert found[0] == {"configMapRef": {"name": source}}
    assert [each.get("prefix") for each in found] == [None, "A_"]
    assert source in {each.host_name for each in to_host(pod(spec)).config_maps}


def test_no_object_of_a_tenant_can_be_the_variables() -> None:
    assert not names.is_name(services.LINKS)
    assert not names.is_name(services.KUBERNETES)
