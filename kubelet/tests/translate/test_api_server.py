"""Translated objects before a real API server: it takes them, and its Pod Security has nothing to say."""

import asyncio
import copy
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from k3k_kubelet.api import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    ApiClient,
    PatchType,
)
from k3k_kubelet.api.errors import ForbiddenError, InvalidError
from k3k_kubelet.api.resources import NAMESPACES
from k3k_kubelet.translate import Refused, claim, config, status, token
from k3k_kubelet.translate import update as updates

from kubelet.tests.controlplane import ControlPlane
from kubelet.tests.translate import (
    test_pod,
    test_scheduling,
    test_security,
    test_security_allowed,
    test_status,
    test_update,
    test_volumes,
)
from kubelet.tests.translate.builders import BASELINE, CLUSTER, on_host, pod, to_host

Object = dict[str, Any]


@pytest.fixture(scope="module")
def host(control_plane: ControlPlane) -> ControlPlane:
    """The API server with the namespace of the workloads, and one that stands for a virtual cluster's."""

    async def run(client: ApiClient) -> None:
        for name, level in ((CLUSTER.namespace, "baseline"), ("inside", "privileged")):
            labels = {"pod-security.kubernetes.io/enforce": level}
            await client.create(NAMESPACES, None, {"metadata": {"name": name, "labels": labels}})
            for account in ("default", CLUSTER.service_account):
                await client.create(SERVICE_ACCOUNTS, name, {"metadata": {"name": account}})

    call(control_plane, run)
    return control_plane


def call(plane: ControlPlane, work: Callable[[ApiClient], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        client = plane.client()
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(run())


async def try_create(client: ApiClient, obj: Object) -> Object:
    """What the API server would make of a pod; unknown and doubled fields are errors."""
    path = PODS.path(obj["metadata"]["namespace"])
    return await client.request("POST", path, query={"dryRun": "All", "fieldValidation": "Strict"}, body=obj)


def inside(spec: Object, container: Object | None = None, **metadata: Any) -> Object:
    """A pod of `builders.pod` in the namespace `inside`, without what only a running pod has."""
    made = pod(spec, container, **metadata)
    made["metadata"]["namespace"] = "inside"
    del made["metadata"]["uid"], made["status"]
    return made


def accepted() -> list[Object]:
    """Pods of the other tests that are valid and that baseline allows."""
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    found = [inside(field) for field in test_pod.COPIED_FIELDS if "hostnameOverride" not in field]
    found += [inside(spec, container) for _, spec, container in test_security_allowed.HARMLESS[:3]]
    found += [inside({"volumes": [{"name": "v", **volume}]}, mount) for _, volume, _ in test_volumes.VOLUMES]
    found += [
        inside({}, {"env": [{"name": "A", **entry}]})
        for name, entry, _ in test_volumes.ENVIRONMENT
        if name != "fileKeyRef"
    ]
    found += [
        inside({}, {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}}]})
        for path, _ in test_volumes.FIELD_PATHS
        if path not in ("metadata.labels", "metadata.annotations")
    ]
    for name, term, _ in test_scheduling.TERMS:
        whole = {"topologyKey": "kubernetes.io/hostname", **term}
        if "merged by" not in name:  # that one only an API server may make
            required = {"requiredDuringSchedulingIgnoredDuringExecution": [whole]}
            found.append(inside({"affinity": {"podAffinity": required}}, labels=test_scheduling.LABELS))
    for _, one, _ in test_scheduling.SPREADS[::2]:
        whole = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", **one}
        found.append(inside({"topologySpreadConstraints": [whole]}, labels=test_scheduling.LABELS))
    return found


def test_what_a_virtual_api_server_admits_the_hosts_takes(host: ControlPlane) -> None:
    async def run(client: ApiClient) -> None:
        for each in accepted():
            admitted = await try_create(client, each)
            manifest = to_host(admitted).manifest
            made = await try_create(client, manifest)
            for key, value in manifest["spec"].items():
                if key not in ("containers", "tolerations", "topologySpreadConstraints", "affinity"):
                    assert made["spec"][key] == value

    call(host, run)


