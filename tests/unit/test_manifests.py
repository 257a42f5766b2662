import itertools
import json
from typing import Any

import pytest

from k3k_pulumi.manifests import virtual_cluster, waits_for_ready
from tests.unit.support import (
    CONTROL_PLANE,
    DISTRIBUTIONS,
    containers,
    find,
    manifests,
    marked_pki,
    spec,
    templates,
)


@DISTRIBUTIONS
def test_objects_come_after_what_they_need(distribution: str) -> None:
    kinds = [each["kind"] for each in manifests(distribution=distribution)]
    order = [
        "Namespace",
        "ServiceAccount",
        "Role",
        "NetworkPolicy",
        "Service",
        "Secret",
        "PersistentVolumeClaim",
        "StatefulSet",
        "Deployment",
    ]
    for earlier, later in itertools.pairwise(order):
        assert max(i for i, kind in enumerate(kinds) if kind == earlier) < kinds.index(later)


@DISTRIBUTIONS
def test_every_reference_to_a_host_object_is_to_one_that_is_made(distribution: str) -> None:
    objects = manifests(distribution=distribution)
    made = {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects}
    for template in templates(objects).values():
        pod = template["spec"]
        assert ("ServiceAccount", CONTROL_PLANE, pod["serviceAccountName"]) in made
        for volume in pod["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", CONTROL_PLANE, volume["configMap"]["name"]) in made
            for source in volume.get("projected", {}).get("sources", ()):
                secret = find(objects, "Secret", source["secret"]["name"], CONTROL_PLANE)
                assert {item["key"] for item in source["secret"]["items"]} <= set(secret["stringData"])
        mounted = {mount["name"] for each in containers(template).values() for mount in each["volumeMounts"]}
        templated = {"data"} if template is templates(objects)["server"] else set()
        assert mounted == {volume["name"] for volume in pod["volumes"]} | templated


@DISTRIBUTIONS
def test_no_two_objects_are_the_same(distribution: str) -> None:
    objects = manifests(distribution=distribution)
    keys = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects]
    assert len(set(keys)) == len(keys)


