import math
from typing import Any

import pytest
from pydantic import BaseModel

from k3k_pulumi.args import VirtualClusterArgs
from k3k_pulumi.errors import InputError
from k3k_pulumi.model import VirtualClusterPolicySpec, VirtualClusterSpec
from k3k_pulumi.model.pod_security import SAFE_SYSCTLS, SECURITY_CONTEXT
from k3k_pulumi.model.text import one_of
from k3k_pulumi.policy_args import VirtualClusterPolicyArgs
from tests.unit.support import manifests, spec

LONG = "c" * 46
TOLERATION = {"key": "a", "operator": "Exists"}


def problems(name: str = "c", /, **args: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        VirtualClusterSpec.parse(name, {"namespace": "team", **args})
    return list(caught.value.problems)


NAME_RULE = (
    "must be lower-case letters, digits and '-', begin with a letter, end with a letter or digit, and have "
    "at most 45 characters: Services and labels of pods are named after it"
)
NAMESPACE_RULE = (
    "must be lower-case letters, digits and '-', begin and end with a letter or digit, and have at most 63 "
    "characters"
)
RESTRICTED = "the control plane's namespace has the Pod Security level restricted"
SECURITY_KEYS = one_of(SECURITY_CONTEXT)
HOST_RULE = "must be a DNS name in lower case or an IP address, without scheme and port"
K3S_FORMAT = "must be written like v1.34.4+k3s1 (v1.34.4-k3s1 is accepted too) for the distribution 'k3s'"


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ({"namespace": None}, "namespace: missing; it is required"),
        ({"namespace": "Team"}, f"namespace: 'Team' {NAMESPACE_RULE}"),
        ({"namespace": "t" * 64}, f"namespace: '{'t' * 64}' {NAMESPACE_RULE}"),
        ({"namespace": 5}, "namespace: 5 must be a string"),
        (
            {"namespace": "t" * 48},
            f"control_plane_namespace: its default '{'t' * 48}-c-control-plane' has 64 characters, a "
            "namespace has at most 63: set it",
        ),
        ({"control_plane_namespace": "a.b"}, f"control_plane_namespace: 'a.b' {NAMESPACE_RULE}"),
        (
            {"control_plane_namespace": "team"},
            "control_plane_namespace: 'team' must differ from namespace: there the virtual kubelet may read "
            "every Secret",
        ),
        ({"create_namespace": "no"}, "create_namespace: 'no' must be true or false"),
        ({"mode": "virtual"}, "mode: 'virtual' is not available yet in this version: must be shared"),
        ({"mode": "hosted"}, "mode: 'hosted' is not available yet in this version: must be shared"),
        ({"mode": "Shared"}, "mode: 'Shared' must be shared"),
        ({"distribution": "rke2"}, "distribution: 'rke2' must be k3s or kubernetes"),
        ({"version": "1.34.4"}, f"version: '1.34.4' {K3S_FORMAT}"),
        ({"version": "v1.34.4"}, f"version: 'v1.34.4' {K3S_FORMAT}"),
        ({"version": "v1.34"}, f"version: 'v1.34' {K3S_FORMAT}"),
        (
            {"version": 1.34},
            "version: 1.34 must be a string like v1.34.4+k3s1 (v1.34.4-k3s1 is accepted too)",
        ),
        (
            {"version": "v1.34.4+k3s1", "distribution": "kubernetes"},
            "version: 'v1.34.4+k3s1' must be written like v1.34.4 for the distribution 'kubernetes'",
        ),
        (
            {"version": "v1.31.4", "distribution": "kubernetes"},
            "version: 'v1.31.4' must be from v1.32 to v1.36 for the distribution 'kubernetes': this version "
            "of k3k_pulumi knows no other",
        ),
        (
            {"version": "v1.20.1+k3s1"},
            "version: 'v1.20.1+k3s1' must be from v1.21 to v1.36 for the distribution 'k3s': this version of "
            "k3k_pulumi knows no other",
        ),
        (
            {"version": "v1.37.0+k3s1"},
            "version: 'v1.37.0+k3s1' must be from v1.21 to v1.36 for the distribution 'k3s': this version of "
            "k3k_pulumi knows no other",
        ),
        ({"servers": 3}, "servers: 3 is not available yet in this version: must be 1"),
        ({"servers": 0}, "servers: 0 must be 1"),
        ({"servers": 1.5}, "servers: 1.5 must be a whole number"),
        ({"servers": "1"}, "servers: '1' must be a whole number"),
        ({"kubelet_replicas": 3}, "kubelet_replicas: 3 must be 1 or 2"),
        ({"kubelet_replicas": 0}, "kubelet_replicas: 0 must be 1 or 2"),
        ({"servers": True}, "servers: True must be a whole number"),
        ({"mirror_host_nodes": "yes"}, "mirror_host_nodes: 'yes' must be true or false"),
        (
            {"node_capacity": {"cpu": "lots"}},
            "node_capacity.cpu: 'lots' must be a quantity like 500m, 256Mi or 2Gi",
        ),
        ({"node_capacity": {"pods": 0}}, "node_capacity.pods: 0 must be 1 or more"),
        *(
            (
                {"node_capacity": {"extended_resources": {name: 1}}},
                f"node_capacity.extended_resources: {{{name!r}: 1}} has the name {name!r}: must be of a "
                "device or the like, as example.com/gpu",
            )
            for name in ("gpu", "kubernetes.io/gpu", "storage.kubernetes.io/x", "a b/c")
        ),
        (
            {"node_capacity": {"extended_resources": {"example.com/gpu": -1}}},
            "node_capacity.extended_resources: {'example.com/gpu': -1} has -1 of example.com/gpu: must be 0 "
            "or more",
        ),
        (
            {"node_capacity": {"extended_resources": {"example.com/gpu": "two"}}},
            "node_capacity.extended_resources.example.com/gpu: 'two' must be a whole number",
        ),
        (
            {"node_capacity": {"gpu": 1}},
            "node_capacity.gpu: unknown argument; did you mean 'cpu'?",
        ),
        (
            {"mirror_host_nodes": True, "node_capacity": {"cpu": "1"}},
            "node_capacity: has no use with mirror_host_nodes, which shows what the host's Nodes have: leave "
            "one of the two out",
        ),
        (
            {"images": "x"},
            "images: 'x' must be a map with keys of server, controller_manager, etcd, kubelet or dns",
        ),
        ({"images": {"servr": "x"}}, "images.servr: unknown argument; did you mean 'server'?"),
        (
            {"images": {"server": "a b"}},
            "images.server: 'a b' must be an image reference like registry/name:tag",
        ),
        (
            {"images": {"etcd": "x"}},
            "images.etcd: 'x' has no use with the distribution 'k3s', whose server image holds everything: "
            "leave it out",
        ),
        (
            {"image_pull_secrets": ["a", "B"]},
            "image_pull_secrets[1]: 'B' must be the name of a Kubernetes object (RFC 1123 subdomain)",
        ),
        ({"image_pull_secrets": "a"}, "image_pull_secrets: 'a' must be a list"),
        *(
            ({"ready_timeout": bad}, f"ready_timeout: {bad!r} must be a time above 0 like 90s, 5m or 1h30m")
            for bad in ("0s", "", "5", "5m0.5s", "5 m", "30m1h", "-5m", 300)
        ),
        ({"service_cidr": "10.43/16"}, "service_cidr: '10.43/16' must be a CIDR like 10.43.0.0/16"),
        (
            {"service_cidr": "10.43.0.1/16"},
            "service_cidr: '10.43.0.1/16' has bits set beyond its prefix: did you mean '10.43.0.0/16'?",
        ),
        (
            {"service_cidr": "10.0.0.0/8"},
            "service_cidr: '10.0.0.0/8' must have a prefix from /12 to /28, kube-apiserver's limits for IPv4",
        ),
        (
            {"service_cidr": "fd00::/64"},
            "service_cidr: 'fd00::/64' must have a prefix from /108 to /124, kube-apiserver's limits for "
            "IPv6",
        ),
        (
            {"service_cidr": "169.254.0.0/16"},
            "service_cidr: '169.254.0.0/16' overlaps 169.254.0.0/16, which is no range for Services: take a "
            "private one",
        ),
        ({"service_cidr": 10}, "service_cidr: 10 must be a CIDR like 10.43.0.0/16"),
        ({"host_cidrs": ["x"]}, "host_cidrs[0]: 'x' must be a CIDR like 10.43.0.0/16"),
        (
            {"egress_cidrs": ["::ffff:10.0.0.0/104"]},
            "egress_cidrs[0]: '::ffff:10.0.0.0/104' has IPv4 addresses mapped to IPv6: write them as an IPv4 "
            "range",
        ),
        (
            {"cluster_domain": "Cluster.Local"},
            "cluster_domain: 'Cluster.Local' must be a DNS domain in lower case, like cluster.local",
        ),
        (
            {"expose": {"type": "Ingress"}},
            "expose.type: 'Ingress' must be ClusterIP, NodePort or LoadBalancer",
        ),
        ({"expose": {"host": "https://a"}}, f"expose.host: 'https://a' {HOST_RULE}"),
        ({"expose": {"host": "a:443"}}, f"expose.host: 'a:443' {HOST_RULE}"),
        (
            {"expose": {"node_port": 70000}},
            "expose.node_port: 70000 must be from 1 to 65535 (most hosts allow 30000 to 32767)",
        ),
        (
            {"expose": {"node_port": 30000}},
            "expose.node_port: 30000 has no use with the type ClusterIP: leave it out, or set expose.type to "
            "NodePort or LoadBalancer",
        ),
        (
            {"expose": {"external_traffic_policy": "Local"}},
            "expose.external_traffic_policy: 'Local' has no use with the type ClusterIP: leave it out, or "
            "set expose.type to NodePort or LoadBalancer",
        ),
        (
            {"expose": {"type": "NodePort", "source_cidrs": ["0.0.0.0/0"]}},
            "expose.host: missing; with the type NodePort it must name a node, by address or DNS",
        ),
        (
            {"expose": {"type": "LoadBalancer"}},
            "expose.source_cidrs: empty, so nobody could use the LoadBalancer: list the ranges that may "
            "connect (0.0.0.0/0 for all of IPv4)",
        ),
        ({"persistence": {"type": "none"}}, "persistence.type: 'none' must be dynamic or ephemeral"),
        (
            {"persistence": {"size": "5GB"}},
            "persistence.size: '5GB' must be a quantity like 500m, 256Mi or 2Gi",
        ),
        ({"persistence": {"size": "0"}}, "persistence.size: '0' must be more than 0"),
        ({"egress": "lan"}, "egress: 'lan' must be internet, none or all"),
        (
            {"resources": {"server": {"limit": {}}}},
            "resources.server.limit: unknown key; did you mean 'limits'?",
        ),
        (
            {"resources": {"kubelet": {"limits": {"memory": "lots"}}}},
            "resources.kubelet.limits.memory: 'lots' must be a quantity like 500m, 256Mi or 2Gi",
        ),
        ({"node_selector": ["a"]}, "node_selector: ['a'] must be a map"),
        ({"node_selector": {"a": 1}}, "node_selector.a: 1 must be a string"),
        ({"tolerations": TOLERATION}, f"tolerations: {TOLERATION} must be a list"),
        ({"tolerations": [{"keey": "a"}]}, "tolerations[0].keey: unknown key; did you mean 'key'?"),
        (
            {"tolerations": [{"toleration_seconds": 1, "tolerationSeconds": 2}]},
            "tolerations[0].tolerationSeconds: given twice, in snake_case and in camelCase: leave one out",
        ),
        (
            {"tolerations": [{"effect": "NoRun"}]},
            "tolerations[0].effect: 'NoRun' must be NoSchedule, PreferNoSchedule or NoExecute",
        ),
        (
            {"affinity": {"nodeAffinty": {}}},
            "affinity.nodeAffinty: unknown key; did you mean 'nodeAffinity'?",
        ),
        (
            {"priority_class": ""},
            "priority_class: '' must be the name of a Kubernetes object (RFC 1123 subdomain)",
        ),
        (
            {"runtime_class": "Kata"},
            "runtime_class: 'Kata' must be the name of a Kubernetes object (RFC 1123 subdomain)",
        ),
        ({"host_users": "no"}, "host_users: 'no' must be true or false"),
        ({"security_context": []}, f"security_context: [] must be a map with keys of {SECURITY_KEYS}"),
        (
            {"security_context": {"runAsUsr": 5}},
            "security_context.runAsUsr: unknown key; did you mean 'runAsUser'?",
        ),
        *(
            (
                {"security_context": {"run_as_user": value}},
                f"security_context.runAsUser: {value!r} must be a whole number from 1 to 2147483647: "
                f"{RESTRICTED}",
            )
            for value in (0, -1, 0.0, 1.5, True, "65532", 2**31)
        ),
        (
            {"security_context": {"runAsNonRoot": False}},
            f"security_context.runAsNonRoot: False must be true: {RESTRICTED}",
        ),
        (
            {"security_context": {"seccompProfile": {"type": "Unconfined"}}},
            "security_context.seccompProfile.type: 'Unconfined' must be RuntimeDefault or Localhost: "
            f"{RESTRICTED}",
        ),
        (
            {"security_context": {"se_linux_options": {"type": "spc_t"}}},
            "security_context.seLinuxOptions.type: 'spc_t' must be container_t, container_init_t, "
            f"container_kvm_t or container_engine_t: {RESTRICTED}",
        ),
        (
            {"security_context": {"seLinuxOptions": {"user": "system_u"}}},
            "security_context.seLinuxOptions.user: unknown key; known here: level, type",
        ),
        (
            {"security_context": {"fs_group": -1}},
            "security_context.fsGroup: -1 must be a whole number from 0 to 2147483647",
        ),
        (
            {"security_context": {"windowsOptions": {"hostProcess": True}}},
            "security_context.windowsOptions: unknown key; did you mean 'seLinuxOptions'?",
        ),
        (
            {"pods": {"hostPid": True}},
            "pods.hostPid: unknown key; did you mean 'hostPID'?",
        ),
        (
            {"pods": {"privileged": "yes"}},
            "pods.privileged: 'yes' must be true or false",
        ),
        (
            {"labels": {"k3k-pulumi.io/cluster": "x"}},
            "labels: {'k3k-pulumi.io/cluster': 'x'} has the key 'k3k-pulumi.io/cluster', which k3k_pulumi "
            "sets itself: choose another one",
        ),
        # An older version of a level is a weaker one.
        (
            {"labels": {"pod-security.kubernetes.io/enforce-version": "v1.18"}},
            "labels: {'pod-security.kubernetes.io/enforce-version': 'v1.18'} has the key "
            "'pod-security.kubernetes.io/enforce-version', which k3k_pulumi sets itself: choose another one",
        ),
        (
            {"labels": {"a": "b c"}},
            "labels: {'a': 'b c'} has the value 'b c' for 'a': must be at most 63 letters, digits, '-', '_' "
            "and '.', with a letter or digit at both ends",
        ),
        (
            {"annotations": {"a b": ""}},
            "annotations: {'a b': ''} has the key 'a b': must be [prefix/]name, as keys of Kubernetes' "
            "labels and annotations are",
        ),
        ({"namespce": "team"}, "namespce: unknown argument; did you mean 'namespace'?"),
        ({"name": "d"}, "name: unknown argument; did you mean 'namespace'?"),
    ],
    ids=lambda value: value.partition(" ")[0] if isinstance(value, str) else None,
)
def test_a_wrong_argument_is_told_in_one_line(args: dict[str, Any], line: str) -> None:
    assert problems(**args) == [line]


