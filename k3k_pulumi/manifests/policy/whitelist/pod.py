"""Validations of a pod as a whole: powers over its node, who it is, where it may run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from k3k_pulumi.manifests.objects import CLUSTER
from k3k_pulumi.manifests.policy.whitelist.cel import (
    Validation,
    all_of,
    any_of,
    each,
    found,
    listed,
    literal,
    new,
    one_of,
    validation,
)
from k3k_pulumi.manifests.policy.whitelist.security import profiles

_FAILING = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
"""Taints of a node that fails: how long a pod waits there is the tenant's choice."""


def validations(pods: Mapping[str, Any]) -> Iterator[Validation]:
    """All of them, for a document's part `pods`."""
    yield from _powers(pods)
    yield from _identity(pods)
    yield from _placement(pods)


def _powers(pods: Mapping[str, Any]) -> Iterator[Validation]:
    """What reaches the node itself."""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if not pods[key]:
            yield new(f"spec.{key}", f"!object.spec.?{key}.orValue(false)", f"pods.{key} does not allow it")
    yield new("spec.os", 'object.spec.?os.?name.orValue("linux") == "linux"', "must be linux")
    users = pods["required"].get("hostUsers")
    if users is not None:
        text = literal(users)
        yield new("spec.hostUsers", f"object.spec.?hostUsers.orValue(true) == {text}", f"must be {text}")
    context = "object.spec.?securityContext"
    yield from (new(*parts) for parts in profiles(pods, "spec.securityContext", context))
    if pods["defaultSeccompProfile"]:
        yield new(
            "spec.securityContext.seccompProfile",
            f"{context}.?seccompProfile.hasValue()",
            "must be set: pods.defaultSeccompProfile has the one of pods that name none",
        )
    names = each(found(f"{context}.?sysctls"), "s", f"s.name in {literal(pods['sysctls'])}")
    yield new("spec.securityContext.sysctls", names, listed("sysctls", pods["sysctls"]))
    claims = any_of(
        f"has(c.resourceClaimName) && c.resourceClaimName in {literal(pods['resourceClaims'])}",
        "has(c.resourceClaimTemplateName) && "
        f"c.resourceClaimTemplateName in {literal(pods['resourceClaimTemplates'])}",
    )
    allowed = [*pods["resourceClaims"], *pods["resourceClaimTemplates"]]
    yield new(
        "spec.resourceClaims",
        each(found("object.spec.?resourceClaims"), "c", claims),
        listed("resourceClaims and pods.resourceClaimTemplates", allowed),
    )


def _identity(pods: Mapping[str, Any]) -> Iterator[Validation]:
    """Whom the pod is to the host's API server."""
    mapped = sorted({item["hostServiceAccount"] for item in pods["serviceAccounts"]})
    yield new(
        "spec.serviceAccountName",
        'object.spec.?serviceAccountName.orValue("") in [variables.cluster + "-workload"] + '
        f"{literal(mapped)}",
        f"must be the cluster's own account without rights; {listed('serviceAccounts', mapped)} beside it",
    )
    for key in ("automountServiceAccountToken", "enableServiceLinks"):
        yield new(f"spec.{key}", f"object.spec.?{key}.orValue(true) == false", "must be false")
    # A node's own DNS, or the one that the pod names: ClusterFirst is the host's.
    policies = 'object.spec.?dnsPolicy.orValue("") in ["None", "Default"]'
    yield new("spec.dnsPolicy", policies, "must be None or Default: the host's own DNS is not the tenant's")


