"""The host's own check of the pods that virtual kubelets write: a ValidatingAdmissionPolicy and its binding.

The kubelet's translation is the wall; this is the one behind it, for the defect that nobody knows of. Where
the policy or cluster asks for it (`admission_policy`), the host's API server refuses each pod of a kubelet's
account that is outside the whitelist of the same document. Needs Kubernetes 1.30
(`admissionregistration.k8s.io/v1`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from k3k_pulumi.manifests import objects
from k3k_pulumi.manifests.objects import CLUSTER, COMPONENT, POLICY, WORKLOAD, Manifest, make, make_of_policy
from k3k_pulumi.manifests.policy.whitelist import Validation, validation, validations, variables
from k3k_pulumi.manifests.policy.whitelist.cel import literal
from k3k_pulumi.model import PREFIX
from k3k_pulumi.model.narrowing import complete

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterPolicySpec, VirtualClusterSpec

_KIND = "ValidatingAdmissionPolicy"
_NAMESPACE = f"{PREFIX}namespace"
_SUFFIX = "-kubelet"
"""How the account of a kubelet ends: `<cluster>-kubelet`."""
_OWNERS = "object.metadata.?ownerReferences.orValue([])"
_ANCHOR = (
    'o.kind == "ConfigMap" && o.apiVersion == "v1" && o.?controller.orValue(false) && '
    'o.name == variables.cluster + "-anchor"'
)


def admission_policy(spec: VirtualClusterPolicySpec) -> list[Manifest]:
    """That of a policy: for all kubelets whose pods are in a namespace which carries the policy's label."""
    if not spec.admission_policy:
        return []
    # The parts of the name are `system`, `serviceaccount`, the namespace, the account.
    account = f"system:serviceaccount:[^:]+:[a-z]([-a-z0-9]*[a-z0-9])?{_SUFFIX}"
    is_kubelet = f"request.userInfo.username.matches({literal(f'^{account}$')})"
    cluster = {
        "account": 'request.userInfo.username.split(":")[3]',
        "cluster": f"variables.account.substring(0, size(variables.account) - {len(_SUFFIX)})",
    }
    name = f"{spec.name}.{PREFIX.rstrip('/')}"
    body = _policy({POLICY: spec.name}, is_kubelet, cluster, complete("pods", spec.workloads))
    return [
        make_of_policy(spec, _KIND, name, None, spec=body),
        make_of_policy(spec, f"{_KIND}Binding", name, None, spec=_binding(name)),
    ]


def cluster_admission_policy(spec: VirtualClusterSpec) -> list[Manifest]:
    """That of a single cluster: for its kubelet alone."""
    if not spec.admission_policy:
        return []
    user = f"system:serviceaccount:{spec.control_plane_namespace}:{spec.names.kubelet}"
    name = spec.names.admission_policy
    body = _policy(
        {"kubernetes.io/metadata.name": spec.namespace},
        f"request.userInfo.username == {literal(user)}",
        {"cluster": literal(spec.name)},
        complete("pods", spec.pods),
    )
    return [
        make(spec, _KIND, name, objects.KUBELET, None, spec=body),
        make(spec, f"{_KIND}Binding", name, objects.KUBELET, None, spec=_binding(name)),
    ]


def _policy(
    namespaces: Mapping[str, str], is_kubelet: str, cluster: Mapping[str, str], pods: Mapping[str, Any]
) -> dict[str, Any]:
    """The body of the policy.

    Args:
        namespaces: labels of the namespaces that it is about.
        is_kubelet: whether a kubelet writes the pod, an expression.
        cluster: variables, the last of which is `cluster`, the name of that kubelet's cluster.
        pods: the whole part `pods` of the policy document.
    """
    core = {"apiGroups": [""], "apiVersions": ["v1"], "scope": "Namespaced"}
    shared = {**cluster, **variables(pods)}
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "namespaceSelector": {"matchLabels": dict(namespaces)},
            "objectSelector": {},
            "resourceRules": [
                {**core, "operations": ["CREATE", "UPDATE"], "resources": ["pods"]},
                {
                    **core,
                    "operations": ["UPDATE"],
                    "resources": ["pods/ephemeralcontainers", "pods/resize"],
                },
            ],
        },
        "matchConditions": [{"name": "virtual-kubelet", "expression": is_kubelet}],
        "variables": [{"name": name, "expression": text} for name, text in shared.items()],
        "validations": [*_ownership(), *validations(pods)],
    }


def _binding(policy: str) -> dict[str, Any]:
    return {"policyName": policy, "validationActions": ["Deny"]}


def _ownership() -> list[Validation]:
    """The pod is one of the kubelet's own cluster, and stays one."""
    return [
        _label(CLUSTER, "variables.cluster", "must name the cluster whose kubelet writes the pod"),
        _label(COMPONENT, literal(WORKLOAD), f"must be {WORKLOAD}"),
        validation(
            f"metadata.labels[{literal(_NAMESPACE)}]",
            f'{_value("object", _NAMESPACE)} != "" && '
            f"(variables.created || {_value('object', _NAMESPACE)} == {_value('oldObject', _NAMESPACE)})",
            "must name the pod's namespace inside, and stay as it is",
        ),
        validation(
            "metadata.ownerReferences",
            f"{_OWNERS}.exists(o, {_ANCHOR}) && (!variables.created || {_OWNERS}.size() == 1)",
            "must be the cluster's anchor",
        ),
    ]


def _label(label: str, wanted: str, allowed: str) -> Validation:
    """A label that has one value, before a change too: other pods of the namespace are not the kubelet's."""
    holds = f"{_value('object', label)} == {wanted}"
    before = f"variables.created || {_value('oldObject', label)} == {wanted}"
    return validation(f"metadata.labels[{literal(label)}]", f"{holds} && ({before})", allowed)


def _value(pod: str, label: str) -> str:
    return f'{pod}.metadata.?labels[?{literal(label)}].orValue("")'
