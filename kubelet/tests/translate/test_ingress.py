"""Ingresses on the host: what they name is the tenant's, and only what the policy lists."""

import copy
from typing import Any

import pytest
from k3k_kubelet.policy.sync import Ingresses
from k3k_kubelet.translate import HostObject, Refused, identity, ingress, names
from k3k_kubelet.translate.routing import Backend

from kubelet.tests.translate.builders import CLUSTER, OWNER

SETTINGS = Ingresses(enabled=True, hosts=("app.example.com",))
ALL = Ingresses(enabled=True, hosts=("*",))
WEB = {"service": {"name": "web", "port": {"number": 80}}}


def host_name(name: str, namespace: str = "shop") -> str:
    return names.host_name(CLUSTER.name, namespace, name)


def make(spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "front", "namespace": "shop", "uid": "u1", **metadata},
        "spec": spec,
    }


def rule(host: str | None = "app.example.com", path: str = "/", backend: Any = None, **more: Any) -> Any:
    paths = [{"path": path, "pathType": "Prefix", "backend": backend or WEB, **more}]
    return ({"host": host} if host is not None else {}) | {"http": {"paths": paths}}


def to_host(obj: dict[str, Any], settings: Ingresses = SETTINGS) -> HostObject:
    """Translate, and see that the input stays as it was."""
    before = copy.deepcopy(obj)
    made = ingress.to_host(obj, CLUSTER, settings)
    assert obj == before
    return made


def refused(obj: dict[str, Any], settings: Ingresses = SETTINGS) -> tuple[str, str]:
    with pytest.raises(Refused) as found:
        to_host(obj, settings)
    return found.value.path, str(found.value)


def test_backends_and_secrets_have_the_names_of_the_copies() -> None:
    named = {"service": {"name": "api", "port": {"name": "http"}}}
    spec = {
        "ingressClassName": "traefik",
        "rules": [rule(), rule(path="/api", backend=named, pathType="Exact")],
        "tls": [{"hosts": ["app.example.com"], "secretName": "cert"}],
    }
    made = to_host(make(spec))
    assert made.manifest["spec"] == {
        "ingressClassName": "traefik",
        "rules": [
            rule(backend={"service": {"name": host_name("web"), "port": {"number": 80}}}),
            rule(
                path="/api",
                backend={"service": {"name": host_name("api"), "port": {"name": "http"}}},
                pathType="Exact",
            ),
        ],
        "tls": [{"hosts": ["app.example.com"], "secretName": host_name("cert")}],
    }
    assert {(ref.namespace, ref.name, ref.host_name) for ref in made.secrets} == {
        ("shop", "cert", host_name("cert"))
    }


def test_the_copy_is_the_cluster_s() -> None:
    metadata = to_host(make({"rules": [rule()]}, labels={"app": "x"})).manifest["metadata"]
    assert metadata["name"] == host_name("front")
    assert metadata["namespace"] == CLUSTER.namespace
    assert metadata["ownerReferences"] == [OWNER]
    assert metadata["labels"] == {
        "labels.k3k-pulumi.io/app": "x",
        **identity.labels(CLUSTER.name, "shop"),
    }
    assert identity.owner_of({"metadata": metadata}) == identity.Identity("team", "shop", "front", "u1")


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"rules": [rule("victim.example.com")]}, "spec.rules[0].host"),
        ({"rules": [rule(), rule("*.example.com")]}, "spec.rules[1].host"),
        ({"rules": [rule(None)]}, "spec.rules[0].host"),
        ({"rules": [rule("")]}, "spec.rules[0].host"),
        ({"defaultBackend": WEB}, "spec.defaultBackend"),
        ({"rules": [rule()], "defaultBackend": WEB}, "spec.defaultBackend"),
        ({"rules": [rule()], "tls": [{"hosts": ["other.example.com"]}]}, "spec.tls[0].hosts[0]"),
        ({"rules": [rule()], "tls": [{"secretName": "cert"}]}, "spec.tls[0].hosts"),
    ],
)
def test_hosts_are_those_of_the_policy(spec: dict[str, Any], path: str) -> None:
    found, message = refused(make(spec))
    assert found == path
    assert "sync.toHost.ingresses.hosts allows app.example.com" in message


def test_without_any_host_in_the_policy_nothing_is_allowed() -> None:
    _, message = refused(make({"rules": [rule()]}), Ingresses(enabled=True))
    assert message.endswith("the policy's sync.toHost.ingresses.hosts allows none")


@pytest.mark.parametrize(
    "spec",
    [
        {"rules": [rule(None)]},
        {"defaultBackend": WEB},
        {"rules": [rule("a.b.example.com")]},
        {"rules": [rule("*.example.com")]},
        {"rules": [rule()], "tls": [{"secretName": "cert"}]},
    ],
)
def test_an_asterisk_alone_allows_every_host_and_none(spec: dict[str, Any]) -> None:
    assert set(to_host(make(spec), ALL).manifest["spec"]) == set(spec)


