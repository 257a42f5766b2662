"""One run of all cases of tests/e2e/hostile at once: created together, waited for together."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from k3k_kubelet.translate import names

from tests.e2e.support import hostile
from tests.e2e.support.clusters import PREFIX, View
from tests.e2e.support.host_side import copies_of
from tests.e2e.support.hostile import Case
from tests.e2e.support.polling import eventually
from tests.e2e.support.raw import Raw, RawError

SETTLE_TIMEOUT = 300.0  # seconds; most have settled after 15
METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
APIS = {"v1": "/api/v1", **{f"{group}/{v}": f"/apis/{group}/{v}" for group, v in [
    ("node.k8s.io", "v1"), ("scheduling.k8s.io", "v1"), ("resource.k8s.io", "v1"),
    ("coordination.k8s.io", "v1"), ("rbac.authorization.k8s.io", "v1"),
]}}  # fmt: skip
CONFIG = ("configmaps", "secrets", "persistentvolumeclaims")
CLUSTER_SCOPED = {"PriorityClass", "RuntimeClass", "Node", "PersistentVolume"}


@dataclass
class Outcome:
    """What came of a case.

    Attributes:
        case: what had to come of it.
        namespace: where it is inside.
        sent: the objects as they were created.
        error: the API server's answer to an object that it did not take.
        error_fields: the fields that it names.
        pods: inside, when the case had settled.
        events: inside, about the pods, at that time.
        host_pods: on the host, at that time.
        copies: names on the host then -> `secrets/NAME`, `configmaps/NAME`, `tokens/POD`.
        log: of the container `main`, if the case asks.
        bait: the host's objects that the case must not touch, before.
        settled: whether the case has come to its end.
        took: seconds until then, since all was created.
    """

    case: Case
    namespace: str
    sent: list[dict[str, Any]]
    error: str = ""
    error_fields: list[str] = field(default_factory=list)
    pods: list[Any] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    host_pods: list[Any] = field(default_factory=list)
    copies: dict[str, str] = field(default_factory=dict)
    log: str = ""
    bait: list[Any] = field(default_factory=list)
    settled: bool = False
    took: float = 0.0


@dataclass
class Results:
    """What came of a run.

    Attributes:
        cluster: name of the virtual cluster.
        known: the facts of `hostile.KNOWN`.
        outcomes: by the name of the file.
        objects: ConfigMaps, Secrets, claims and pods of the workload namespace when all had settled.
    """

    cluster: str
    known: dict[str, str]
    outcomes: dict[str, Outcome]
    objects: list[Any]


class HostileRun:
    """The cases of one run in one virtual cluster.

    Args:
        view: the cluster.
        unique: a word that no other run uses.
    """

    def __init__(self, view: View, unique: str) -> None:
        self.view = view
        self.unique = unique
        self.inside = Raw(view.access.kubeconfig)
        self.host = Raw(view.workloads.kubeconfig)
        self.known: dict[str, str] = {}
        self.outcomes: dict[str, Outcome] = {}
        self._cleanup: list[str] = []
        self._started = 0.0

    def run(self, files: Iterable[Path]) -> Results:
        """Creates everything, waits until all cases have settled or the time is over, and removes it all."""
        try:
            return self._run(files)
        finally:
            with ThreadPoolExecutor(12) as pool:
                list(pool.map(self._free, self.outcomes.values()))
                list(pool.map(self._delete, self._cleanup))

    def _run(self, files: Iterable[Path]) -> Results:
        self.known = self._facts()
        with ThreadPoolExecutor(12) as pool:
            self.outcomes = dict(pool.map(self._prepared, files))
            self._wait_for_accounts()
            self._wait_for_neighbour()
            list(pool.map(self._create, sorted(self.outcomes.values(), key=_may_take_its_time)))
            self._started = time.monotonic()
            with suppress(AssertionError):  # each case says by itself what has not come
                eventually(self._look, SETTLE_TIMEOUT, interval=1.0)
            list(pool.map(self._read_log, self.outcomes.values()))
        objects = [each for kind in (*CONFIG, "pods") for each in self.host.items(self._workload(kind))]
        return Results(self.view.name, self.known, self.outcomes, objects)

    def _facts(self) -> dict[str, str]:
        """The values of `hostile.KNOWN`, after making what they are about."""
        view, other = self.view, f"h-{self.unique}-neighbour"
        bait = f"bait-{self.unique}-{self.unique[::-1]}"
        self._namespace(other)
        prefix = f"/api/v1/namespaces/{other}"
        eventually(
            lambda: (
                "default" in [a["metadata"]["name"] for a in self.inside.items(f"{prefix}/serviceaccounts")]
            )
        )
        secret = {"kind": "Secret", "metadata": {"name": "own"}, "stringData": {"word": bait}}
        self.inside("POST", f"{prefix}/secrets", secret)
        self.inside("POST", f"{prefix}/configmaps", {"metadata": {"name": "own"}, "data": {"word": bait}})
        made = self.inside("POST", f"{prefix}/pods", _neighbour())
        uid = made["metadata"]["uid"]
        tokens = names.token_secret_name(view.name, other, "neighbour", uid)
        eventually(
            lambda: (
                tokens in [each["metadata"]["name"] for each in self.host.items(self._workload("secrets"))]
            )
        )
        control_plane = view.control_plane.get("secrets")
        (server,) = view.control_plane.get("pods", "-l", f"{PREFIX}component=server")
        copy = names.host_name(view.name, other, "own")
        known = {
            "anchor": f"{view.name}-anchor",
            "bait": bait,
            "control-plane-namespace": view.control_plane.namespace,
            "control-plane-secret": control_plane[0]["metadata"]["name"],
            "host-uid": server["metadata"]["uid"],
            "kubelet-account": f"{view.name}-kubelet",
            "neighbour": names.host_name(view.name, other, "neighbour"),
            "neighbour-config-map": copy,
            "neighbour-secret": copy,
            "neighbour-tokens": tokens,
            "neighbour-uid": uid,
            "node": view.workloads.get("nodes")[0]["metadata"]["name"],
            "other-namespace": other,
            "server": server["metadata"]["name"],
            "unique": self.unique,
            "workload-account": f"{view.name}-workload",
            "workload-namespace": view.workloads.namespace,
        }
        assert {*known, "namespace"} == set(hostile.KNOWN)
        return known

    def _prepared(self, file: Path) -> tuple[str, Outcome]:
        """A case whose namespace and bait are there."""
        namespace = f"h-{self.unique}-{file.stem}"
        long = namespace + "-" + "x" * (62 - len(namespace))
        facts = {**self.known, "namespace": namespace}
        case, _ = hostile.read(file, facts, lambda name: name)
        if case.namespace == "longest":
            namespace = facts["namespace"] = long
        case, objects = hostile.read(
            file, facts, lambda name: names.host_name(self.view.name, namespace, name)
        )
        self._namespace(namespace)
        bait = [self._make(self.host, self.view.workloads.namespace, each) for each in case.bait]
        return file.stem, Outcome(case, namespace, objects, bait=bait)

    def _wait_for_accounts(self) -> None:
        """Pods are refused before their namespace has its ServiceAccount."""
        wanted = {outcome.namespace for outcome in self.outcomes.values()}

        def there() -> bool:
            found = self.inside.items("/api/v1/serviceaccounts?fieldSelector=metadata.name%3Ddefault")
            return wanted <= {each["metadata"]["namespace"] for each in found}

        eventually(there)

    def _wait_for_neighbour(self) -> None:
        """Who keeps away from all pods of the cluster needs one that runs as long as all cases."""
        path = f"/api/v1/namespaces/{self.known['other-namespace']}/pods/neighbour"
        eventually(lambda: self.inside("GET", path)["status"].get("phase") == "Running")

    def _create(self, outcome: Outcome) -> None:
        late = any(each["kind"] == "PriorityClass" for each in outcome.sent)
        try:
            for each in outcome.sent:
                if late and each["kind"] == "Pod":
                    # The API server's admission hears of a new class by a watch of its own.
                    eventually(lambda each=each: self._make(self.inside, outcome.namespace, each))
                else:
                    self._make(self.inside, outcome.namespace, each)
        except AssertionError as error:
            outcome.error = str(error)
            outcome.error_fields = error.fields if isinstance(error, RawError) else []

    def _look(self) -> bool:
        """Notes what is there of every case that has not settled; whether all have by now."""
        inside = _by_namespace(self.inside.items("/api/v1/pods"))
        events = _by_namespace(self.inside.items("/api/v1/events"))
        host_pods = self.host.items(self._workload("pods"))
        objects = {kind: self.host.items(self._workload(kind), accept=METADATA) for kind in CONFIG}
        for outcome in self.outcomes.values():
            if outcome.settled:
                continue
            outcome.pods = inside.get(outcome.namespace, [])
            outcome.events = events.get(outcome.namespace, [])
            outcome.host_pods = copies_of(self.view.name, outcome.namespace, host_pods)
            outcome.copies = {
                each["metadata"]["name"]: _title(kind, each)
                for kind, found in objects.items()
                for each in copies_of(self.view.name, outcome.namespace, found)
            }
            outcome.settled = _has_settled(outcome)
            outcome.took = time.monotonic() - self._started
        return all(outcome.settled for outcome in self.outcomes.values())

    def _read_log(self, outcome: Outcome) -> None:
        if outcome.case.inside.log is None or not outcome.pods:
            return
        name = outcome.pods[0]["metadata"]["name"]
        path = f"/api/v1/namespaces/{outcome.namespace}/pods/{name}/log?container=main"
        try:
            answer = self.inside("GET", path)
            outcome.log = answer if isinstance(answer, str) else json.dumps(answer)
        except RawError as error:
            outcome.log = str(error)

    def _workload(self, plural: str) -> str:
        return f"/api/v1/namespaces/{self.view.workloads.namespace}/{plural}"

    def _namespace(self, name: str) -> None:
        self.inside("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        self._cleanup.append(f"/api/v1/namespaces/{name}")

    def _make(self, api: Raw, namespace: str, obj: Mapping[str, Any]) -> Any:
        plural = f"{obj['kind'].lower()}{'es' if obj['kind'].endswith('s') else 's'}"
        path = f"{APIS[obj['apiVersion']]}/"
        path += plural if obj["kind"] in CLUSTER_SCOPED else f"namespaces/{namespace}/{plural}"
        made = api("POST", path, obj)
        if api is self.host:
            self._cleanup.append(f"host {path}/{made['metadata']['name']}")
        elif obj["kind"] in CLUSTER_SCOPED:
            self._cleanup.append(f"{path}/{made['metadata']['name']}")
        return made

    def _free(self, outcome: Outcome) -> None:
        """Takes away the finalizers of a case's pods, which would hold its namespace for ever."""
        for pod in outcome.pods:
            if pod["metadata"].get("finalizers"):
                path = f"/api/v1/namespaces/{outcome.namespace}/pods/{pod['metadata']['name']}"
                change = {"metadata": {"finalizers": None}}
                self.inside("PATCH", path, change, content_type="application/merge-patch+json")

    def _delete(self, path: str) -> None:
        api = self.host if path.startswith("host ") else self.inside
        try:
            api("DELETE", path.removeprefix("host "))
        except RawError as error:
            if error.code != 404:
                raise