def test_what_baseline_refuses_on_the_host_translation_has_refused(host: ControlPlane) -> None:
    """Random pods out of powers and harmless things: Pod Security must never be the first to say no."""
    source = random.Random(20261121)
    specs = [spec for _, spec, _, _, _ in test_security.POWERS] + [
        spec for _, spec, _ in test_security_allowed.HARMLESS
    ]
    containers = [container for _, _, container, _, _ in test_security.POWERS] + [
        container for _, _, container in test_security_allowed.HARMLESS
    ]
    counts = {"refused": 0, "taken": 0, "invalid": 0}

    async def run(client: ApiClient) -> None:
        for _ in range(300):
            made = pod(*(copy.deepcopy(source.choice(each)) for each in (specs, containers)))
            try:
                manifest = to_host(made).manifest
            except Refused:
                counts["refused"] += 1
                continue
            try:
                await try_create(client, manifest)
                counts["taken"] += 1
            except InvalidError:
                counts["invalid"] += 1

    call(host, run)
    assert counts["refused"] > 100
    assert counts["taken"] > 20


def test_pod_security_would_refuse_those_powers(host: ControlPlane) -> None:
    """The test above can fail: what the widest policy lets through, the host's baseline refuses."""
    powers = {name: (spec, container, policy) for name, spec, container, _, policy in test_security.POWERS}

    async def run(client: ApiClient) -> None:
        for name in ("hostNetwork", "hostPID", "capability", "seccomp of a pod", "sysctl", "hostPort"):
            spec, container, policy = powers[name]
            manifest = to_host(pod(spec, container), test_security.allowing(**policy)).manifest
            with pytest.raises(ForbiddenError, match='violates PodSecurity "baseline'):
                await try_create(client, manifest)

    call(host, run)


def test_changes_reach_a_real_host_pod(host: ControlPlane) -> None:
    async def run(client: ApiClient) -> None:
        for _, change, _ in test_update.CASES:
            before = test_update.before()
            made = await client.create(PODS, CLUSTER.namespace, to_host(before).manifest)
            new = copy.deepcopy(before)
            change(new)
            patch = updates.changes(new, made, CLUSTER, BASELINE).patch
            assert patch
            path = (PODS, CLUSTER.namespace, made["metadata"]["name"])
            changed = await client.patch(*path, patch, kind=PatchType.STRATEGIC)
            assert updates.changes(new, changed, CLUSTER, BASELINE).patch is None
            expected = to_host(new).manifest
            assert changed["metadata"]["labels"] == expected["metadata"]["labels"]
            assert changed["metadata"]["annotations"] == expected["metadata"]["annotations"]
            assert changed["spec"]["containers"][0]["image"] == expected["spec"]["containers"][0]["image"]
            wanted = expected["spec"]["tolerations"]
            assert [each for each in wanted if each not in changed["spec"]["tolerations"]] == []
            await client.delete(*path, grace_period=0)

    call(host, run)


def test_a_status_that_was_written_is_not_written_again(host: ControlPlane) -> None:
    async def run(client: ApiClient) -> None:
        virtual = await client.create(PODS, "inside", inside({}, name="status"))
        for more in (
            {"phase": "Pending", "message": "m", "reason": "R", "podIPs": [], "podIP": "", "hostIPs": []},
            {"podIP": "10.244.0.7", "podIPs": [{"ip": "10.244.0.7"}, {"ip": "fd00::7"}]},
            {"podIP": "10.244.0.8", "podIPs": [{"ip": "10.244.0.8"}]},
            {
                "containerStatuses": [
                    test_status.container(resources={"limits": {"cpu": "1", "memory": "1Mi"}})
                ]
            },
            {"containerStatuses": [test_status.container(resources={"limits": {"cpu": "2"}})]},
            {"containerStatuses": [], "conditions": []},
        ):
            host_pod = test_status.running(**more)
            new = status.to_virtual(host_pod, virtual)
            assert new is not None
            patch = status.patch(virtual, new)
            virtual = await client.patch(
                *(PODS, "inside", "status", patch), kind=PatchType.STRATEGIC, subresource="status"
            )
            assert status.to_virtual(host_pod, virtual) is None
            assert virtual["status"]["qosClass"] == "BestEffort"

    call(host, run)


