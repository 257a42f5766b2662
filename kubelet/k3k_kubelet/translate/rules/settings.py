"""What the policy gives pods: `pods.defaults` where they say nothing, `pods.required` in any case."""

import json
from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate.context import Context
from k3k_kubelet.translate.objects import Object, Refused
from k3k_kubelet.translate.rules.scheduling import is_of_nodes
from k3k_kubelet.translate.schema import OMIT

_REQUIRED, _PREFERRED = (
    f"{kind}DuringSchedulingIgnoredDuringExecution" for kind in ("required", "preferred")
)
_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
"""What Kubernetes does not let a pod with a user namespace of its own have."""
_OF_POD = ("runAsNonRoot", "runAsUser", "runAsGroup")
"""Fields that a pod's security context has for all its containers."""


def priority_class(value: str, context: Context, path: str, parent: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """A PriorityClass of the host that the policy shares; the tenant's own order only the tenant's pods."""
    policy = context.policy
    if not value:
        return OMIT
    _agree(path, value, policy.required.priority_class, "priorityClass")
    if value in (*policy.priority_classes, policy.defaults.priority_class, policy.required.priority_class):
        return value
    allowed = ", ".join(policy.priority_classes) or "none"
    why = f"the policy does not have it in pods.priorityClasses ({allowed})"
    context.drop(path, f"{value!r} has no effect on the host: {why}")
    return OMIT


def runtime_class(value: str, context: Context, path: str, parent: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """A RuntimeClass of the host that the policy shares."""
    policy = context.policy
    _agree(path, value, policy.required.runtime_class, "runtimeClass")
    if value not in (*policy.runtime_classes, policy.defaults.runtime_class, policy.required.runtime_class):
        allowed = ", ".join(policy.runtime_classes) or "none"
        raise Refused(
            path,
            f"{value!r} is not allowed in this cluster",
            f"allowed by pods.runtimeClasses of the cluster's policy: {allowed}",
        )
    return value


def host_users(value: bool, context: Context, path: str, parent: Mapping[str, Any]) -> bool:  # noqa: ARG001
    """Whether the pod is in the node's user namespace."""
    _agree(path, value, context.policy.required.host_users, "hostUsers")
    return value


def pod(spec: Object, context: Context) -> None:
    """Complete a pod's spec on the host."""
    defaults, required = context.policy.defaults, context.policy.required
    _node_selector(spec, context)
    _affinity(spec, context)
    wanted = tolerations(spec.get("tolerations", []), context)
    if wanted:
        spec["tolerations"] = wanted
    for key, default, always in (
        ("priorityClassName", defaults.priority_class, required.priority_class),
        ("runtimeClassName", defaults.runtime_class, required.runtime_class),
    ):
        if always or (default and not spec.get(key)):
            spec[key] = always or default
    _host_users(spec, context)
    own = spec.get("securityContext", {})
    for key, value in required.security_context.values().items():
        _agree(f"spec.securityContext.{key}", own.get(key), value, f"securityContext.{key}")


def tolerations(own: list[Object], context: Context) -> list[Object]:
    """Tolerations of the host pod: what the policy leaves of the tenant's, with the policy's."""
    given = [each.manifest() for each in context.policy.required.tolerations]
    if all(is_of_nodes(each) for each in context.pod["spec"].get("tolerations") or ()):
        given += [each.manifest() for each in context.policy.defaults.tolerations]
    made = list(own)
    made += [each for each in given if each not in made]
    return made


def container(copy: Object, context: Context, path: str) -> None:
    """Complete a container's security context on the host.

    All of it stands in the containers, where nothing else can change what holds for them.
    """
    defaults, required = context.policy.defaults.security_context, context.policy.required.security_context
    own = dict(copy.get("securityContext", {}))
    for key, value in required.values().items():
        _agree(f"{path}.securityContext.{key}", own.get(key), value, f"securityContext.{key}")
        own[key] = value
    effective = {**_of_pod(context), **own}
    own |= {
        key: value
        for key, value in defaults.values().items()
        if key not in effective and _is_possible(key, value, effective)
    }
    dropped = _dropped(own.get("capabilities", {}), context, f"{path}.securityContext.capabilities")
    if dropped:
        own["capabilities"] = {**own.get("capabilities", {}), "drop": dropped}
    if required.allow_privilege_escalation is False and _escalates(own):
        raise Refused(
            f"{path}.securityContext",
            "privileged containers and those that add SYS_ADMIN escalate privileges",
            _has("securityContext.allowPrivilegeEscalation", value=False),
        )
    if own:
        copy["securityContext"] = own


def _node_selector(spec: Object, context: Context) -> None:
    defaults, required = context.policy.defaults.node_selector, context.policy.required.node_selector
    own = spec.get("nodeSelector") or {**defaults, **required}
    for key, value in required.items():
        _agree(f"spec.nodeSelector[{key!r}]", own.setdefault(key, value), value, f"nodeSelector[{key!r}]")
    if own:
        spec["nodeSelector"] = own


def _affinity(spec: Object, context: Context) -> None:
    """Add the policy's affinity: a node has to match both, and either's preferences count."""
    default = context.policy.defaults.affinity.manifest().get("nodeAffinity")
    required = context.policy.required.affinity.manifest().get("nodeAffinity", {})
    affinity = spec.get("affinity", {})
    if default and not affinity.get("nodeAffinity"):
        affinity["nodeAffinity"] = default
    if required:
        own = affinity.setdefault("nodeAffinity", {})
        if _REQUIRED in required:
            own[_REQUIRED] = _both(own.get(_REQUIRED), required[_REQUIRED])
        if _PREFERRED in required:
            own[_PREFERRED] = [*own.get(_PREFERRED, ()), *required[_PREFERRED]]
    if affinity:
        spec["affinity"] = affinity


def _both(own: Object | None, required: Object) -> Object:
    """A node selector that a node matches which matches two. Terms that say nothing match no node."""
    if own is None:
        return required
    terms = [term for term in own.get("nodeSelectorTerms", ()) if any(term.values())]
    if not terms:
        return own
    return {
        "nodeSelectorTerms": [
            {
                key: [*one.get(key, ()), *other.get(key, ())]
                for key in ("matchExpressions", "matchFields")
                if one.get(key) or other.get(key)
            }
            for one in terms
            for other in required["nodeSelectorTerms"]
        ]
    }


def _host_users(spec: Object, context: Context) -> None:
    default, required = context.policy.defaults.host_users, context.policy.required.host_users
    shared = [key for key in _HOST_NAMESPACES if spec.get(key)]
    if required is False and shared:
        raise Refused(
            f"spec.{shared[0]}",
            "true is not possible in a user namespace of the pod's own",
            _has("hostUsers", value=False),
        )
    if required is not None:
        spec["hostUsers"] = required
    elif default is not None and not shared:
        spec.setdefault("hostUsers", default)


def _of_pod(context: Context) -> Object:
    """The pod's own security context, as far as containers take it over."""
    found = context.pod["spec"].get("securityContext")
    if not isinstance(found, dict):  # refused where it stands
        return {}
    return {key: found[key] for key in _OF_POD if found.get(key) is not None}


def _is_possible(key: str, value: Any, effective: Object) -> bool:
    """Whether a default goes with what the tenant says of other fields."""
    if key == "allowPrivilegeEscalation":
        return value or not _escalates(effective)
    return not (key == "runAsNonRoot" and value and effective.get("runAsUser") == 0)


def _escalates(own: Object) -> bool:
    """Whether Kubernetes refuses `allowPrivilegeEscalation: false` beside it."""
    added = (own.get("capabilities") or {}).get("add", ())
    return bool(own.get("privileged")) or any(each in ("SYS_ADMIN", "CAP_SYS_ADMIN") for each in added)


def _dropped(own: Object, context: Context, path: str) -> list[str]:
    """Capabilities that the container loses."""
    defaults, required = context.policy.defaults.security_context, context.policy.required.security_context
    added = [each.removeprefix("CAP_") for each in own.get("add", ())]
    for n, each in enumerate(added):
        if each in required.capabilities.drop:
            raise Refused(
                f"{path}.add[{n}]",
                f"{each!r} is not allowed in this cluster",
                _has("securityContext.capabilities.drop", list(required.capabilities.drop)),
            )
    dropped = list(own.get("drop", ()))
    if not dropped:
        dropped = [each for each in defaults.capabilities.drop if each not in added]
    return dropped + [each for each in required.capabilities.drop if each not in dropped]


def _agree(path: str, found: Any, required: Any, key: str) -> None:
    """See that what a pod says is what the policy requires, where both say anything."""
    if found is None or required is None or found == required:
        return
    shown = json.dumps(found, ensure_ascii=False)
    raise Refused(path, f"{shown} contradicts the cluster's policy", _has(key, required))


def _has(key: str, value: Any) -> str:
    return f"pods.required.{key} of the cluster's policy is {json.dumps(value)}: leave it out or say the same"
