"""What a dev cluster is, beside being Kubernetes: room, both IP families, an audit log, real defaults."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from devcluster import audit, golang, oci
from devcluster.api import BUSY
from devcluster.progress import Progress
from tests.e2e.devcluster.command import NAME, Own, succeed
from tests.e2e.devcluster.workloads import AGNHOST, pod, service
from tests.e2e.support.polling import eventually

pytestmark = pytest.mark.xdist_group("own-devcluster")

PODS = 500
LOADED = "example.test/devcluster/loaded:1"


def test_there_is_room_for_500_pods(own: Own) -> None:
    nodes = own.kubectl.get("nodes")
    assert sum(int(node["status"]["allocatable"]["pods"]) for node in nodes) >= PODS
    for node, part in zip(nodes, own.parts.nodes, strict=True):
        ranges = [family.pod_range(part.index) for family in own.instance.families]
        assert node["spec"]["podCIDRs"] == [str(each) for each in ranges]
        # A drain of the other node must fit, too. Three addresses no pod can have.
        assert all(each.num_addresses - 3 >= PODS for each in ranges)
    assert all(family.services.num_addresses > PODS for family in own.instance.families)
    told = Path("/proc/sys/fs/inotify/max_user_instances").read_text()
    assert int(told) >= 8192


def test_both_ip_families_reach_a_service_from_pods_and_from_the_machine(own: Own) -> None:
    kubectl = own.kubectl
    serve = ["/agnhost", "netexec", "--http-port=8080"]
    kubectl.apply(
        service("dual", 8080, dual=True),
        pod("server", serve, image=AGNHOST, labels={"app": "dual"}, node="node-2"),
        pod("client", ["/agnhost", "pause"], image=AGNHOST, node="node-1"),
    )
    kubectl("wait", "pod/server", "pod/client", "--for=condition=Ready", "--timeout=120s")
    addresses = kubectl.get("service", "dual")["spec"]["clusterIPs"]
    assert len(addresses) == 2
    for address, family in zip(addresses, own.instance.families, strict=True):
        target = f"[{address}]:8080" if ":" in address else f"{address}:8080"

        def connected(target: str = target) -> bool:
            return kubectl.exec("client", ["/agnhost", "connect", target, "--timeout=2s"]).returncode == 0

        def seen_as(target: str = target) -> str:
            return fetch(f"http://{target}/clientip")

        eventually(connected)
        # The pod sees the machine under the address that `status` tells, on whichever node it is.
        assert eventually(seen_as).rpartition(":")[0].strip("[]") == str(family.client)
    kubectl("delete", "pod/server", "pod/client", "service/dual", "--wait=false")


def fetch(url: str) -> str:
    """The answer, past any proxy; an AssertionError when there is none."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2) as answer:
            return str(answer.read().decode())
    except OSError as error:
        raise AssertionError(f"{url}: {error}") from error


def test_audit_log_holds_who_did_what(own: Own) -> None:
    kubectl = own.kubectl
    kubectl("create", "configmap", "audited", "--from-literal=key=confidential")
    kubectl("delete", "configmap", "audited")
    log = Path(succeed("audit-log", "--name", NAME).strip())

    def verbs() -> set[str]:
        return {
            request.verb
            for request in audit.requests(log)
            if (request.user, request.group, request.resource, request.namespace, request.name)
            == ("devcluster-admin", "", "configmaps", "default", "audited")
            and request.code in (200, 201)
        }

    assert eventually(lambda: verbs() >= {"create", "delete"})
    assert "confidential" not in log.read_text()
    kubelets = {request.user for request in audit.requests(log) if request.subresource == "status"}
    assert {"system:node:node-1", "system:node:node-2"} <= kubelets