@pytest.mark.parametrize(
    ("backend", "path"),
    [
        (
            {"resource": {"apiGroup": "k8s.example.com", "kind": "Bucket", "name": "static"}},
            "spec.rules[0].http.paths[0].backend.resource",
        ),
        (
            {"service": {"name": "../kube-system", "port": {"number": 80}}},
            "spec.rules[0].http.paths[0].backend.service.name",
        ),
        (
            {"service": {"name": "web", "namespace": "x"}},
            "spec.rules[0].http.paths[0].backend.service.namespace",
        ),
    ],
)
def test_backends_are_services_of_the_own_namespace(backend: dict[str, Any], path: str) -> None:
    assert refused(make({"rules": [rule(backend=backend)]}))[0] == path


@pytest.mark.parametrize(
    "path", ["/a`) || Host(`victim.example.com", '/a" {', "/a\nlocation /", "/a b", "a", "/%zz", "/é"]
)
def test_a_path_is_nothing_but_a_path(path: str) -> None:
    found, _ = refused(make({"rules": [rule(path=path, pathType="ImplementationSpecific")]}))
    assert found == "spec.rules[0].http.paths[0].path"


@pytest.mark.parametrize("path", ["/", "/a/b.c", "/%20x", "/a;v=1,2:3@*+~_-!$&'()="])
def test_every_path_of_a_url_is_carried(path: str) -> None:
    spec = to_host(make({"rules": [rule(path=path, pathType="ImplementationSpecific")]})).manifest["spec"]
    assert spec["rules"][0]["http"]["paths"][0]["path"] == path


def test_a_path_type_that_kubernetes_does_not_have_is_refused() -> None:
    assert refused(make({"rules": [rule(pathType="Regex")]}))[0] == "spec.rules[0].http.paths[0].pathType"


def test_classes_are_those_of_the_policy_however_they_are_named() -> None:
    settings = Ingresses(enabled=True, hosts=("*",), classes=("traefik",))
    spec = {"rules": [rule()]}
    assert (
        to_host(make({**spec, "ingressClassName": "traefik"}), settings).manifest["spec"]["ingressClassName"]
        == "traefik"
    )
    assert refused(make({**spec, "ingressClassName": "internal"}), settings)[0] == "spec.ingressClassName"
    found, message = refused(make(spec), settings)
    assert found == "spec.ingressClassName"
    assert "the policy's sync.toHost.ingresses.classes allows traefik" in message
    key = ingress.CLASS_ANNOTATION
    named = to_host(make(spec, annotations={key: "traefik"}), settings).manifest["metadata"]["annotations"]
    assert named[key] == "traefik"
    assert refused(make(spec, annotations={key: "internal"}), settings)[0] == f"metadata.annotations[{key}]"
    both = make({**spec, "ingressClassName": "traefik"}, annotations={key: "internal"})
    assert refused(both, settings)[0] == f"metadata.annotations[{key}]"


def test_annotations_are_those_of_the_policy() -> None:
    own = {
        "nginx.ingress.kubernetes.io/server-snippet": "evil",
        "nginx.ingress.kubernetes.io/proxy-body-size": "1m",
        "traefik.example/x": "y",
        "k3k-pulumi.io/name": "other",
    }
    settings = Ingresses(
        enabled=True,
        hosts=("*",),
        annotations=("nginx.ingress.kubernetes.io/proxy-body-size", "traefik.example/"),
    )
    metadata = to_host(make({"rules": [rule()]}, annotations=own), settings).manifest["metadata"]
    kept = {key: value for key, value in metadata["annotations"].items() if not names.is_reserved(key)}
    assert kept == {"nginx.ingress.kubernetes.io/proxy-body-size": "1m", "traefik.example/x": "y"}
    assert metadata["annotations"]["k3k-pulumi.io/name"] == "front"


def test_what_an_ingress_forwards_to_is_known_without_translating_it() -> None:
    named = {"service": {"name": "api", "port": {"name": "http"}}}
    broken = {"service": {"name": "../x", "port": {"number": 1}}}
    spec = {
        "defaultBackend": WEB,
        "rules": [rule("victim.example.com", backend=named), rule(backend=broken), {"host": "a.b"}],
    }
    assert ingress.backends(make(spec)) == {Backend("shop", "web", 80), Backend("shop", "api", "http")}
    assert ingress.backends({"metadata": {"namespace": "shop"}}) == frozenset()


def test_the_status_inside_is_where_the_host_s_controller_answers() -> None:
    point = {"ip": "192.0.2.7", "ports": [{"port": 443, "protocol": "TCP", "unknown": 1}], "unknown": "x"}
    found = {"status": {"loadBalancer": {"ingress": [point, {"hostname": "lb.example.net", "ip": ""}]}}}
    assert ingress.status(found) == {
        "loadBalancer": {
            "ingress": [
                {"ip": "192.0.2.7", "ports": [{"port": 443, "protocol": "TCP"}]},
                {"hostname": "lb.example.net"},
            ]
        }
    }
    assert ingress.status({}) == {"loadBalancer": {}}