def test_a_condition_that_is_set_inside_meanwhile_stays(host: ControlPlane) -> None:
    async def run(client: ApiClient) -> None:
        stale = await client.create(PODS, "inside", inside({}, name="meanwhile"))
        gate = {"status": {"conditions": [test_status.known("example.com/a")]}}
        path = (PODS, "inside", "meanwhile")
        await client.patch(*path, gate, kind=PatchType.STRATEGIC, subresource="status")
        host_pod = test_status.running()
        new = status.to_virtual(host_pod, stale)
        assert new is not None
        patch = status.patch(stale, new)
        virtual = await client.patch(*path, patch, kind=PatchType.STRATEGIC, subresource="status")
        assert status.to_virtual(host_pod, virtual) is None
        kinds = {each["type"] for each in virtual["status"]["conditions"]}
        assert kinds == {"ContainersReady", "PodScheduled", "Ready", "example.com/a"}

    call(host, run)


def test_readiness_gates_reach_a_real_host_pod(host: ControlPlane) -> None:
    async def run(client: ApiClient) -> None:
        virtual = pod(test_status.GATED, name="gated")
        made = await client.create(PODS, CLUSTER.namespace, to_host(virtual).manifest)
        for conditions in (
            [test_status.known("example.com/a", "False")],
            [test_status.known("example.com/a"), test_status.known("example.com/b")],
            [test_status.known("example.com/b")],
        ):
            virtual["status"]["conditions"] = conditions
            patch = status.gates_to_host(virtual, made)
            assert patch
            path = (PODS, CLUSTER.namespace, made["metadata"]["name"])
            made = await client.patch(*path, patch, kind=PatchType.STRATEGIC, subresource="status")
            assert status.gates_to_host(virtual, made) is None
            found = {each["type"]: each["status"] for each in made["status"]["conditions"]}
            assert found == {each["type"]: each["status"] for each in conditions}

    call(host, run)


def test_copies_and_tokens_are_objects_of_the_host(host: ControlPlane) -> None:
    metadata = {"name": "cfg", "namespace": "default", "uid": "u"}
    token_type = "kubernetes.io/service-account-token"

    async def run(client: ApiClient) -> None:
        config_map = config.config_map_to_host({"metadata": metadata, "data": {"a": "b"}}, CLUSTER)
        assert (await client.create(CONFIG_MAPS, CLUSTER.namespace, config_map))["data"] == {"a": "b"}
        copied = config.secret_to_host(
            {"metadata": metadata, "type": token_type, "data": {"token": "YQ=="}}, CLUSTER
        )
        assert (await client.create(SECRETS, CLUSTER.namespace, copied))["data"] == {"token": "YQ=="}
        tokens = token.secret(pod(), CLUSTER, {"token-0": "a"})
        assert (await client.create(SECRETS, CLUSTER.namespace, tokens))["data"] == tokens["data"]

    call(host, run)


def test_a_claim_takes_its_volumes_name_and_later_the_class_that_the_host_has_chosen(
    host: ControlPlane,
) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}

    async def run(client: ApiClient) -> None:
        path = (PERSISTENT_VOLUME_CLAIMS, "inside")
        made = await client.create(*path, {"metadata": {"name": "classless"}, "spec": spec})
        for chosen in ({}, {"storageClassName": "usual"}):
            change = claim.spec_changes(made, {"spec": {**spec, **chosen}})
            assert change
            made = await client.patch(*path, "classless", {"spec": change})
        assert made["spec"]["volumeName"] == claim.volume_name(made["metadata"]["uid"])
        assert made["spec"]["storageClassName"] == "usual"

    call(host, run)


def test_on_host_is_what_the_host_has(host: ControlPlane) -> None:
    """The builder that the other tests rely on."""

    async def run(client: ApiClient) -> None:
        real = await try_create(client, to_host(pod()).manifest)
        assert real["metadata"]["labels"] == on_host(pod())["metadata"]["labels"]

    call(host, run)