@pytest.mark.parametrize("name", ["C", "c_1", "-c", "c-", "1c", "c.d", "", LONG])
def test_a_wrong_name_is_told_with_the_rule(name: str) -> None:
    assert problems(name) == [f"name: {name!r} {NAME_RULE}"]


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        VirtualClusterSpec.parse("c", {"namespace": "team", "servers": 2, "egress": "x", "labels": 1})
    assert str(caught.value) == (
        "VirtualCluster 'c': 3 problems in the arguments:\n"
        "  - servers: 2 is not available yet in this version: must be 1\n"
        "  - egress: 'x' must be internet, none or all\n"
        "  - labels: 1 must be a map"
    )


def test_one_problem_is_told_in_one_line() -> None:
    with pytest.raises(InputError) as caught:
        VirtualClusterSpec.parse("c", {"namespace": "team", "servers": 2})
    assert str(caught.value) == (
        "VirtualCluster 'c': servers: 2 is not available yet in this version: must be 1"
    )


def test_an_output_where_a_plain_value_belongs_is_named_as_such() -> None:
    class Output:
        """Looks to `show` as Pulumi's does; importing Pulumi is not the unit tests' business."""

    assert problems(egress=Output()) == [
        "egress: an Output (a value known only during the deployment) must be a string"
    ]


