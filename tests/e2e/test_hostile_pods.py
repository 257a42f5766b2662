"""Hostile and odd pods: each file of tests/e2e/hostile is refused with a clear event, or runs harmlessly.

The file says which, and what the host has of it. Beside that, what holds for all of them is asserted here:
no object of somebody else's is copied, referred to or changed, and nothing of the host is told inside.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Host, unique
from tests.e2e.support import hostile
from tests.e2e.support.clusters import PREFIX, View
from tests.e2e.support.host_side import broken
from tests.e2e.support.hostile import differences
from tests.e2e.support.hostile_run import HostileRun, Outcome, Results, dropped, names_field, reasons
from tests.e2e.support.shared import shared_cluster
from tests.run import FOLDER, locked

FILES = sorted(hostile.FOLDER.glob("*.yaml"))


@pytest.fixture(scope="session")
def results(host: Host, kubelet_image: str, request: pytest.FixtureRequest) -> Results:
    """All cases, run at once by the first worker that asks."""
    del kubelet_image
    folder = request.config.stash[FOLDER]
    file = folder / "hostile-pods"
    access = shared_cluster(folder, "kubernetes", host.kubeconfig)
    with locked(folder, "hostile-pods"):
        if not file.exists():
            file.write_bytes(pickle.dumps("the run of the hostile pods failed in another worker"))
            view = View.of(host.kubectl, access, destroy=lambda: None)
            run = HostileRun(view, unique("x").removeprefix("x-"))
            with locked(folder, "nodes", shared=True):  # some cases name the node that they are for
                file.write_bytes(pickle.dumps(run.run(FILES)))
        found = pickle.loads(file.read_bytes())
    assert isinstance(found, Results), found
    return found


@pytest.mark.parametrize("name", [file.stem for file in FILES])
def test_hostile_pod(results: Results, name: str) -> None:
    outcome = results.outcomes[name]
    assert inside(outcome) == []
    assert on_the_host(results, outcome) == []


def inside(outcome: Outcome) -> list[str]:
    """What is not as the case says, as the tenant sees it."""
    wanted, found = outcome.case.inside, []
    if wanted.rejected:
        said = outcome.error or "the API server took it"
        return [] if wanted.rejected in outcome.error_fields or wanted.rejected in said else [said]
    if outcome.error:
        return [outcome.error]
    warnings = [
        f"{event['reason']}: {event['message']}" for event in outcome.events if event["type"] == "Warning"
    ]
    phases = {pod["status"].get("phase") for pod in outcome.pods}
    if wanted.refused:
        if not any(names_field(event, wanted.refused, wanted.reason) for event in outcome.events):
            found.append(f"no {wanted.reason} about {wanted.refused} but {warnings}")
        if phases != {"Pending"}:
            found.append(f"the pod is {phases}")
    elif wanted.waits and (wanted.waits not in reasons(outcome) or phases != {"Pending"}):
        found.append(f"{phases}, not waiting for {wanted.waits} but {reasons(outcome)}: {warnings}")
    elif wanted.ends:
        if phases != {wanted.ends} or wanted.reason not in {"", *reasons(outcome)}:
            found.append(f"{phases} with {reasons(outcome)}: {warnings}")
        if wanted.log is not None and outcome.log != wanted.log:
            found.append(f"the log is {outcome.log[:2000]!r}")
    if dropped(outcome) != sorted(wanted.dropped):
        found.append(f"said to be dropped: {dropped(outcome)}")
    return found


def on_the_host(results: Results, outcome: Outcome) -> list[str]:
    """What is not as the case says, or as it must always be, on the host."""
    wanted, found = outcome.case.host, []
    count = 0 if wanted.pod is None else sum(each["kind"] == "Pod" for each in outcome.sent)
    if len(outcome.host_pods) != count:
        found.append(f"{len(outcome.host_pods)} host pods")
    for host_pod in outcome.host_pods:
        found += differences(wanted.pod, host_pod, "pod")
        found += broken(results.cluster, outcome.namespace, host_pod, results.objects)
    # The variables of Services are no copy of anything of the tenant's.
    copies = {each for each in outcome.copies.values() if not each.startswith("configmaps/:")}
    if not copies <= set(wanted.copies) or (not outcome.case.inside.ends and copies != set(wanted.copies)):
        found.append(f"copies {copies}")
    there = {each["metadata"]["uid"]: each for each in results.objects}
    found += [
        f"{bait['kind']} {bait['metadata']['name']} of somebody else's was changed"
        for bait in outcome.bait
        if _state(there.get(bait["metadata"]["uid"], {})) != _state(bait)
    ]
    return found + _seen(results, outcome)


def _state(obj: dict[str, Any]) -> object:
    """What nobody else may change; a pod's version grows by its status."""
    metadata = {
        key: value
        for key, value in obj.get("metadata", {}).items()
        if "spec" not in obj or key not in ("managedFields", "resourceVersion")
    }
    return metadata, [obj.get(key) for key in ("data", "binaryData", "type")]


def _seen(results: Results, outcome: Outcome) -> list[str]:
    """Words of the host that the tenant sees but did not write himself."""
    written = json.dumps(outcome.sent, ensure_ascii=False)
    for pod in outcome.pods:
        pod["metadata"].get("annotations", {}).pop(f"{PREFIX}host-pod-uid", None)  # says it on purpose
    shown = json.dumps([outcome.pods, outcome.events, outcome.log], ensure_ascii=False)
    words = [
        results.known["workload-namespace"],
        results.known["control-plane-namespace"],
        results.known["bait"],
    ]
    words += [pod["metadata"][key] for pod in outcome.host_pods for key in ("name", "uid")]
    words += outcome.copies
    return [f"{word} is seen inside" for word in words if word in shown and word not in written]


WRONG = {
    "unknown key": "about: x\ninside: {waits: X}\nhost: {pod: {}, copies: []}\nmore: 1",
    "two ends": "about: x\ninside: {waits: X, ends: Failed}\nhost: {pod: {}, copies: []}",
    "no host side": "about: x\ninside: {waits: X}",
    "a refused pod on the host": "about: x\ninside: {refused: a, reason: R}\nhost: {pod: {}, copies: []}",
    "a refused pod without a reason": "about: x\ninside: {refused: spec.a}\nhost: {pod: null, copies: []}",
    "unknown fact": "about: !known nothing\ninside: {waits: X}\nhost: {pod: {}, copies: []}",
    "unknown tag": "about: !other x\ninside: {waits: X}\nhost: {pod: {}, copies: []}",
}


@pytest.mark.parametrize("title", WRONG)
def test_a_case_that_says_it_wrong_is_no_case(title: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(WRONG[title] + "\n---\nkind: Pod\n")
    with pytest.raises(ValueError, match=r"wrong\.yaml: "):
        hostile.read(file, dict.fromkeys(hostile.KNOWN, "x"), str)
