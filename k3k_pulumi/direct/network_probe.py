"""The Job that proves NetworkPolicies, without an engine: made, made anew, awaited, removed."""

from __future__ import annotations

from collections.abc import Iterable

from k3k_pulumi.direct.remove import is_ours
from k3k_pulumi.host import DirectError, Host, Object, Ref
from k3k_pulumi.manifests.objects import CHECKSUM, NETWORK_PROBE
from k3k_pulumi.model import VirtualClusterSpec
from k3k_pulumi.model.names import Names
from k3k_pulumi.reasons import explain

_KINDS = (("batch/v1", "Job"), ("v1", "Service"), ("networking.k8s.io/v1", "NetworkPolicy"))


def make_way(host: Host, manifests: Iterable[Object], names: Names, deadline: float) -> None:
    """Removes what of the probe an earlier run has left that is not as it should be now.

    That is all of it where there is to be none, and a Job that has failed or would have other pods: nothing
    of a Job's pods can be changed.

    Raises:
        DirectError: It may not be removed.
        TimeoutError: It is still there at the deadline.
    """
    wanted = next((each for each in manifests if each["kind"] == "Job"), None)
    for api_version, kind in _KINDS:
        ref = Ref(api_version, kind, names.namespace, names.network_probe)
        found = host.get(ref)
        if found is None or not is_ours(found, names.cluster):
            continue
        if wanted is None or (kind == "Job" and not _is_good(found, wanted)):
            host.delete(ref, propagation="Foreground")
            host.wait_for(ref, lambda found: found is None, deadline)


def await_proof(host: Host, spec: VirtualClusterSpec, manifests: Iterable[Object], deadline: float) -> None:
    """Waits for the Job, if there is one.

    Raises:
        DirectError: The host does not enforce NetworkPolicies, or nothing could be proved; the text says why.
        TimeoutError: The Job was not through at the deadline.
    """
    for job in (each for each in manifests if each["kind"] == "Job"):
        found = host.wait_for(Ref.of(job), lambda found: found is not None and _ended(found) != "", deadline)
        if found is not None and _ended(found) == "Failed":
            raise DirectError(
                f"{Ref.of(job)} has failed: require_network_policy is not met\n" + explain_pods(host, spec)
            )


def explain_pods(host: Host, spec: VirtualClusterSpec) -> str:
    """What the Job, its pods and their events say."""
    return explain(host, spec.namespace, spec.name, component=NETWORK_PROBE)


def _ended(job: Object) -> str:
    """`Complete` or `Failed`; `""` for a Job that goes on."""
    for condition in job.get("status", {}).get("conditions", []):
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return str(condition["type"])
    return ""


def _is_good(found: Object, wanted: Object) -> bool:
    same = _checksum(found) == _checksum(wanted) and "deletionTimestamp" not in found["metadata"]
    return same and _ended(found) != "Failed"


def _checksum(job: Object) -> str:
    return str(job["metadata"].get("annotations", {}).get(CHECKSUM, ""))
