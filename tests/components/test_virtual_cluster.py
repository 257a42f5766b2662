"""What a VirtualCluster registers, with which options, and what of it is known and secret."""

from __future__ import annotations

import importlib.metadata
import json
from typing import Any

import pytest
from cryptography import x509

from k3k_pulumi.manifests import virtual_cluster
from k3k_pulumi.model import VirtualClusterSpec
from k3k_pulumi.pki import create_pki
from tests.components.conftest import SOURCES, Deploy
from tests.components.host import BALANCER_IP, CLUSTER_IP, COMPONENT, UNKNOWN, Deployment, leaves

K3S = {"distribution": "k3s", "version": "v1.34.4-k3s1"}
BOTH = pytest.mark.parametrize("args", [{}, K3S], ids=["kubernetes", "k3s"])


def urn(done: Deployment, type_: str, name: str) -> str:
    return f"urn:pulumi:stack::project::{COMPONENT}${done.one(type_, name).type}::{name}"


@BOTH
def test_every_object_of_the_manifests_is_registered(deploy: Deploy, args: dict[str, Any]) -> None:
    spec = VirtualClusterSpec.parse("c", {"namespace": "team", "distribution": "kubernetes", **args})
    wanted = {}
    for manifest in virtual_cluster(spec, create_pki("c")):
        metadata = manifest["metadata"]
        wanted[manifest["kind"], metadata.get("namespace", ""), metadata["name"]] = manifest
    made: dict[Any, Any] = {}
    for each in deploy(**args).all("kubernetes:"):
        body, kind = each.plain, each.plain["kind"]
        key = (kind, body["metadata"].get("namespace", ""), body["metadata"]["name"])
        made.setdefault(key, {}).update({name: value for name, value in body.items() if name != "metadata"})
        group = body["apiVersion"] if "/" in body["apiVersion"] else f"core/{body['apiVersion']}"
        assert each.type in (f"kubernetes:{group}:{kind}", f"kubernetes:{group}:{kind}Patch")
    assert made.keys() == wanted.keys()
    for key, manifest in wanted.items():
        assert set(made[key].get("data", {})) == set(manifest.get("data", manifest.get("stringData", {})))
        assert (
            made[key].get("spec") == json.loads(json.dumps(manifest.get("spec"))) or key[0] == "StatefulSet"
        )


@BOTH
def test_everything_belongs_to_the_component_and_asks_for_one_provider(
    deploy: Deploy, args: dict[str, Any]
) -> None:
    done = deploy(**args)
    children = [each for each in done.registrations if each.type != COMPONENT]
    assert done.one(COMPONENT, "c").request.custom is False
    parents = {each.request.parent for each in children}
    assert len(parents) == 1
    assert parents.pop().endswith(f"{COMPONENT}::c")
    objects = [each for each in children if each.type.startswith("kubernetes:")]
    assert {each.request.version for each in objects} == {importlib.metadata.version("pulumi-kubernetes")}
    assert not any(each.request.protect for each in children)


def test_workloads_wait_for_all_they_need(deploy: Deploy) -> None:
    done = deploy()
    workloads = {"c-server", "c-kubelet"}
    for type_, name in (("StatefulSet", "c-server"), ("Deployment", "c-kubelet")):
        needed = {dependency.split("::")[-1] for dependency in done.one(type_, name).request.dependencies}
        others = {
            each.name
            for each in done.all("kubernetes:")
            if not each.type.endswith((":StatefulSet", ":Deployment"))
        }
        assert others <= needed | workloads
        kinds = {
            dependency.split("::")[2].split(":")[-1]
            for dependency in done.one(type_, name).request.dependencies
        }
        assert {"NetworkPolicy", "SecretPatch", "ConfigMapPatch", "Service"} <= kinds


