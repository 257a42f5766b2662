"""Specs, keys and golden files for the unit tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from k3k_pulumi.manifests import Manifest, virtual_cluster
from k3k_pulumi.model import VirtualClusterPolicySpec, VirtualClusterSpec
from k3k_pulumi.pki import ClusterPki, KeyPair, ProbeToken

GOLDEN = Path(__file__).parent / "golden"
CONTROL_PLANE = "team-c-control-plane"
DISTRIBUTIONS = pytest.mark.parametrize("distribution", ["kubernetes", "k3s"])


def spec(name: str = "c", /, **args: Any) -> VirtualClusterSpec:
    """A spec in the namespace `team`, of the distribution `kubernetes` unless `args` say otherwise."""
    return VirtualClusterSpec.parse(name, {"namespace": "team", "distribution": "kubernetes", **args})


def constraints(**rules: Any) -> dict[str, Any]:
    """Those of a policy `team`, bound to the namespace `team`."""
    return VirtualClusterPolicySpec.parse("team", {"namespaces": ["team"], **rules}).constraints


def under(rules: dict[str, Any], **args: Any) -> VirtualClusterSpec:
    """The spec of a cluster `c` in the namespace `team`, under a policy of these rules."""
    return VirtualClusterSpec.parse("c", {"namespace": "team", "policy": constraints(**rules), **args})


def marked_pki() -> ClusterPki[str]:
    """Values that say which they are."""
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(ClusterPki):
        name = field.name
        if name.endswith("_ca") or name == "admin":
            fields[name] = KeyPair(f"<{name} certificate>", f"<{name} key>")
        elif name == "probe_token":
            fields[name] = ProbeToken("<probe authorization>", "<probe token file>")
        else:
            fields[name] = f"<{name}>"
    return ClusterPki(**fields)


def manifests(name: str = "c", /, **args: Any) -> list[Manifest]:
    return virtual_cluster(spec(name, **args), marked_pki())


def find(objects: list[Manifest], kind: str, name: str, namespace: str | None = None) -> Manifest:
    found = [
        each
        for each in objects
        if (each["kind"], each["metadata"]["name"]) == (kind, name)
        and namespace in (None, each["metadata"].get("namespace"))
    ]
    assert len(found) == 1, f"{len(found)} objects are {kind} {name} in {namespace}"
    return found[0]


def templates(objects: list[Manifest]) -> dict[str, dict[str, Any]]:
    """Pod templates by the component that their pods are of."""
    made = [each["spec"]["template"] for each in objects if "template" in each.get("spec", {})]
    return {each["metadata"]["labels"]["k3k-pulumi.io/component"]: each for each in made}


def containers(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    pod = template["spec"]
    return {each["name"]: each for each in (*pod.get("initContainers", ()), *pod["containers"])}