def test_none_counts_as_absent_at_every_level() -> None:
    given = spec(
        mode=None,
        version=None,
        expose={"host": None, "type": None},
        resources={"server": None},
        tolerations=[{"key": "a", "value": None}],
    )
    assert given == spec(tolerations=[{"key": "a"}])


def test_whole_numbers_may_be_floats_as_pulumis_plugins_send_them() -> None:
    given = spec(servers=1.0, tolerations=[{"tolerationSeconds": 5.0}])
    assert given.servers == 1
    assert repr(given.tolerations) == "[{'tolerationSeconds': 5}]"


def test_what_restricted_allows_of_sysctls_is_what_pods_may_have_by_default() -> None:
    given = spec(security_context={"sysctls": [{"name": name, "value": "1"} for name in SAFE_SYSCTLS]})
    assert [each["name"] for each in given.security_context["sysctls"]] == list(SAFE_SYSCTLS)
    with pytest.raises(InputError, match=r"security_context.sysctls\[0\].name: 'kernel.msgmax' must be "):
        spec(security_context={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]})


@pytest.mark.parametrize("text", ["v1.34.4+k3s1", "v1.34.4-k3s1"])
def test_both_spellings_of_a_k3s_version_are_one(text: str) -> None:
    given = spec(distribution="k3s", version=text)
    assert str(given.version) == "v1.34.4+k3s1"
    assert given.server_image == "docker.io/rancher/k3s:v1.34.4-k3s1"