def test_the_proof_of_network_policies_is_awaited_after_all_it_needs(deploy: Deploy) -> None:
    name = "c-network-probe-workloads"
    assert name not in {each.name for each in deploy().registrations}
    done = deploy(require_network_policy=True)
    job = done.one(":Job", name)
    assert {urn(done, ":NetworkPolicy", name), urn(done, ":Service", name)} <= set(job.request.dependencies)
    annotations = job.plain["metadata"]["annotations"]
    assert "pulumi.com/skipAwait" not in annotations
    assert annotations["pulumi.com/replaceUnready"] == "true"  # a Job that has failed never succeeds


def test_objects_go_with_their_namespace_but_the_kubelet_goes_first(deploy: Deploy) -> None:
    done = deploy()
    control_plane = urn(done, "Namespace", "c-control-plane")
    workloads = urn(done, "Namespace", "c-workloads")
    for each in done.all("kubernetes:"):
        if each.type.endswith((":Namespace", ":Deployment")):
            assert each.request.deletedWith == ""
        else:
            namespace = each.plain["metadata"]["namespace"]
            assert each.request.deletedWith == (workloads if namespace == "team" else control_plane)
            assert each.request.deletedWith in each.request.dependencies or "Patch" in each.type


def test_in_namespaces_that_exist_objects_are_deleted_one_by_one(deploy: Deploy) -> None:
    done = deploy(create_namespace=False, create_control_plane_namespace=False)
    assert not [each for each in done.registrations if each.type.endswith(":Namespace")]
    for each in done.all("kubernetes:"):
        if each.type.endswith("Patch"):
            shell = each.type.rpartition(":")[2].removesuffix("Patch")
            assert each.request.deletedWith == urn(done, f":{shell}", each.name)
        else:
            assert each.request.deletedWith == ""


def test_the_right_to_read_nodes_is_one_of_the_cluster_alone(deploy: Deploy) -> None:
    group = "kubernetes:rbac.authorization.k8s.io/v1"
    for kind in ("ClusterRole", "ClusterRoleBinding"):
        made = deploy(mirror_host_nodes=True).one(f"{group}:{kind}", "c-nodes")
        assert made.plain["metadata"]["name"] == "k3k-pulumi.io:team-c-control-plane:c"
        # No namespace takes it along.
        assert not made.request.deletedWith
    assert not deploy().all(f"{group}:ClusterRole")


def test_an_admission_policy_is_one_of_the_cluster_alone(deploy: Deploy) -> None:
    group = "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicy"
    for type_ in (group, f"{group}Binding"):
        made = deploy(admission_policy=True).one(type_, "c-admission")
        assert made.plain["metadata"]["name"] == "c.team-c-control-plane.k3k-pulumi.io"
        assert not made.request.deletedWith
    assert not deploy().all(group)


def test_data_of_secrets_and_config_maps_comes_by_patches(deploy: Deploy) -> None:
    done = deploy(**K3S)
    for kind in ("Secret", "ConfigMap"):
        shells = done.all(f"kubernetes:core/v1:{kind}")
        shells = [each for each in shells if not each.type.endswith("Patch")]
        patches = {each.name: each for each in done.all(f"kubernetes:core/v1:{kind}Patch")}
        assert not any({"data", "stringData"} & each.plain.keys() for each in shells)
        assert {each.name for each in shells} - patches.keys() <= {"c-anchor-workloads"}
        for name, patch in patches.items():
            assert patch.plain.keys() == {"apiVersion", "kind", "metadata", "data"}
            assert patch.plain["metadata"].keys() == {"name", "namespace"}
            assert urn(done, f":{kind}", name) in patch.request.dependencies
        # What `kubectl apply` writes into an annotation of a Secret is its data.
        hidden = {tuple(each.request.additionalSecretOutputs) for each in (*shells, *patches.values())}
        assert hidden == {("data", "metadata") if kind == "Secret" else ()}


def test_what_others_write_is_left_to_them(deploy: Deploy) -> None:
    ignored = {
        (each.type.rpartition(":")[2], each.name): list(each.request.ignoreChanges)
        for each in deploy(**K3S).registrations
        if each.request.ignoreChanges
    }
    assert ignored.pop(("Service", "c-kubelet")) == ["spec.ports"]
    assert {type_ for type_, _ in ignored} == {"Stash"}
    assert all(fields == ["input"] for fields in ignored.values())


