"""The field table of the status against the fields that Kubernetes has, and what it says of them."""

from collections.abc import Mapping
from typing import Any

import pytest
from k3k_kubelet.translate import status
from k3k_kubelet.translate.table import status as table
from kubernetes import client

from kubelet.tests.translate.builders import on_host, pod

TABLES: dict[str, Mapping[str, Any]] = {
    "V1PodStatus": table.POD_STATUS,
    "V1ContainerStatus": table.CONTAINER_STATUS,
    "V1PodCondition": table.POD_CONDITION,
    "V1VolumeMountStatus": dict.fromkeys(table.VOLUME_MOUNT_STATUS),
    "V1ContainerState": table.CONTAINER_STATE,
    **{
        f"V1ContainerState{kind.capitalize()}": dict.fromkeys(fields)
        for kind, fields in table.CONTAINER_STATE.items()
    },
}


@pytest.mark.parametrize("kind", TABLES)
def test_the_table_has_every_field_of_kubernetes(kind: str) -> None:
    assert set(TABLES[kind]) == set(getattr(client, kind).attribute_map.values())


@pytest.mark.parametrize("field", table.POD_STATUS)
def test_each_field_is_the_word_of_the_side_that_the_table_says(field: str) -> None:
    rule = table.POD_STATUS[field].rule
    if rule == "translated":
        return  # each has tests of its own
    inside, copy = pod(), on_host(pod())
    inside["status"] = {field: "inside"}
    copy["status"] = {field: "host"}
    made = status.to_virtual(copy, inside)
    if rule == "host":
        assert made == {field: "host"}
    else:
        assert rule == "inside"
        assert made is None
        assert status.to_virtual(copy, {**inside, "status": {}}) is None


def test_what_kubernetes_may_add_is_neither_taken_nor_removed() -> None:
    inside, copy = pod(), on_host(pod())
    inside["status"] = {"ofTomorrow": "inside"}
    container = {
        "name": "main",
        "ofTomorrow": "x",
        "state": {"running": {"startedAt": "t", "ofTomorrow": "x"}},
    }
    mount = {"name": "data", "mountPath": "/d", "ofTomorrow": "x"}
    copy["status"] = {
        "phase": "Running",
        "ofTomorrow": "host",
        "alsoNew": "host",
        "conditions": [{"type": "Ready", "status": "True", "ofTomorrow": "x"}],
        "containerStatuses": [{**container, "volumeMounts": [mount]}],
    }
    inside["spec"]["volumes"] = [{"name": "data"}]
    assert status.to_virtual(copy, inside) == {
        "phase": "Running",
        "ofTomorrow": "inside",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": "main",
                "state": {"running": {"startedAt": "t"}},
                "volumeMounts": [{"name": "data", "mountPath": "/d"}],
            }
        ],
    }