def _may_take_its_time(outcome: Outcome) -> bool:
    """Not a pod that names its node: where there is no such node, it is collected after 40 seconds."""
    return not any("nodeName" in each.get("spec", {}) for each in outcome.sent)


def _neighbour() -> dict[str, Any]:
    reference = [{"secretRef": {"name": "own"}}, {"configMapRef": {"name": "own"}}]
    container = {"name": "main", "image": "docker.io/library/busybox:1.36", "envFrom": reference}
    container |= {"imagePullPolicy": "IfNotPresent", "command": ["sleep", "1d"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {"kind": "Pod", "metadata": {"name": "neighbour"}, "spec": spec}


def _by_namespace(objects: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for each in objects:
        found.setdefault(each["metadata"]["namespace"], []).append(each)
    return found


def _title(kind: str, copy: Any) -> str:
    name = copy["metadata"]["annotations"][f"{PREFIX}name"]
    is_token = copy["metadata"]["labels"].get(f"{PREFIX}component") == "token"
    return f"{'tokens' if is_token else kind}/{name}"


def reasons(outcome: Outcome) -> set[str]:
    """Why the pods of a case wait: of containers, conditions, the status and Warning events."""
    found = {event["reason"] for event in outcome.events if event["type"] == "Warning"}
    for pod in outcome.pods:
        status = pod["status"]
        found.add(status.get("reason", ""))
        found |= {each.get("reason", "") for each in status.get("conditions", ())}
        for container in status.get("containerStatuses", []) + status.get("initContainerStatuses", []):
            found.add(container["state"].get("waiting", {}).get("reason", ""))
    return found


def _has_settled(outcome: Outcome) -> bool:
    wanted = outcome.case.inside
    if outcome.error or wanted.rejected:
        return True
    if wanted.refused:
        return any(names_field(event, wanted.refused, wanted.reason) for event in outcome.events)
    if wanted.waits:
        there = set(outcome.case.host.copies) <= set(outcome.copies.values())
        as_it_must = bool(outcome.host_pods) == (outcome.case.host.pod is not None)
        return wanted.waits in reasons(outcome) and as_it_must and there
    expected = sum(each["kind"] == "Pod" for each in outcome.sent)
    phases = [pod["status"].get("phase") for pod in outcome.pods]
    if len(dropped(outcome)) < len(wanted.dropped) or wanted.reason not in {"", *reasons(outcome)}:
        return False  # events come by themselves, also after the end
    return len(phases) == expected and all(phase in ("Succeeded", "Failed") for phase in phases)


def dropped(outcome: Outcome) -> list[str]:
    """Fields that events say are left out."""
    found = (event for event in outcome.events if event["reason"] == "FieldDropped")
    return sorted(event["message"].partition(": ")[0] for event in found)


def names_field(event: Any, path: str, reason: str) -> bool:
    """Whether it is a Warning of that reason about that field."""
    return bool(
        event["type"] == "Warning" and event["reason"] == reason and event["message"].startswith(f"{path}:")
    )
