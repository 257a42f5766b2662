"""Web applications behind the host's ingress controller and gateway, by real HTTP and TLS."""

from __future__ import annotations

from typing import Any

import pytest

from k3k_pulumi.pki import KeyPair
from tests.e2e.conftest import MakeCluster, unique
from tests.e2e.support import ingress_controller as controller
from tests.e2e.support.certificates import serving
from tests.e2e.support.clusters import View, both, running
from tests.e2e.support.ingress_controller import Entry, IngressController
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import AGNHOST, container, deployment, pod, secret
from tests.e2e.support.polling import eventually

Object = dict[str, Any]
PORT = 8080


def ingresses(*hosts: str) -> Object:
    """Ingresses for these hosts, of the class and for the controller of the tests."""
    settings = {
        "enabled": True,
        "hosts": list(hosts),
        "classes": [controller.CLASS],
        "controller_namespaces": [controller.NAMESPACE],
    }
    classes = {"ingress_classes": {"names": [controller.CLASS]}}
    return {"to_host": {"ingresses": settings}, "from_host": classes}


def application(name: str) -> list[Object]:
    """Two pods that answer with their names, and their Service."""
    server = container(
        ["/agnhost", "serve-hostname", "--http", "--port", str(PORT)],
        image=AGNHOST,
        ports=[{"name": "http", "containerPort": PORT}],
        readinessProbe={"tcpSocket": {"port": PORT}, "periodSeconds": 1},
    )
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {
            "selector": {"app": name},
            "ports": [{"name": "web", "port": 80, "targetPort": "http"}],
        },
    }
    return [deployment(name, 2, server), service]


def ingress(name: str, **spec: Any) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name},
        "spec": {"ingressClassName": controller.CLASS, **spec},
    }


def path(text: str, kind: str, service: str, port: str | int = 80) -> Object:
    key = "number" if isinstance(port, int) else "name"
    return {
        "path": text,
        "pathType": kind,
        "backend": {"service": {"name": service, "port": {key: port}}},
    }


def certificate(name: str, pair: KeyPair[str]) -> Object:
    return {
        **secret(name, {"tls.crt": pair.certificate, "tls.key": pair.key}),
        "type": "kubernetes.io/tls",
    }


def answers(entry: Entry, host: str, expected: dict[str, str], **tls: str) -> None:
    """Waits until each path is answered by a pod of that application."""

    def check() -> bool:
        found = {each: entry.get(host, each, **tls) for each in expected}
        texts = {each: f"{answer.status} {answer.text}" for each, answer in found.items()}
        wrong = {each: text for each, text in texts.items() if not text.startswith(f"200 {expected[each]}-")}
        assert not wrong, wrong
        return True

    eventually(check)


def refused(kubectl: Kubectl, name: str, why: str) -> None:
    """Waits until an event about an object says that it has no copy, and why."""

    def is_told() -> bool:
        events = kubectl.get("events", f"--field-selector=involvedObject.name={name},reason=HostCopyRefused")
        said = [each["message"] for each in events]
        assert any(why in each for each in said), said
        return True

    eventually(is_told)


@both
def test_a_web_application_behind_ingress_with_tls(
    make_cluster: MakeCluster, ingress_controller: IngressController, namespace: Kubectl
) -> None:
    host, others = f"{unique('shop')}.example.com", f"{unique('other')}.example.com"
    tenant = make_cluster("tenant", sync=ingresses(host))
    pair = serving(host)
    inside = tenant.inside
    paths = [
        path("/", "Prefix", "web"),
        path("/interface", "Exact", "api", "web"),
        path("/impl", "ImplementationSpecific", "api"),
    ]
    front = ingress(
        "front",
        rules=[{"host": host, "http": {"paths": paths}}],
        tls=[{"hosts": [host], "secretName": "cert"}],
    )
    inside.apply(*application("web"), *application("api"), certificate("cert", pair), front)
    eventually(lambda: inside.get("ingressclass", controller.CLASS))  # of the policy's list
    namespace.apply(pod("outsider", container(["/agnhost", "pause"], image=AGNHOST)))
    expected = {
        "/": "web",
        "/a/b": "web",
        "/interface": "api",
        "/interface/x": "web",
        "/impl": "api",
        "/impl/x": "api",
    }
    with ingress_controller.entry() as entry:
        answers(entry, host, expected, authority=pair.certificate)
        point = {"ip": controller.PUBLISHED}
        eventually(lambda: inside.get("ingress", "front")["status"]["loadBalancer"] == {"ingress": [point]})
        _only_the_controller_gets_in(tenant, namespace)

        renewed = serving(host)
        inside.apply(certificate("cert", renewed))
        answers(entry, host, {"/": "web"}, authority=renewed.certificate)

        def is_renewed() -> bool:
            with pytest.raises(AssertionError) as caught:
                entry.get(host, "/", authority=pair.certificate)
            return "CERTIFICATE_VERIFY_FAILED" in str(caught.value)

        eventually(is_renewed)

        other = make_cluster("other", sync=ingresses(others))
        rules = [{"host": name, "http": {"paths": [path("/", "Prefix", "theft")]}} for name in (host, others)]
        other.inside.apply(
            *application("theft"), ingress("stolen", rules=rules[:1]), ingress("own", rules=rules[1:])
        )
        refused(other.inside, "stolen", f"host '{host}' is not one")
        answers(entry, others, {"/": "theft"})
        answers(entry, host, {"/": "web"}, authority=renewed.certificate)

        inside("delete", "ingress", "front")
        eventually(lambda: entry.get(host, "/").status == 404)
    copies = "k3k-pulumi.io/namespace=default"
    eventually(lambda: not tenant.workloads.get("ingresses,networkpolicies", "-l", copies))
    eventually(lambda: not _names(tenant.workloads.get("secrets", "-l", copies)) & {"cert"})