def _placement(pods: Mapping[str, Any]) -> Iterator[Validation]:
    """Where a pod may run, and before whom."""
    required, defaults = pods["required"], pods["defaults"]
    yield new(
        "spec.nodeName", 'object.spec.?nodeName.orValue("") == ""', "must be left to the host's scheduler"
    )
    scheduler = 'object.spec.?schedulerName.orValue("") in ["", "default-scheduler"]'
    yield new("spec.schedulerName", scheduler, "must be default-scheduler")
    for field, key, setting in (
        ("priorityClassName", "priorityClasses", "priorityClass"),
        ("runtimeClassName", "runtimeClasses", "runtimeClass"),
    ):
        value = f"object.spec.?{field}"
        if required.get(setting):
            text = literal(required[setting])
            yield new(f"spec.{field}", f'{value}.orValue("") == {text}', f"must be {text}")
        else:
            allowed = [*pods[key], *filter(None, [defaults.get(setting)])]
            yield new(f"spec.{field}", one_of(value, allowed), listed(key, allowed))
    for key, text in required.get("nodeSelector", {}).items():
        name, value = literal(key), literal(text)
        yield new(
            f"spec.nodeSelector[{name}]",
            f'object.spec.?nodeSelector[?{name}].orValue("") == {value}',
            f"must be {value}",
        )
    yield _tolerations(pods)
    yield from _other_pods()


def _tolerations(pods: Mapping[str, Any]) -> Validation:
    own = [
        *pods["allowedTolerations"],
        *pods["defaults"].get("tolerations", ()),
        *pods["required"].get("tolerations", ()),
    ]
    parts = [
        f't.?effect.orValue("") == "NoExecute" && t.?key.orValue("") in {literal(_FAILING)}',
        # Admission plugins of the host add those of a RuntimeClass, and of nodes with extended resources.
        "has(object.spec.runtimeClassName)",
        # Names with `kubernetes.io/` are Kubernetes' own resources, and its own taints.
        't.?effect.orValue("") == "NoSchedule" && t.?operator.orValue("") == "Exists" && '
        '!t.?key.orValue("").contains("kubernetes.io/") && '
        'variables.containers.exists(c, t.?key.orValue("") in c.?resources.?limits.orValue({}))',
        *(_covers(item) for item in own),
    ]
    keys = [item.get("key") or "(any)" for item in own]
    return validation(
        "spec.tolerations",
        each("variables.tolerations", "t", any_of(*parts)),
        listed("allowedTolerations", list(dict.fromkeys(keys))),
    )


def _covers(allowed: Mapping[str, Any]) -> str:
    """Whether every taint that the toleration `t` tolerates is tolerated by `allowed` too."""
    parts = []
    if allowed.get("effect"):
        parts.append(f't.?effect.orValue("") == {literal(allowed["effect"])}')
    if allowed.get("key"):
        parts.append(f't.?key.orValue("") == {literal(allowed["key"])}')
        if allowed.get("operator", "Equal") != "Exists":
            parts.append('t.?operator.orValue("Equal") == "Equal"')
            parts.append(f't.?value.orValue("") == {literal(allowed.get("value", ""))}')
    return all_of(*parts)


def _other_pods() -> Iterator[Validation]:
    """Terms about other pods are about those of the own cluster."""
    allowed = "must be about the own cluster's pods"
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity, when = f"object.spec.?affinity.?{kind}", "DuringSchedulingIgnoredDuringExecution"
        required = each(found(f"{affinity}.?required{when}"), "t", _own_term("t"))
        preferred = each(found(f"{affinity}.?preferred{when}"), "t", _own_term("t.podAffinityTerm"))
        yield new(f"spec.affinity.{kind}", all_of(required, preferred), allowed)
    spread = each(found("object.spec.?topologySpreadConstraints"), "t", _own_pods("t"))
    yield new("spec.topologySpreadConstraints", spread, allowed)


def _own_term(term: str) -> str:
    return all_of(_own_pods(term), f"!has({term}.namespaces)", f"!has({term}.namespaceSelector)")


def _own_pods(term: str) -> str:
    """Whether a term finds none but pods of the cluster; without a selector it finds none at all."""
    label = f"s.?matchLabels[?{literal(CLUSTER)}]"
    return f'{term}.?labelSelector.optMap(s, {label}.orValue("") == variables.cluster).orValue(true)'
