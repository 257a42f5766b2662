"""The components as the engine asks for them on behalf of programs in other languages."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from typing import Any

import pulumi
import pytest
from pulumi.errors import InputPropertiesError
from pulumi.output import Unknown, _OutputData
from pulumi.resource import DependencyResource

from k3k_pulumi.args import VirtualClusterArgs
from k3k_pulumi.model import VirtualClusterPolicySpec, VirtualClusterSpec
from k3k_pulumi.pki import create_authority
from k3k_pulumi.plugin import NAME, Provider
from tests.components.host import Deployment, Engine, leaves, run

# As the engine hands them over: names of the schema, numbers as floats.
GIVEN: dict[str, Any] = {
    "namespace": "team",
    "createNamespace": False,
    "distribution": "kubernetes",
    "servers": 1.0,
    "kubeletReplicas": 2.0,
    "expose": {
        "type": "NodePort",
        "host": "192.0.2.1",
        "nodePort": 31234.0,
        "sourceCidrs": ["192.0.2.0/24", "198.51.100.0/24"],
    },
    "persistence": {"type": "dynamic", "size": "7Gi", "storageClass": "fast"},
    "dns": {"replicas": 2.0, "stubZones": {"corp.example": ["10.0.0.53"]}},
    "resources": {"server": {"requests": {"cpu": 1.0, "memory": "600Mi"}}},
    "tolerations": [{"key": "a", "operator": "Exists", "tolerationSeconds": 60.0}],
    "affinity": {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1.0, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
            ]
        }
    },
    "nodeCapacity": {"pods": 20.0, "extendedResources": {"example.com/gpu": 4.0}},
    "pods": {"hostPorts": True, "volumeTypes": ["configMap", "secret"]},
    "sync": {"toHost": {"ingresses": {"enabled": True, "hosts": ["*.team.example.com"]}}},
    "labels": {"cost-center": "42"},
}
ARGS: VirtualClusterArgs = {
    "namespace": "team",
    "create_namespace": False,
    "distribution": "kubernetes",
    "servers": 1,
    "kubelet_replicas": 2,
    "expose": {
        "type": "NodePort",
        "host": "192.0.2.1",
        "node_port": 31234,
        "source_cidrs": ["192.0.2.0/24", "198.51.100.0/24"],
    },
    "persistence": {"type": "dynamic", "size": "7Gi", "storage_class": "fast"},
    "dns": {"replicas": 2, "stub_zones": {"corp.example": ["10.0.0.53"]}},
    "resources": {"server": {"requests": {"cpu": 1, "memory": "600Mi"}}},
    "tolerations": [{"key": "a", "operator": "Exists", "tolerationSeconds": 60}],
    "affinity": {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
            ]
        }
    },
    "node_capacity": {"pods": 20, "extended_resources": {"example.com/gpu": 4}},
    "pods": {"hostPorts": True, "volumeTypes": ["configMap", "secret"]},
    "sync": {"toHost": {"ingresses": {"enabled": True, "hosts": ["*.team.example.com"]}}},
    "labels": {"cost-center": "42"},
}
WITHIN = 60  # seconds
TOLERATION = {"key": "a", "operator": "Exists", "tolerationSeconds": 60}


def construct(kind: str, **given: Any) -> dict[str, pulumi.Output[Any]]:
    """Has the component `c` made as the engine does; its outputs under their names in the schema."""
    state = Provider().construct("c", f"{NAME}:index:{kind}", given).state
    return {name: pulumi.Output.from_input(value) for name, value in state.items()}


def refusal(preview: bool, kind: str, **given: Any) -> str:
    """What a program is told whose component is refused before anything is registered."""
    told: list[str] = []

    def program() -> dict[str, Any]:
        with pytest.raises(InputPropertiesError) as caught:
            construct(kind, **given)
        told.append(caught.value.message)
        return {}

    assert run(program, preview=preview).registrations == []
    return told[0]


def cluster(preview: bool, given: Callable[[], dict[str, Any]], **host: Any) -> Deployment:
    """A program of one VirtualCluster `c` with arguments that are made in the program."""
    program: Callable[[], Any] = lambda: construct("VirtualCluster", **given())  # noqa: E731
    return run(program, preview=preview, **host)


def test_numbers_lists_and_groups_arrive_whole() -> None:
    provider = Provider()
    found = provider.map_inputs(copy.deepcopy(GIVEN), provider._component_defs["VirtualCluster"])
    assert found == dict(ARGS)
    # In JSON 1.0 differs from 1, which is what the objects on the host need.
    assert json.dumps(found, sort_keys=True) == json.dumps(ARGS, sort_keys=True)
    assert VirtualClusterSpec.parse("c", found) == VirtualClusterSpec.parse("c", ARGS)


@pytest.mark.parametrize("kind", ["VirtualCluster", "VirtualClusterPolicy", "SharedModeNamespace"])
def test_a_component_registers_itself_under_the_token_that_the_schema_has(preview: bool, kind: str) -> None:
    given: dict[str, dict[str, Any]] = {
        "VirtualCluster": {"namespace": "team", "distribution": "kubernetes"},
        "VirtualClusterPolicy": {"namespaces": ["team"]},
        "SharedModeNamespace": {},
    }
    done = run(
        lambda: construct(kind, **given[kind]),
        preview=preview,
        namespaces={"team": {"name": "team"}},
    )
    assert done.registrations[0].type == f"{NAME}:index:{kind}"
    assert done.registrations[0].name == "c"


def test_outputs_have_their_names_in_the_schema_and_the_kubeconfig_is_secret(preview: bool) -> None:
    done = cluster(preview, lambda: {"namespace": "team", "distribution": "kubernetes"})
    assert set(done.outputs) == {"kubeconfig", "endpoint", "namespace", "caCertificatePem"}
    assert done.outputs["kubeconfig"].secret
    assert not done.outputs["caCertificatePem"].secret


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"exposed": {}}, "exposed: unknown argument; did you mean 'expose'?"),
        ({"expose": {"source": []}}, "expose.source: unknown argument; did you mean 'sourceCidrs'?"),
        ({"create_namespace": False}, "create_namespace: unknown argument; did you mean 'createNamespace'?"),
        ({"expose": {"nodePort": 31000.0}}, "expose.nodePort: 31000 has no use with the type ClusterIP"),
        ({"servers": 1.5}, "servers: 1.5 must be a whole number"),
        ({"kubeletReplicas": 3.0}, "kubeletReplicas: 3 must be 1 or 2"),
        ({"expose": "NodePort"}, "expose: 'NodePort' must be a map"),
        ({"hostCidrs": "10.0.0.0/8"}, "hostCidrs: '10.0.0.0/8' must be a list"),
    ],
)
def test_a_bad_argument_is_named_as_the_program_has_it(
    preview: bool, given: dict[str, Any], problem: str
) -> None:
    told = refusal(preview, "VirtualCluster", **{"namespace": "team", **given})
    assert told.startswith(f"VirtualCluster 'c': {problem}")
    assert "Traceback" not in told
    assert ".py" not in told


def test_each_of_several_problems_has_a_line(preview: bool) -> None:
    told = refusal(preview, "SharedModeNamespace", tenants=[{"kind": "user", "name": "ann"}], egress="some")
    assert told.splitlines()[0] == "SharedModeNamespace 'c': 2 problems in the arguments:"
    lines = told.splitlines()[1:]
    assert sorted(line.split(":")[0] for line in lines) == ["  - egress", "  - tenants[0].kind"]


def later(value: Any, *, secret: bool = False) -> Any:
    """A value that depends on a resource of the program, or is secret."""
    return pulumi.Output.secret(value) if secret else pulumi.Output.from_input(asyncio.sleep(0, value))


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (lambda: {"expose": later({"type": "NodePort"})}, "expose"),
        (lambda: {"expose": {"host": later("192.0.2.1", secret=True)}}, "expose.host"),
        (lambda: {"expose": {"sourceCidrs": ["192.0.2.0/24", later("::/0")]}}, "expose.sourceCidrs[1]"),
        (lambda: {"kubeletReplicas": later(2.0)}, "kubeletReplicas"),
        (lambda: {"servers": Unknown()}, "servers"),
        (lambda: {"pods": {"volumeTypes": [later("secret")]}}, "pods.volumeTypes[0]"),
        (lambda: {"labels": {"team": later("a")}}, "labels.team"),
    ],
)
def test_an_output_where_none_is_taken_is_refused_with_its_path(
    preview: bool, given: Callable[[], dict[str, Any]], path: str
) -> None:
    told: list[str] = []

    def program() -> dict[str, Any]:
        with pytest.raises(InputPropertiesError) as caught:
            construct("VirtualCluster", namespace="team", **given())
        told.append(caught.value.message)
        return {}

    assert run(program, preview=preview).registrations == []
    assert told[0].startswith(f"VirtualCluster 'c': {path}: is an Output or a secret")


def test_the_namespace_may_be_an_output(preview: bool) -> None:
    done = cluster(preview, lambda: {"namespace": later("team"), "distribution": "kubernetes"})
    assert done.outputs["namespace"].value == "team"
    made = done.all("kubernetes:rbac")
    assert {each.plain["metadata"]["namespace"] for each in made} == {"team", "team-c-control-plane"}


def test_keys_in_a_group_may_be_outputs_and_secret(preview: bool) -> None:
    own = create_authority("own")

    def given() -> dict[str, Any]:
        pki = {
            "serverCaCertificate": later(own.certificate),
            "serverCaKey": later(own.key, secret=True),
            "clientCaCertificate": None,
        }
        return {"namespace": "team", "distribution": "kubernetes", "pki": pki}

    done = cluster(preview, given)
    assert done.outputs["caCertificatePem"].value == own.certificate
    kept = done.one("Stash", "c-server-ca")
    assert kept.plain["input"] == {"certificate": own.certificate, "key": own.key}
    for each in done.registrations:
        for path, value, secret in leaves(each.inputs):
            assert "PRIVATE KEY" not in str(value) or secret, f"{each.type} {each.name}{path}"


def test_the_namespace_may_be_unknown_in_a_preview() -> None:
    done = cluster(True, lambda: {"namespace": Unknown(), "distribution": "kubernetes"})
    assert not done.outputs["namespace"].known
    assert len(done.registrations) > 20


def test_a_policy_may_have_outputs_and_numbers_in_it(preview: bool) -> None:
    rules = {
        "namespaces": ["team"],
        "egress": "none",
        "control_plane_defaults": {"tolerations": [TOLERATION]},
    }
    constraints = VirtualClusterPolicySpec.parse("p", rules).constraints

    def given() -> dict[str, Any]:
        policy = {key: later(value) if key == "egress" else value for key, value in constraints.items()}
        policy["control_plane_defaults"] = later({"tolerations": [{**TOLERATION, "tolerationSeconds": 60.0}]})
        return {"namespace": "team", "distribution": "kubernetes", "policy": policy}

    done = cluster(preview, given)
    assert done.outputs["endpoint"].known != preview
    assert len(done.registrations) > 20


def test_what_a_later_policy_refuses_is_told_and_ends_nothing_else(preview: bool) -> None:
    constraints = VirtualClusterPolicySpec.parse("p", {"namespaces": ["team"], "egress": "none"}).constraints

    async def serve() -> None:
        given = {"namespace": "team", "distribution": "kubernetes", "egress": "all"}
        made = construct("VirtualCluster", **given, policy=later(constraints))
        await made["kubeconfig"].future()

    engine = Engine({}, {}, {}, {}, preview=preview)
    pulumi.runtime.set_mocks(engine, project="project", stack="stack", preview=preview)
    loop = asyncio.get_event_loop()
    try:
        with pytest.raises(InputPropertiesError) as caught:
            loop.run_until_complete(asyncio.wait_for(serve(), WITHIN))
    finally:
        # As at the end of a program: a server of hooks that nobody stops outlives the loop that it needs.
        loop.run_until_complete(pulumi.runtime.settings._shutdown_callbacks())
        # What waits for the policy is left behind, until the engine ends the plugin.
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        pulumi.runtime.settings.reset_options()
    assert caught.value.message.startswith("VirtualCluster 'c': egress: 'all' is more than")


@pytest.mark.parametrize("there", [True, False])
def test_a_namespace_of_the_same_program_is_read_once_it_is_there(there: bool) -> None:
    def program() -> Any:
        made = pulumi.CustomResource("kubernetes:core/v1:Namespace", "ns", {"metadata": {"name": "team"}})

        async def name() -> pulumi.Output[str]:
            # What the engine hands over of an Output: its value, and the URNs that it depends on.
            source = DependencyResource(str(await made.urn.future()))
            data: asyncio.Future[_OutputData[str]] = asyncio.Future()
            data.set_result(_OutputData(resources={source}, value="team", is_known=True, is_secret=False))
            return pulumi.Output._from_data(data)

        return construct("VirtualClusterPolicy", namespaces=[pulumi.Output.from_input(name())])

    done = run(program, preview=not there, namespaces={"team": {"name": "team"}})
    assert done.read == (["team"] if there else [])
