"""What the virtual kubelets of a run asked of the host, by its audit log, against the rights they have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from devcluster.audit import Request, requests
from k3k_pulumi.manifests.rbac import roles
from k3k_pulumi.model import VirtualClusterSpec
from k3k_pulumi.model.document import ENABLED

AGENT = "k3k-kubelet"
"""How the virtual kubelet calls itself. Tests that borrow its account are somebody else."""
_SUFFIX = "-kubelet"
_CREATED = 201
"""Answer to a server-side apply that made the object, for which the API server asks for `create` as well."""
_ACCOUNT = "system:serviceaccount:"
_ENDS = {"namespaces", "roles", "rolebindings", "clusterroles", "clusterrolebindings"}
_LINES = (f'"userAgent":"{AGENT}', '"verb":"delete')
"""What a line of the log has that may matter here."""

_EVERYTHING = {
    "mirror_host_nodes": True,
    "sync": {direction: {kind: {"enabled": True} for kind in kinds} for direction, kinds in ENABLED.items()},
}
_SETTINGS: Mapping[str, Mapping[str, Any]] = {"by default": {}, "with every setting": _EVERYTHING}


class Right(NamedTuple):
    """One verb on one kind of object.

    Attributes:
        where: `workloads`, `control plane` (namespaces of the cluster) or `whole host`.
        verb: as in RBAC.
        resource: with its subresource and group: `pods/log`, `leases.coordination.k8s.io`.
        own: whether it is for the one object alone that is named as the kubelet is.
    """

    where: str
    verb: str
    resource: str
    own: bool = False

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{' (its own)' if self.own else ''} in {self.where}"


@dataclass
class Findings:
    """What a comparison has found.

    Attributes:
        unused: rights that no kubelet used, with the settings that give them.
        beyond: rights that were used and are not in any Role of ours.
        refused: requests that the host refused for lack of a right.
        kubelets: how many asked anything.
    """

    unused: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    kubelets: int = 0


def granted() -> dict[Right, str]:
    """The rights that the library gives kubelets -> the first of the settings with which it does."""
    found: dict[Right, str] = {}
    for title, settings in _SETTINGS.items():
        spec = VirtualClusterSpec.parse("c", {"namespace": "n", **settings})
        for role in roles(spec):
            where = {spec.namespace: "workloads", spec.control_plane_namespace: "control plane"}
            place = where.get(role["metadata"].get("namespace", ""), "whole host")
            for rule in role.get("rules", ()):
                for right in _rights(place, rule, spec.names.kubelet):
                    found.setdefault(right, title)
    return found


def _rights(where: str, rule: Mapping[str, Any], kubelet: str) -> Iterable[Right]:
    names = rule.get("resourceNames", [])
    if names not in ([], [kubelet]):
        raise ValueError(f"a rule about {names}: nobody here knows whose these are")
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                yield Right(where, verb, _resource(group, *resource.split("/")), bool(names))


def _resource(group: str, resource: str, subresource: str = "") -> str:
    return f"{resource}{f'/{subresource}' if subresource else ''}{f'.{group}' if group else ''}"


def compare(rights: Mapping[Right, str], asked: Iterable[Request], since: str = "") -> Findings:
    """Compares what kubelets may do with what they did.

    Not counted as refused is what the same kubelet was allowed at another time, or what it asked when its
    namespace or its rights were on their way out: RBAC is read by API servers a moment after it is written.

    Args:
        rights: see `granted`.
        asked: requests of all users.
        since: what came before this time is not looked at, RFC 3339 in UTC.
    """
    used: dict[Right, set[str]] = defaultdict(set)
    refusals: list[tuple[Request, Right]] = []
    ended: dict[str, str] = {}  # what was deleted -> when that was asked for
    for request in asked:
        if request.time < since:
            continue
        if request.verb.startswith("delete") and request.resource in _ENDS and request.decision == "allow":
            name = request.namespace or request.name
            ended[name] = min(request.time, ended.get(name, request.time))
        if request.agent != AGENT or not request.resource or not _is_kubelet(request.user):
            continue
        right = _right(request, rights)
        if request.decision == "allow":
            used[right].add(request.user)
            if (right.verb, request.code) == ("patch", _CREATED):
                used[right._replace(verb="create")].add(request.user)
        else:
            refusals.append((request, right))
    refused: dict[tuple[str, str, Right], int] = defaultdict(int)
    for request, right in refusals:
        if request.user in used.get(right, ()):
            continue
        # The log is in the order of the answers: what a deletion takes away is missed before it is answered.
        if not _is_over(request, {name for name, time in ended.items() if time <= request.time}):
            refused[request.user, request.namespace, right] += 1
    return Findings(
        unused=[f"{right}, given {rights[right]}" for right in sorted(rights.keys() - used.keys())],
        beyond=[f"{right} by {min(used[right])}" for right in sorted(used.keys() - rights.keys())],
        refused=[
            f"{right}, namespace {namespace or '(none)'}, by {user}, {times} times"
            for (user, namespace, right), times in sorted(refused.items())
        ],
        kubelets=len(set().union(*used.values())) if used else 0,
    )


def _is_kubelet(user: str) -> bool:
    return user.startswith(_ACCOUNT) and user.endswith(_SUFFIX)


def _right(request: Request, rights: Mapping[Right, str]) -> Right:
    """The right that a request needs: for one's own object alone, where that is enough."""
    namespace, account = request.user.removeprefix(_ACCOUNT).split(":")
    where = "control plane" if request.namespace == namespace else "workloads"
    resource = _resource(request.group, request.resource, request.subresource)
    general = Right(where if request.namespace else "whole host", request.verb, resource)
    own = general._replace(own=True)
    return own if request.name == account and own in rights else general


def _is_over(request: Request, ended: set[str]) -> bool:
    """Whether something had begun to take the kubelet's rights away."""
    namespace = request.user.removeprefix(_ACCOUNT).split(":")[0]
    cluster_wide = {name for name in ended if f":{namespace}:" in name}
    return bool({request.namespace, namespace} & ended or cluster_wide)


def check(log: Path, since: str, *, whole: bool) -> tuple[list[str], str]:
    """Compares what the kubelets of a run did with what they may.

    Args:
        log: the host's audit log.
        since: when the run began, RFC 3339 in UTC.
        whole: whether all tests have run, so that each right must have been of use.

    Returns:
        What is wrong, a line each, and what was looked at.
    """
    rights = granted()
    found = compare(rights, requests(log, _LINES), since)
    wrong = [f"the host refused for lack of a right: {line}" for line in found.refused]
    if whole:
        wrong += [f"used, but given by no Role of the library: {line}" for line in found.beyond]
        wrong += [f"given, but used by no kubelet in the whole run: {line}" for line in found.unused]
    used = len(rights) - len(found.unused)
    return wrong, f"{found.kubelets} kubelets used {used} of {len(rights)} rights"
