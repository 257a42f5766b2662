"""What gives a container power over its node: allowed value by value, by the policy."""

from collections.abc import Mapping, Sequence
from typing import Any

from k3k_kubelet.policy import HostPath
from k3k_kubelet.translate.context import Context
from k3k_kubelet.translate.objects import Object, Refused
from k3k_kubelet.translate.schema import OMIT, Apply

_SE_LINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
"""Types of Pod Security's baseline (1.31 and newer)."""


def flag(name: str, attribute: str) -> Apply:
    """A boolean that only the policy's `pods.<name>` lets be true."""

    def apply(value: bool, context: Context, path: str, parent: Mapping[str, Any]) -> bool:  # noqa: ARG001
        if value and not getattr(context.policy, attribute):
            raise Refused(path, "true is not allowed in this cluster", _ask(name))
        return value

    return apply


def one_of(name: str, attribute: str) -> Apply:
    """A value that must stand in the policy's list `pods.<name>`."""

    def apply(value: str, context: Context, path: str, parent: Mapping[str, Any]) -> str:  # noqa: ARG001
        allowed: Sequence[str] = getattr(context.policy, attribute)
        if value not in allowed:
            raise Refused(path, f"{value!r} is not allowed in this cluster", _allowed(name, allowed))
        return value

    return apply


def each_of(name: str, attribute: str) -> Apply:
    """A list, each of whose values must stand in the policy's list `pods.<name>`."""
    check = one_of(name, attribute)

    def apply(values: list[str], context: Context, path: str, parent: Mapping[str, Any]) -> list[str]:
        return [check(value, context, f"{path}[{n}]", parent) for n, value in enumerate(values)]

    return apply


def profile(name: str, attribute: str) -> Apply:
    """A seccomp or AppArmor profile that must stand in the policy's list `pods.<name>`."""

    def apply(value: Object, context: Context, path: str, parent: Mapping[str, Any]) -> Object:  # noqa: ARG001
        allowed: Sequence[str] = getattr(context.policy, attribute)
        wanted = value.get("type", "")
        if wanted == "Localhost":
            wanted = f"Localhost/{value.get('localhostProfile', '')}"
            if "Localhost/*" in allowed and ".." not in wanted.split("/"):
                return value
        if wanted not in allowed:
            raise Refused(
                path, f"the profile {wanted!r} is not allowed in this cluster", _allowed(name, allowed)
            )
        return value

    return apply