def _names(copies: list[Object]) -> set[str]:
    return {each["metadata"]["annotations"]["k3k-pulumi.io/name"] for each in copies}


def _only_the_controller_gets_in(tenant: View, outside: Kubectl) -> None:
    """Packets of another pod of the host do not reach the application, whose port the controller's do."""
    outside("wait", "pod/outsider", "--for=condition=Ready", "--timeout=120s")
    for web in running(tenant.inside, "app=web", 2):
        target = f"{web['status']['podIP']}:{PORT}"
        answer = outside.exec("outsider", ["/agnhost", "connect", "--timeout=2s", target])
        assert answer.returncode, f"{target} is open to everybody"
        assert b"TIMEOUT" in answer.stderr, answer.stderr


def test_a_route_of_the_gateway_api_and_a_default_backend(
    make_cluster: MakeCluster, ingress_controller: IngressController
) -> None:
    host = f"{unique('routed')}.example.com"
    gateway = {
        "namespace": "infra",
        "name": "public",
        "host_namespace": controller.NAMESPACE,
        "host_name": controller.GATEWAY,
    }
    sync = ingresses("*")
    sync["to_host"]["http_routes"] = {
        "enabled": True,
        "hosts": [host],
        "gateways": [gateway],
        "controller_namespaces": [controller.NAMESPACE],
    }
    view = make_cluster("routed", sync=sync)
    inside = view.inside
    for kind in ("httproutes", "referencegrants"):
        file = ingress_controller.definitions / f"gateway.networking.k8s.io_{kind}.yaml"
        inside("apply", "--server-side", "-f", str(file))
        name = f"{kind}.gateway.networking.k8s.io"
        inside("wait", "crd", name, "--for=jsonpath={.status.acceptedNames.kind}", "--timeout=60s")
        inside("wait", "crd", name, "--for=condition=Established", "--timeout=60s")
    backend = inside.within("backend")
    inside("create", "namespace", backend.namespace)
    inside.apply(*application("web"))
    backend.apply(*application("api"))
    # The kinds are known a moment after their definitions are established.
    rest = ingress("rest", defaultBackend=path("", "", "web")["backend"])
    eventually(lambda: (inside.apply(_route(host), rest), True))
    refused(inside, "routed", "no ReferenceGrant in backend")
    eventually(lambda: (backend.apply(_grant()), True))
    with ingress_controller.entry() as entry:
        answers(entry, host, {"/api/x": "api", "/": "web"})
        eventually(lambda: entry.get(host, "/api").headers.get("x-route") == "yes")
        moved = eventually(lambda: entry.get(host, "/old"))
        assert (moved.status, moved.headers["location"]) == (302, f"http://{host}/new")
        answers(entry, f"{unique('any')}.example.net", {"/": "web"})

    def accepted() -> bool:
        parents = inside.get("httproute", "routed").get("status", {}).get("parents") or []
        assert [each["parentRef"]["namespace"] for each in parents] == ["infra"], parents
        conditions = {
            each["type"]: (each["status"], each["observedGeneration"]) for each in parents[0]["conditions"]
        }
        assert conditions == {"Accepted": ("True", 1), "ResolvedRefs": ("True", 1)}
        return True

    eventually(accepted)
    assert view.workloads.get("httproutes")
    inside("delete", "httproute", "routed")
    eventually(lambda: not view.workloads.get("httproutes"))


def _route(host: str) -> Object:
    def match(text: str) -> Object:
        return {"matches": [{"path": {"type": "PathPrefix", "value": text}}]}

    headers = {"set": [{"name": "x-route", "value": "yes"}]}
    redirect = {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/new"}, "statusCode": 302}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "routed"},
        "spec": {
            "parentRefs": [{"namespace": "infra", "name": "public"}],
            "hostnames": [host],
            "rules": [
                {
                    **match("/api"),
                    "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": headers}],
                    "backendRefs": [{"name": "api", "namespace": "backend", "port": 80}],
                },
                {**match("/old"), "filters": [{"type": "RequestRedirect", "requestRedirect": redirect}]},
                {**match("/"), "backendRefs": [{"name": "web", "port": 80}]},
            ],
        },
    }


def _grant() -> Object:
    source = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "default"}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {"name": "routes"},
        "spec": {"from": [source], "to": [{"group": "", "kind": "Service", "name": "api"}]},
    }
