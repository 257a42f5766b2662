"""Changes of a running pod that its copy on the host follows."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from k3k_kubelet.policy import Pods, Policy
from k3k_kubelet.translate import identity, metadata, names
from k3k_kubelet.translate.context import Context
from k3k_kubelet.translate.objects import Cluster, Dropped, Object, Refused
from k3k_kubelet.translate.rules import images, scheduling, settings

APPLIED = f"{names.DOMAIN}/applied"
"""Annotation of the host pod: what we gave the host of the fields that may change later, as JSON.

Changes are found against this and never against the live spec, which the host's admission may have changed.
"""

_RESIZABLE = ("cpu", "memory")
"""The resources that Kubernetes changes in place."""

_RESIZED = ("resources", "podResources")
_NOTED_LATER = (*_RESIZED, "ephemeralContainers")
"""Parts of the record that are written once the host has taken what they say."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What the host's copy of a pod lacks, in the order in which it is to be given.

    Attributes:
        patch: strategic merge patch of the host pod, tied to its uid; None if there is nothing for it. One
            with tolerations is tied to the resourceVersion too, as it carries the host's own: on 409 read the
            host pod again.
        containers: names of the ephemeral containers that the host was not given, for
            `pods/ephemeralcontainers`. They need what `patch` brings.
        resize: strategic merge patch of `pods/resize`, None if the resources are as they were.
        resized: what `note` has to write once the host has taken `resize`.
        refused: changes that the policy does not let the host have; it keeps what it has.
        dropped: what `patch` leaves out and the tenant should know of.
    """

    patch: Object | None
    containers: tuple[str, ...]
    resize: Object | None
    resized: Object
    refused: tuple[Refused, ...] = ()
    dropped: tuple[Dropped, ...] = ()

    @property
    def spec(self) -> bool:
        """Whether anything of the spec is among them."""
        patched = self.patch is not None and "spec" in self.patch
        return bool(self.containers or self.resize or self.refused or patched)


def changes(
    pod: Mapping[str, Any],
    host_pod: Mapping[str, Any],
    cluster: Cluster,
    policy: Policy,
    isolated: Iterable[str] | None = None,
) -> Changes:
    """The changes that the host's copy of a pod needs.

    Args:
        pod: the pod as the virtual API server has it.
        host_pod: its copy.
        cluster: the virtual cluster.
        policy: what its pods may do.
        isolated: directions in which NetworkPolicies of the tenant isolate the pod; None while that is not
            known: the copy stays as it is in that.

    Raises:
        Refused: the tenant's labels or annotations cannot be carried.
    """
    found = host_pod["metadata"]
    last = _load((found.get("annotations") or {}).get(APPLIED))
    context = Context(cluster, policy.pods, pod)
    wanted = [dict(each) for each in pod["spec"].get("tolerations") or ()]
    wanted = settings.tolerations(scheduling.tolerations(wanted, context, "spec.tolerations", {}), context)
    now = _applied(pod, wanted, policy.pods)
    refused = tuple(_refused_images(context, last, now, host_pod["spec"]))
    told = last.get("untolerated", ())
    if "images" in last:
        # No container joins a running pod but ephemeral ones. One that somebody inside makes up may have the
        # name of one that the host has put there.
        for part in ("images", "resources"):
            now[part] = {name: it for name, it in now.get(part, {}).items() if name in last["images"]}
    resize = _resize(last, now, host_pod["spec"])
    later = {key: last[key] for key in _NOTED_LATER if key in last}
    noted = {key: value for key, value in now.items() if value and key not in _NOTED_LATER} | later
    given = last.get("ephemeralContainers", ())
    containers = [each["name"] for each in pod["spec"].get("ephemeralContainers") or ()]
    isolated = identity.isolated(host_pod) if isolated is None else isolated
    labels, annotations = metadata.of_copy(pod, cluster, policy.pods, isolated)
    return Changes(
        _patch(host_pod, (labels, annotations), last, noted),
        tuple(name for name in containers if name not in given),
        {"metadata": {"uid": found["uid"]}, "spec": resize} if resize else None,
        {key: now.get(key, {}) for key in _RESIZED} if resize else {},
        refused,
        tuple(context.dropped) if any(each not in told for each in now.get("untolerated", ())) else (),
    )


def note(host_pod: Mapping[str, Any], parts: Mapping[str, Any]) -> Object:
    """The strategic merge patch that writes parts of the record, for what the host has taken by now."""
    found = host_pod["metadata"]
    last = _load((found.get("annotations") or {}).get(APPLIED))
    text = _dump({key: value for key, value in {**last, **parts}.items() if value})
    return {"metadata": {"uid": found["uid"], "annotations": {APPLIED: text}}}


def joined(host_pod: Mapping[str, Any], container: str) -> Object:
    """What `note` has to write once the host has taken an ephemeral container."""
    last = _load((host_pod["metadata"].get("annotations") or {}).get(APPLIED))
    return {"ephemeralContainers": [*last.get("ephemeralContainers", ()), container]}


def own_containers(host_pod: Mapping[str, Any]) -> frozenset[str]:
    """Names of the host pod's containers that the tenant's pod has given it.

    Others are the host's: sidecars that its webhooks have put there, debug containers of its administrators.
    Nothing of them is the tenant's to see or to enter, whatever names his pod has inside.
    """
    last = _load((host_pod["metadata"].get("annotations") or {}).get(APPLIED))
    return frozenset((*last.get("images", ()), *last.get("ephemeralContainers", ())))


def record(pod: Mapping[str, Any], tolerations: list[Object], policy: Pods) -> str:
    """The annotation APPLIED of a new host pod that has these tolerations."""
    return _dump(_applied(pod, tolerations, policy))


def _patch(
    host_pod: Mapping[str, Any],
    wanted: tuple[dict[str, str], dict[str, str]],
    last: Mapping[str, Any],
    now: Object,
) -> Object | None:
    found = host_pod["metadata"]
    spec = _spec_change(last, now, host_pod["spec"])
    labels, annotations = wanted
    annotations[APPLIED] = _dump(now)
    metadata.check_size(annotations)
    change: Object = {}
    for kind, desired in (("labels", labels), ("annotations", annotations)):
        difference = _difference(found.get(kind) or {}, desired, last.get(kind, ()))
        if difference:
            change[kind] = difference
    if not change and not spec:
        return None
    change["uid"] = found["uid"]
    if "tolerations" in spec:
        change["resourceVersion"] = found["resourceVersion"]
    return {"metadata": change, "spec": spec} if spec else {"metadata": change}


def _applied(pod: Mapping[str, Any], tolerations: list[Object], policy: Pods) -> Object:
    spec, own = pod["spec"], pod["metadata"]
    applied = {
        "activeDeadlineSeconds": spec.get("activeDeadlineSeconds"),
        "annotations": metadata.verbatim(own.get("annotations") or {}, policy.annotations),
        "images": {each["name"]: each.get("image", "") for each in _containers(spec)},
        "labels": metadata.verbatim(own.get("labels") or {}, policy.labels),
        "podResources": _resources(spec),
        "resources": {each["name"]: found for each in _containers(spec) if (found := _resources(each))},
        "tolerations": tolerations,
        "untolerated": [
            each
            for each in spec.get("tolerations") or ()
            if each not in tolerations and not scheduling.is_of_nodes(each)
        ],
    }
    return {key: value for key, value in applied.items() if value}


def _refused_images(
    context: Context, last: Mapping[str, Any], now: Object, live: Mapping[str, Any]
) -> Iterator[Refused]:
    """New images that the policy does not have; `now` then has those that the host has."""
    given: Mapping[str, str] = last.get("images") or {
        each["name"]: each.get("image", "") for each in _containers(live)
    }
    for kind in ("initContainers", "containers"):
        for n, each in enumerate(context.pod["spec"].get(kind) or ()):
            name = each["name"]
            if name in given and each.get("image", "") != given[name]:
                try:
                    images.image(each.get("image", ""), context, f"spec.{kind}[{n}].image", each)
                except Refused as refused:
                    now["images"][name] = given[name]
                    yield refused


def _containers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for kind in ("initContainers", "containers"):
        yield from spec.get(kind) or ()


def _resources(owner: Mapping[str, Any]) -> Object:
    """What of a container's or pod's resources may change in place."""
    found = owner.get("resources") or {}
    chosen = {
        kind: {name: found[kind][name] for name in _RESIZABLE if name in found[kind]}
        for kind in ("limits", "requests")
        if found.get(kind)
    }
    return {kind: amounts for kind, amounts in chosen.items() if amounts}


def _resize(last: Mapping[str, Any], now: Mapping[str, Any], live: Mapping[str, Any]) -> Object:
    """The patch of the host pod's resources, by what the tenant changed: the host may have set others."""
    change: Object = {}
    before, after = last.get("resources", {}), now.get("resources", {})
    for kind in ("initContainers", "containers"):
        entries = []
        for each in live.get(kind) or ():
            name = each["name"]
            difference = _amounts(before.get(name, {}), after.get(name, {}))
            if difference:
                entries.append({"name": name, "resources": difference})
        if entries:
            change[kind] = entries
    of_pod = _amounts(last.get("podResources", {}), now.get("podResources", {}))
    return change | ({"resources": of_pod} if of_pod else {})