def test_defaults() -> None:
    given = VirtualClusterSpec.parse("c", {"namespace": "team"})
    assert (given.distribution, str(given.version), given.mode) == ("k3s", "v1.34.4+k3s1", "shared")
    assert given.control_plane_namespace == "team-c-control-plane"
    assert given.kubelet_image == "ghcr.io/k3k-pulumi/kubelet:0.1.0"


def test_the_longest_name_leaves_every_derived_name_and_label_valid() -> None:
    names = spec("c" * 45, control_plane_namespace="planes").names
    assert len(f"{names.server}-0123456789") == 63  # label controller-revision-hash
    assert all(len(name) <= 63 for name in (names.api, names.kubelet, names.server))


@pytest.mark.parametrize(
    ("arguments", "spec_class", "groups"),
    [
        (
            VirtualClusterArgs,
            VirtualClusterSpec,
            ("images", "dns", "expose", "persistence", "resources", "node_capacity"),
        ),
        (
            VirtualClusterPolicyArgs,
            VirtualClusterPolicySpec,
            ("pod_security", "control_plane_defaults", "control_plane_required"),
        ),
    ],
)
def test_arguments_and_model_have_the_same_fields(
    arguments: Any, spec_class: type[BaseModel], groups: tuple[str, ...]
) -> None:
    names = {"cluster_name", "policy_name"}  # which are the model's `name`
    assert set(arguments.__annotations__) - names == set(spec_class.model_fields) - {"name"}
    for group in groups:
        (args,) = (each for each in arguments.__annotations__[group].__args__ if each is not type(None))
        model = spec_class.model_fields[group].annotation
        assert isinstance(model, type)
        assert set(args.__annotations__) == set(model.model_fields)


JUNK: list[Any] = [
    *(True, -1, 1.5, math.nan, math.inf, "", "A b", "x" * 300, "::1", "1e999999", "\ud800", "{x} %s"),
    *([], ["a"], [None], [{}], {}, {"a": 1}, {1: 2}, {"pods": []}, {"type": 1}, {"server": {"limits": 1}}),
    *(b"x", (1, 2), {"a"}, object()),
]


def told(args: dict[str, Any]) -> tuple[str, ...]:
    try:
        manifests("c", **args)
    except InputError as error:
        return error.problems
    return ()


@pytest.mark.parametrize("field", sorted(set(VirtualClusterSpec.model_fields) - {"name"}))
def test_junk_is_refused_with_its_field_or_taken_but_never_a_crash(field: str) -> None:
    lines = [problem for junk in JUNK for problem in told({field: junk})]
    assert lines
    assert [line for line in lines if not line.startswith(field)] == []
