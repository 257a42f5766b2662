"""Which virtual generation a host pod's status stands for; also with versions that differ."""

from typing import Any

import pytest
from k3k_kubelet.translate import status
from k3k_kubelet.translate.status import Outcome

from kubelet.tests.translate.builders import on_host, pod

NOW = "2026-11-21T05:00:00Z"

CASES: list[tuple[str, int | None, int | None, int | None, int | None, bool, int | None]] = [
    # what, virtual generation, observed so far, host generation, observed there, has all of the spec, result
    ("the host's kubelet has seen all", 5, 4, 9, 9, True, 5),
    ("for the first time", 1, None, 1, 1, True, 1),
    ("fewer changes on the host than inside", 7, 3, 2, 2, True, 7),
    ("the host's kubelet is behind", 5, 4, 9, 8, True, 4),
    ("the host's kubelet has not begun", 1, None, 1, None, True, None),
    ("the host does not have all of the spec yet", 5, 4, 9, 9, False, 4),
    ("nothing was observed, and the host lacks something", 2, None, 1, 1, False, None),
    ("virtual before 1.33: no generations of pods", None, None, 3, 3, True, None),
]


@pytest.mark.parametrize(
    ("virtual", "so_far", "host", "observed", "complete", "expected"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_the_generation_that_the_status_stands_for(
    virtual: int | None,
    so_far: int | None,
    host: int | None,
    observed: int | None,
    complete: bool,
    expected: int | None,
) -> None:
    """In the status and in its conditions alike."""
    inside, copy = pod(), on_host(pod())
    if virtual:
        inside["metadata"]["generation"] = virtual
    if host:
        copy["metadata"]["generation"] = host
    ready: dict[str, Any] = {"type": "Ready", "status": "True", "lastTransitionTime": NOW}
    told = {"observedGeneration": observed} if observed else {}
    copy["status"] = {"phase": "Running", **told, "conditions": [{**ready, **told}]}
    if so_far:
        known = {"observedGeneration": so_far}
        inside["status"] = {"phase": "Pending", **known, "conditions": [{**ready, **known}]}
    found = status.to_virtual(copy, inside, Outcome(complete))
    assert found is not None
    assert found.get("observedGeneration") == expected
    assert found["conditions"][0].get("observedGeneration") == expected


@pytest.mark.parametrize(("begun", "expected"), [(True, 3), (False, None)])
def test_a_host_that_does_not_tell_has_taken_what_its_api_server_took(
    begun: bool, expected: int | None
) -> None:
    """Hosts before 1.34; clients inside that wait for their generation must not wait for ever."""
    inside, copy = pod(generation=3), on_host(pod())
    copy["status"] = {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]}
    if begun:
        copy["status"]["startTime"] = NOW
    found = status.to_virtual(copy, inside, Outcome(complete=True))
    assert found is not None
    assert found.get("observedGeneration") == expected
    assert "observedGeneration" not in found["conditions"][0]


def test_one_condition_may_be_behind_another() -> None:
    inside, copy = pod(generation=2), on_host(pod())
    copy["metadata"]["generation"] = 6
    copy["status"] = {
        "phase": "Running",
        "observedGeneration": 6,
        "conditions": [
            {"type": "Ready", "status": "True", "observedGeneration": 6},
            {"type": "PodScheduled", "status": "True", "observedGeneration": 5},
        ],
    }
    found = status.to_virtual(copy, inside, Outcome(complete=True))
    assert found is not None
    assert [each.get("observedGeneration") for each in found["conditions"]] == [2, None]


def test_a_status_without_a_word_on_generations_is_no_change() -> None:
    """An API server keeps the number it has where a status names none: to ask for less would never end."""
    inside, copy = pod(generation=2), on_host(pod())
    copy["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    known = {"type": "Ready", "status": "True", "observedGeneration": 1}
    inside["status"] |= {"phase": "Running", "observedGeneration": 1, "conditions": [known]}
    assert status.to_virtual(copy, inside) is None