@BOTH
def test_no_key_is_ever_in_clear(deploy: Deploy, args: dict[str, Any]) -> None:
    done = deploy(**args, expose=SOURCES)
    for each in done.registrations:
        for path, value, secret in leaves(each.inputs):
            in_secret = each.type.endswith((":Secret", ":SecretPatch", ":Stash")) and path != ".apiVersion"
            assert "PRIVATE KEY" not in str(value) or secret, f"{each.type} {each.name}{path}"
            if in_secret and each.type.endswith(":SecretPatch") and path.startswith(".data"):
                assert secret, f"{each.type} {each.name}{path}"
            if each.type.endswith((":StatefulSet", ":Deployment")):
                assert not secret, f"a preview would hide {each.name}{path}"


def test_outputs(deploy: Deploy, preview: bool) -> None:
    outputs = deploy(expose=SOURCES).outputs
    assert outputs["namespace"].value == "team"
    assert {name for name, output in outputs.items() if output.secret} == {"kubeconfig"}
    authority = x509.load_pem_x509_certificate(outputs["ca_certificate_pem"].value.encode())
    assert authority.subject.rfc4514_string() == "CN=c-server-ca"
    known = {name for name, output in outputs.items() if output.known}
    if preview:  # the address is the host's to give
        assert known == {"namespace", "ca_certificate_pem"}
        return
    assert known == outputs.keys()
    assert outputs["endpoint"].value == f"https://{CLUSTER_IP}:443"
    kubeconfig = json.loads(outputs["kubeconfig"].value)
    assert kubeconfig["clusters"][0]["cluster"]["server"] == f"https://{CLUSTER_IP}:443"


@BOTH
def test_a_preview_knows_all_it_creates(deploy: Deploy, args: dict[str, Any]) -> None:
    for each in deploy(**args, expose=SOURCES).registrations:
        if each.name == "c-ready":  # the proof of an answer is of what answered
            continue
        unknown = [path for path, value, _ in leaves(each.inputs) if value == UNKNOWN]
        assert not unknown, f"{each.type} {each.name}"


def test_keys_stay_from_run_to_run(deploy: Deploy) -> None:
    stashes: dict[str, Any] = {}

    def contents(done: Deployment) -> Any:
        patches = {each.name: each.plain["data"] for each in done.all("kubernetes:core/v1:SecretPatch")}
        return patches, {name: output.value for name, output in done.outputs.items()}

    first = contents(deploy(stashes))
    assert contents(deploy(stashes)) == first
    assert contents(deploy())[0] != first[0]


def test_the_administrator_is_signed_anew_with_another_ca(deploy: Deploy) -> None:
    stashes: dict[str, Any] = {}

    def trigger(done: Deployment) -> Any:
        return done.one("Stash", "c-admin").request.replacement_trigger

    first = trigger(deploy(stashes))
    assert trigger(deploy(stashes)) == first
    del stashes["c-client-ca"]
    assert trigger(deploy(stashes)) != first


def test_claims_are_not_waited_for(deploy: Deploy) -> None:
    """Pulumi would wait for a bound one to be pending where it takes it over (its awaiters.go).

    And five minutes for a volume, whatever limit it is given; the servers wait for that anyway.
    """
    claim = deploy().one(":PersistentVolumeClaim", "c-data-server-0").plain
    assert claim["metadata"]["annotations"]["pulumi.com/skipAwait"] == "true"


def test_a_load_balancer_is_waited_for(deploy: Deploy) -> None:
    done = deploy(expose={**SOURCES, "type": "LoadBalancer"})
    assert done.outputs["endpoint"].value in (None, f"https://{BALANCER_IP}:443")
    service = done.one("Service", "c-api").plain
    annotations = service["metadata"]["annotations"]
    assert annotations["pulumi.com/waitFor"] == "jsonpath={.status.loadBalancer.ingress}"
    assert "pulumi.com/skipAwait" not in annotations
