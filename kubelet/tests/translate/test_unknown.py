"""What the host's API server leaves out of a pod that it takes."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from k3k_kubelet.translate.unknown import left_out

from kubelet.tests.translate.builders import host_spec, pod

VIRTUAL = pod(
    {
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": "files", "image": {"reference": "x"}}],
        "hostnameOverride": "a.b",
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute", "operator": "Exists"}],
    },
    {
        "volumeMounts": [{"name": "files", "mountPath": "/v"}],
        "lifecycle": {"stopSignal": "SIGUSR1"},
        "env": [{"name": "A", "value": ""}],
        "tty": False,
    },
)
Change = Callable[[dict[str, Any]], Any]
CASES: list[tuple[str, Change, list[str]]] = [
    ("nothing", dict.copy, []),
    ("a field of the pod", lambda made: made.pop("hostnameOverride"), ["spec.hostnameOverride"]),
    ("a volume", lambda made: made["volumes"].pop(), ["spec.volumes[1]"]),
    ("a source of a volume", lambda made: made["volumes"][1].pop("image"), ["spec.volumes[1].image"]),
    (
        "a field of a container",
        lambda made: made["containers"][0]["lifecycle"].pop("stopSignal"),
        ["spec.containers[0].lifecycle.stopSignal"],
    ),
    (
        "what says nothing",
        lambda made: (made["containers"][0].pop("tty"), made["containers"][0]["env"][0].pop("value")),
        [],
    ),
    ("a changed value", lambda made: made["containers"][0].update(image="mirror/x"), []),
    (
        "what admission adds in front",
        lambda made: (
            made["containers"].insert(0, {"name": "proxy"}),
            made["volumes"].insert(0, {"name": "token"}),
            made["tolerations"].insert(0, {"key": "other"}),
        ),
        [],
    ),
]


@pytest.mark.parametrize(("change", "paths"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_the_host_left_out(change: Change, paths: list[str]) -> None:
    sent = host_spec(VIRTUAL)
    made = copy.deepcopy(sent)
    change(made)
    found = left_out(sent, made)
    assert [each.path for each in found] == paths
    assert {str(each).partition(": ")[2] for each in found} <= {
        "the host's Kubernetes does not know it, or has its feature gate off"
    }


def test_a_host_that_leaves_out_much_is_told_in_ten_events() -> None:
    volumes = [{"name": f"v{n}", "emptyDir": {}} for n in range(50)]
    assert len(left_out({"volumes": volumes}, {"volumes": []})) == 10