def _amounts(last: Mapping[str, Any], now: Mapping[str, Any]) -> Object:
    """The patch from some limits and requests to others."""
    change: Object = {}
    for kind in ("limits", "requests"):
        before, after = last.get(kind, {}), now.get(kind, {})
        difference = {name: amount for name, amount in after.items() if before.get(name) != amount}
        difference |= dict.fromkeys(name for name in before if name not in after)
        if difference:
            change[kind] = difference
    return change


def _spec_change(last: Mapping[str, Any], now: Mapping[str, Any], live: Mapping[str, Any]) -> Object:
    """The patch of the host pod's spec from what was applied last to what is to be applied now."""
    change: Object = {}
    before = last.get("images", {})
    changed = {name: image for name, image in now.get("images", {}).items() if before.get(name) != image}
    for kind in ("initContainers", "containers"):
        entries = [
            {"name": each["name"], "image": changed[each["name"]]}
            for each in live.get(kind) or ()
            if each["name"] in changed
        ]
        if entries:
            change[kind] = entries
    deadline = now.get("activeDeadlineSeconds")
    if deadline is not None and deadline != last.get("activeDeadlineSeconds"):
        change["activeDeadlineSeconds"] = deadline
    present = list(live.get("tolerations") or ())
    added = [each for each in now.get("tolerations", ()) if each not in last.get("tolerations", ())]
    missing = [each for each in added if each not in present]
    if missing:
        replaced = [_unlimited(each) for each in missing]
        change["tolerations"] = [each for each in present if _unlimited(each) not in replaced] + missing
    return change


def _unlimited(toleration: Mapping[str, Any]) -> Object:
    """A toleration without its time, which alone may change."""
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _difference(
    live: Mapping[str, str], wanted: Mapping[str, str], verbatim: Iterable[str]
) -> dict[str, str | None]:
    """The patch of a map: only keys of our domain and those we copied earlier are ever removed."""
    change: dict[str, str | None] = {key: value for key, value in wanted.items() if live.get(key) != value}
    ours = {key for key in live if names.is_reserved(key)} | set(verbatim)
    change |= dict.fromkeys(key for key in ours if key in live and key not in wanted)
    return change


def _dump(value: Object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _load(text: str | None) -> Object:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