def se_linux(value: Object, context: Context, path: str, parent: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """SELinux options: baseline's types; also no level, which would undo the separation between pods."""
    if context.policy.se_linux_options:
        return value
    for key in ("user", "role", "level"):
        if value.get(key):
            raise Refused(
                f"{path}.{key}", f"{value[key]!r} is not allowed in this cluster", _ask("seLinuxOptions")
            )
    if value.get("type", "") not in _SE_LINUX_TYPES:
        raise Refused(
            f"{path}.type", f"{value['type']!r} is not allowed in this cluster", _ask("seLinuxOptions")
        )
    return value


def host_port(value: int, context: Context, path: str, parent: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """A port of the node; 0 means none."""
    if value == 0:
        return OMIT
    if not context.policy.host_ports:
        raise Refused(
            path, f"{value} is a port of the node, which is not allowed in this cluster", _ask("hostPorts")
        )
    return value


def host_ip(value: str, context: Context, path: str, parent: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """An address of the node."""
    if value and not context.policy.host_ports:
        raise Refused(
            path,
            f"{value!r} is an address of the node, which is not allowed in this cluster",
            _ask("hostPorts"),
        )
    return value


def probe_host(value: str, context: Context, path: str, parent: Mapping[str, Any]) -> str:  # noqa: ARG001
    """Where a probe connects to: the node's kubelet makes it, past every NetworkPolicy."""
    if value and not context.policy.host_probes:
        raise Refused(
            path,
            f"{value!r}: the node itself would connect there, which is not allowed in this cluster",
            "leave it out to mean the pod; for the request's host name use httpHeaders",
        )
    return value


def propagation(value: str, context: Context, path: str, parent: Mapping[str, Any]) -> str:  # noqa: ARG001
    """Mounts that the node sees are for privileged containers."""
    if value not in ("None", "HostToContainer") and not context.policy.privileged:
        raise Refused(path, f"{value!r} is not allowed in this cluster", _ask("privileged"))
    return value


def operating_system(value: str, context: Context, path: str, parent: Mapping[str, Any]) -> str:  # noqa: ARG001
    """The nodes are Linux."""
    if value != "linux":
        raise Refused(path, f"{value!r}: only Linux pods run in this cluster", "set it to linux")
    return value


def volume_type(name: str) -> Apply:
    """A kind of volume that must stand in the policy's `pods.volumeTypes`."""

    def apply(value: Object, context: Context, path: str, parent: Mapping[str, Any]) -> Object:  # noqa: ARG001
        if name not in context.policy.volume_types:
            raise Refused(
                path,
                f"volumes of the type {name} are not allowed in this cluster",
                _allowed("volumeTypes", context.policy.volume_types),
            )
        return value

    return apply


def host_path(value: Object, context: Context, path: str, parent: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """A path of the node that the policy's `pods.hostPaths` covers."""
    if covering(value.get("path", ""), context.policy.host_paths) is None:
        allowed = tuple(each.path for each in context.policy.host_paths)
        raise Refused(
            path,
            f"the node's path {value.get('path', '')!r} is not allowed in this cluster",
            _allowed("hostPaths", allowed),
        )
    return value


def covering(path: str, allowed: Sequence[HostPath]) -> HostPath | None:
    """The entry of `pods.hostPaths` that covers a path; one that may be written is preferred."""
    parts = path.split("/")
    if not path.startswith("/") or ".." in parts or "." in parts:
        return None
    wanted = [part for part in parts if part]
    found: HostPath | None = None
    for entry in allowed:
        prefix = [part for part in entry.path.split("/") if part]
        if wanted[: len(prefix)] == prefix and (found is None or not entry.read_only):
            found = entry
    return found


def read_only_volumes(spec: Mapping[str, Any], context: Context) -> frozenset[str]:
    """Names of a pod's volumes that are host paths for reading alone."""
    limited = set()
    for volume in spec.get("volumes") or ():
        if volume.get("hostPath"):
            entry = covering(volume["hostPath"].get("path", ""), context.policy.host_paths)
            if entry is None or entry.read_only:
                limited.add(volume["name"])
    return frozenset(limited)


def check_read_only(spec: Object, context: Context) -> None:
    """See that host paths for reading alone are not written, what is mounted below them included."""
    limited = read_only_volumes(spec, context)
    for kind in ("initContainers", "containers"):
        for n, container in enumerate(spec.get(kind, ())):
            check_mounts(container, limited, f"spec.{kind}[{n}]")


def check_mounts(container: Object, limited: frozenset[str], path: str) -> None:
    """See that a container at `path` only reads the volumes in `limited`."""
    for n, mount in enumerate(container.get("volumeMounts", ())):
        if mount.get("name") in limited:
            _only_read(mount, f"{path}.volumeMounts[{n}]")


def _only_read(mount: Object, path: str) -> None:
    reason = f"volume {mount['name']!r} is a path of the node that may only be read here"
    if mount.get("readOnly") is not True:
        raise Refused(f"{path}.readOnly", reason, "set it to true")
    if mount.get("mountPropagation", "None") != "None":
        raise Refused(f"{path}.mountPropagation", reason, "leave it out")
    mount.setdefault("recursiveReadOnly", "IfPossible")
    if mount["recursiveReadOnly"] == "Disabled":
        mount["recursiveReadOnly"] = "IfPossible"


def default_seccomp_profile(spec: Object, context: Context) -> None:
    """What a pod gets that says nothing about it."""
    default = context.policy.default_seccomp_profile
    if default:
        spec.setdefault("securityContext", {}).setdefault("seccompProfile", {"type": default})


def _ask(name: str) -> str:
    return f"leave it out, or ask for pods.{name} in the cluster's policy"


def _allowed(name: str, allowed: Sequence[str]) -> str:
    return f"allowed by pods.{name} of the cluster's policy: {', '.join(allowed) or 'none'}"