def test_load_makes_an_image_runnable_on_every_node(own: Own, tmp_path: Path) -> None:
    kubectl = own.kubectl
    for node in own.instance.node_names:
        kubectl.apply(pod(f"loaded-{node}", ["/program"], image=LOADED, node=node))

    def reasons() -> set[str]:
        pods = [kubectl.get("pod", f"loaded-{node}") for node in own.instance.node_names]
        states = [
            found["status"]["containerStatuses"][0]["state"]
            for found in pods
            if found["status"].get("containerStatuses")
        ]
        return {state.get("waiting", {}).get("reason", "") for state in states}

    eventually(lambda: reasons() == {"ErrImageNeverPull"})
    program = golang.build(golang.KUBE, Progress(quiet=True)) / "pause"
    layer = oci.write_layer([oci.Entry("program", program)], tmp_path / "layer")
    oci.write_archive(tmp_path / "loaded.tar", LOADED, oci.Config(), [layer])
    succeed("load", str(tmp_path / "loaded.tar"), "--name", NAME)
    pods = [f"pod/loaded-{node}" for node in own.instance.node_names]
    kubectl("wait", *pods, "--for=condition=Ready", "--timeout=120s")
    kubectl("delete", *pods, "--wait=false")


def test_kube_apiserver_needs_its_file_capability_as_the_official_image(own: Own) -> None:
    kubectl = own.kubectl
    image = "registry.k8s.io/kube-apiserver:v1.34.4"
    command = ["kube-apiserver", "--version"]
    restricted = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    bare = restricted | {"capabilities": {"drop": ["ALL"]}}
    enough = restricted | {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}
    kubectl.apply(
        pod("bare", command, image=image, security=bare, restart="Never"),
        pod("enough", command, image=image, security=enough, restart="Never"),
    )

    def ended(name: str) -> dict[str, object]:
        status = kubectl.get("pod", name)["status"]
        states = [each["state"] for each in status.get("containerStatuses", ())]
        assert states, status
        assert "terminated" in states[0], states
        return dict(states[0]["terminated"])

    assert eventually(lambda: ended("enough"))["exitCode"] == 0
    assert kubectl("logs", "enough").strip() == "Kubernetes v1.34.4"
    failed = eventually(lambda: ended("bare"))
    assert failed["exitCode"] != 0
    assert "operation not permitted" in kubectl("logs", "bare") + str(failed.get("message"))
    kubectl("delete", "pod/bare", "pod/enough", "--wait=false")


def test_strangers_see_health_alone(own: Own) -> None:
    server = own.instance.server
    expected = {f"{server}/readyz": 200}
    expected |= {server + path: 401 for path in ("/version", "/api", "/apis", "/openapi/v2", "/metrics")}
    for family in own.instance.families:
        node = family.node(2)
        host = f"[{node}]" if node.version == 6 else str(node)
        expected[f"https://{host}:10250/pods"] = 401
    for url, status in expected.items():
        assert eventually(lambda url=url: _status(url)) == status, url


def _status(url: str) -> int:
    """Status of an answer to a request without credentials; 0 where a server has no time for one."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(url, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return 0 if error.code in BUSY else error.code
    except OSError:
        return 0


def test_pod_security_admission_is_on(own: Own) -> None:
    kubectl = own.kubectl.within("guarded")
    # With the label from the first: what a label changes, the API server learns a moment later.
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": "guarded", "labels": labels}
    kubectl.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    eventually(lambda: kubectl("get", "serviceaccount", "default"))  # any pod is refused before
    manifest = pod("plain", ["true"]) | {"apiVersion": "v1"}

    def refused() -> bool:
        answer = kubectl.run("create", "-f", "-", stdin=json.dumps(manifest).encode())
        if not answer.returncode:
            pytest.fail("the pod was taken")
        return b'violates PodSecurity "restricted:latest"' in answer.stderr

    eventually(refused)
    kubectl("delete", "namespace", "guarded", "--wait=false")


def test_a_node_has_a_file_system_of_its_own(own: Own, tmp_path: Path) -> None:
    (tmp_path / "of-the-machine").touch()
    (node, *_) = own.parts.nodes
    seen = subprocess.run(node.command("ls", str(tmp_path)), capture_output=True, text=True, check=False)
    assert seen.returncode != 0
    write = subprocess.run(
        node.command("touch", "/usr/of-the-node"), capture_output=True, text=True, check=False
    )
    assert "Read-only file system" in write.stderr