@DISTRIBUTIONS
def test_pods_keep_to_pod_securitys_restricted_level(distribution: str) -> None:
    """As https://kubernetes.io/docs/concepts/security/pod-security-standards has it, and a read-only root."""
    for template in templates(manifests(distribution=distribution)).values():
        pod = template["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "emptyDir", "projected", "secret"}
        for container in containers(template).values():
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"]["drop"] == ["ALL"]
            assert set(security["capabilities"].get("add", ())) <= {"NET_BIND_SERVICE"}


def test_only_programs_that_carry_a_file_capability_are_given_it() -> None:
    """Without it in the container's bounding set they could not be executed."""
    objects = manifests(distribution="kubernetes")
    named = [
        name
        for template in templates(objects).values()
        for name, container in containers(template).items()
        if "add" in container["securityContext"]["capabilities"]
    ]
    assert named == ["kube-apiserver", "coredns"]


@DISTRIBUTIONS
def test_every_container_requests_cpu_and_memory_and_has_a_memory_limit(distribution: str) -> None:
    for template in templates(manifests(distribution=distribution)).values():
        for container in containers(template).values():
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


@DISTRIBUTIONS
def test_secret_values_are_placed_as_they_are(distribution: str) -> None:
    """They may be Outputs: anything but the very object would have been transformed."""

    class Opaque:
        pass

    def opaque(value: Any) -> Any:
        if isinstance(value, str):
            return Opaque()
        return type(value)(*map(opaque, vars(value).values()))

    pki = type(marked_pki())(*map(opaque, vars(marked_pki()).values()))
    objects = virtual_cluster(spec(distribution=distribution), pki)
    placed = [value for each in objects if each["kind"] == "Secret" for value in each["stringData"].values()]
    assert all(isinstance(value, Opaque) for value in placed)
    assert len({id(value) for value in placed}) == len(placed) == (12 if distribution == "k3s" else 11)
    rest = [each for each in objects if each["kind"] != "Secret"]
    headers = [
        header["value"]
        for container in templates(rest)["server"]["spec"]["containers"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
        for header in container.get(probe, {}).get("httpGet", {}).get("httpHeaders", ())
    ]
    assert all(header is pki.probe_token.authorization for header in headers)
    assert len(headers) == (3 if distribution == "k3s" else 0)


@DISTRIBUTIONS
def test_a_namespace_known_only_later_can_be_put_in(distribution: str) -> None:
    """What the component does with an Output: a name that stands for it is replaced in every text."""

    def put(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: put(item) for key, item in value.items()}
        if isinstance(value, list):
            return list(map(put, value))
        return value.replace("stand-in", "team") if isinstance(value, str) else value

    def without_checksums(objects: list[Any]) -> list[Any]:
        for template in templates(objects).values():
            template["metadata"]["annotations"].pop("k3k-pulumi.io/config-checksum")
        return objects

    late = put(manifests(namespace="stand-in", distribution=distribution))
    assert without_checksums(late) == without_checksums(manifests(distribution=distribution))


@DISTRIBUTIONS
@pytest.mark.parametrize(
    "args",
    [
        {"persistence": {"size": "9Gi", "storage_class": "fast"}},
        {"labels": {"a": "b"}, "annotations": {"a": "b"}},
        {"egress": "none", "service_cidr": "10.44.0.0/16", "cluster_domain": "other"},
        {"expose": {"type": "LoadBalancer", "source_cidrs": ["0.0.0.0/0"]}},
        {"images": {"server": "other"}, "resources": {"server": {"limits": {"memory": "1Gi"}}}},
        {"node_selector": {"a": "b"}, "priority_class": "p"},
    ],
)
def test_no_change_of_an_argument_replaces_the_stateful_set(distribution: str, args: dict[str, Any]) -> None:
    def immutable(objects: list[Any]) -> dict[str, Any]:
        body = find(objects, "StatefulSet", "c-server")["spec"]
        fields = ("serviceName", "podManagementPolicy", "selector", "revisionHistoryLimit")
        return {field: body[field] for field in (*fields, "volumeClaimTemplates")}

    assert immutable(manifests(distribution=distribution, **args)) == immutable(
        manifests(distribution=distribution)
    )


def test_claims_are_objects_of_ours_with_the_names_that_the_stateful_set_looks_for() -> None:
    objects = manifests(persistence={"size": "9Gi", "storage_class": "fast"})
    body = find(objects, "StatefulSet", "c-server")["spec"]
    (template,) = body["volumeClaimTemplates"]
    claim = find(objects, "PersistentVolumeClaim", f"{template['metadata']['name']}-c-server-0")["spec"]
    assert claim["resources"] == {"requests": {"storage": "9Gi"}}
    assert claim["storageClassName"] == "fast"
    assert body["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}


def test_an_ephemeral_cluster_has_no_claim() -> None:
    objects = manifests(persistence={"type": "ephemeral"})
    assert not [each for each in objects if each["kind"] == "PersistentVolumeClaim"]
    body = find(objects, "StatefulSet", "c-server")["spec"]
    assert "volumeClaimTemplates" not in body
    assert {"name": "data", "emptyDir": {}} in body["template"]["spec"]["volumes"]


@DISTRIBUTIONS
def test_pods_are_made_anew_when_their_configuration_changes_and_not_for_the_policy(
    distribution: str,
) -> None:
    def checksums(**args: Any) -> list[str]:
        annotations = [
            template["metadata"]["annotations"]
            for template in templates(manifests(distribution=distribution, **args)).values()
        ]
        return [each["k3k-pulumi.io/config-checksum"] for each in annotations]

    server, kubelet, dns = checksums()
    assert checksums(pods={"privileged": True}) == [server, kubelet, dns]
    changed = checksums(cluster_domain="other")
    assert changed[0] != server
    assert changed[1] != kubelet
    assert changed[2] != dns
    assert checksums(dns={"upstreams": ["192.0.2.1"]})[:2] == [server, kubelet]
    assert checksums(dns={"upstreams": ["192.0.2.1"]})[2] != dns


def test_users_labels_are_on_every_object_and_pod_and_never_in_a_selector() -> None:
    objects = manifests(labels={"mine": "1"}, annotations={"mine": "2"})
    for each in objects:
        assert each["metadata"]["labels"]["mine"] == "1"
        assert each["metadata"]["annotations"]["mine"] == "2"
        assert each["metadata"]["labels"]["k3k-pulumi.io/cluster"] == "c"
        assert "mine" not in json.dumps(each["spec"].get("selector", {}) if "spec" in each else {})
    for template in templates(objects).values():
        assert template["metadata"]["labels"]["mine"] == "1"


def test_existing_namespaces_are_left_alone() -> None:
    objects = manifests(create_namespace=False, create_control_plane_namespace=False)
    assert not [each for each in objects if each["kind"] == "Namespace"]


def test_namespaces_have_their_pod_security_level() -> None:
    objects = manifests()
    for name, level in (("team", "baseline"), (CONTROL_PLANE, "restricted")):
        labels = find(objects, "Namespace", name)["metadata"]["labels"]
        assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "warn", "audit")} == {
            level
        }


def test_the_anchor_can_never_be_replaced_for_a_change_of_its_data() -> None:
    anchor = find(manifests(), "ConfigMap", "c-anchor", "team")
    assert "data" not in anchor
    assert anchor["metadata"]["annotations"] == {"k3k-pulumi.io/control-plane-namespace": CONTROL_PLANE}


@DISTRIBUTIONS
def test_readiness_depends_on_the_servers_the_kubelet_and_dns(distribution: str) -> None:
    awaited = [each for each in manifests(distribution=distribution) if waits_for_ready(each)]
    assert [each["metadata"]["name"] for each in awaited] == ["c-server", "c-kubelet", "c-dns"]


@DISTRIBUTIONS
def test_whoever_gets_the_objects_may_change_them(distribution: str) -> None:
    def wreck(value: Any) -> None:
        parts = list(value.values()) if isinstance(value, dict) else value
        if isinstance(value, dict | list):
            for part in parts:
                wreck(part)
            value.clear()

    args = {"distribution": distribution, "tolerations": [{"key": "a"}], "labels": {"a": "b"}}
    given = spec(**args)
    wreck(virtual_cluster(given, marked_pki()))
    assert virtual_cluster(given, marked_pki()) == manifests(**args)
