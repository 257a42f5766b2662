"""What a policy's list covers, held against what the virtual kubelet makes of lists.

Whatever a pod gets by an entry of the cluster's list, it has to get by the entry of the policy's list that is
said to cover it.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from k3k_kubelet.policy import HostPath, Toleration
from k3k_kubelet.translate import hosts as kubelet_hosts
from k3k_kubelet.translate import images as kubelet_images
from k3k_kubelet.translate.metadata import verbatim
from k3k_kubelet.translate.rules.security import covering

from k3k_pulumi.model import coverage, images, networks

HOSTS = [
    "*",
    "example.com",
    "*.example.com",
    "a.example.com",
    "*.a.example.com",
    "b.a.example.com",
    "com",
    "*.com",
]
KEYS = [
    "example.com/",
    "example.com/a",
    "example.com",
    "sub.example.com/",
    "sub.example.com/a",
    "a",
    "example.",
]
PATHS = [
    {"path": path, **more}
    for path in ("/", "/srv", "/srv/data", "/srv/data/deep", "/srvx", "/var")
    for more in ({}, {"readOnly": True}, {"readOnly": False})
]
TOLERATIONS = [
    {**key, **operator, **value, **effect}
    for key in ({}, {"key": "a"}, {"key": "b"})
    for operator in ({}, {"operator": "Equal"}, {"operator": "Exists"})
    for value in ({}, {"value": ""}, {"value": "x"}, {"value": "y"})
    for effect in ({}, {"effect": "NoSchedule"}, {"effect": "NoExecute"})
]
REGISTRIES = [
    *("docker.io", "docker.io/library", "docker.io/library/nginx/", "example.com", "example.com/team/"),
    *("example.com/team", "example.com/team-b", "example.com/team/tool", "example.com:5000", "localhost"),
]


def host_is_allowed(entry: str, host: str) -> bool:
    return kubelet_hosts.is_allowed(host, [entry])


def key_is_kept(entry: str, key: str) -> bool:
    return verbatim([key], [entry]) == [key]


def path_is_allowed(entry: dict[str, Any], wanted: tuple[str, bool]) -> bool:
    path, writes = wanted
    found = covering(path, [msgspec.convert(entry, HostPath)])
    return found is not None and not (writes and found.read_only)


def taint_is_tolerated(entry: dict[str, Any], taint: dict[str, Any]) -> bool:
    """Kubernetes' own rule for what a pod tolerates (Toleration.ToleratesTaint)."""
    if entry.get("effect") and entry["effect"] != taint["effect"]:
        return False
    if entry.get("key") and entry["key"] != taint["key"]:
        return False
    if entry.get("operator") == "Exists":
        return True
    return bool(entry.get("key")) and entry.get("value", "") == taint["value"]


def is_toleration(entry: dict[str, Any]) -> bool:
    """Whether the document takes it."""
    try:
        msgspec.convert(entry, Toleration)
    except msgspec.ValidationError:
        return False
    return True


def image_is_allowed(entry: str, image: str) -> bool:
    return kubelet_images.is_of(image, [entry])


CASES: dict[str, tuple[Sequence[Any], Callable[..., bool], Callable[..., bool], Sequence[Any]]] = {
    "hosts": (
        HOSTS,
        coverage.hosts,
        host_is_allowed,
        [
            "com",
            "example.com",
            "a.example.com",
            "b.a.example.com",
            "c.b.a.example.com",
            "*.example.com",
            "other.org",
        ],
    ),
    "keys": (
        KEYS,
        coverage.keys,
        key_is_kept,
        ["example.com/a", "example.com/b", "example.com", "sub.example.com/a", "a", "b", "example.org/a"],
    ),
    "host_paths": (
        PATHS,
        coverage.host_paths,
        path_is_allowed,
        list(
            itertools.product(
                ["/", "/srv", "/srv/", "/srv/data/x", "/srvx/a", "/var", "/srv/../var"], [False, True]
            )
        ),
    ),
    "tolerations": (
        [each for each in TOLERATIONS if is_toleration(each)],
        coverage.tolerations,
        taint_is_tolerated,
        [
            {"key": key, "value": value, "effect": effect}
            for key in ("a", "b", "c")
            for value in ("", "x", "z")
            for effect in ("NoSchedule", "NoExecute", "PreferNoSchedule")
        ],
    ),
    "registries": (
        REGISTRIES,
        images.covers,
        image_is_allowed,
        [
            *("nginx", "nginx:1", "team/tool", "docker.io/library/nginx/extra", "example.com/tool"),
            *(
                "example.com/team/tool:v1",
                "example.com/team-b/tool",
                "example.com:5000/a",
                "localhost/a",
                "0" * 64,
            ),
        ],
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_an_entry_that_is_covered_gives_pods_no_more_than_the_one_that_covers_it(kind: str) -> None:
    entries, covers, allows, values = CASES[kind]
    found = [(a, w) for a, w in itertools.product(entries, entries) if covers(a, w)]
    assert len(entries) <= len(found) < len(entries) ** 2
    for allowed, wanted in found:
        for value in values:
            assert allows(allowed, value) or not allows(wanted, value), (allowed, wanted, value)


@pytest.mark.parametrize("kind", CASES)
def test_an_entry_covers_itself(kind: str) -> None:
    entries, covers, _, _ = CASES[kind]
    assert [each for each in entries if not covers(each, each)] == []


@pytest.mark.parametrize(
    ("covers", "allowed", "wanted"),
    [
        (coverage.hosts, "*.example.com", "example.com"),
        (coverage.hosts, "*.example.com", "b.a.example.com"),
        (coverage.hosts, "*.example.com", "*.a.example.com"),
        (coverage.hosts, "*.example.com", "*"),
        (coverage.hosts, "*.com", "*.example.com"),
        (coverage.hosts, "a.example.com", "*.example.com"),
        (coverage.hosts, "*.", "a"),
        (coverage.classes, "fast", "*"),
        (coverage.classes, "*", ""),
        (coverage.classes, "fast", "fast2"),
        (coverage.keys, "example.com", "example.com/a"),
        (coverage.keys, "example.com/a", "example.com/"),
        (coverage.keys, "example.com/a", "example.com/ab"),
        (coverage.keys, "example.com/", "sub.example.com/a"),
        (coverage.profiles, "Localhost/a", "Localhost/*"),
        (coverage.profiles, "Localhost/*", "Localhost/../a"),
        (coverage.profiles, "Localhost/*", "Unconfined"),
        (coverage.profiles, "RuntimeDefault", "Unconfined"),
        (coverage.host_paths, {"path": "/srv"}, {"path": "/srv/../etc"}),
        (coverage.host_paths, {"path": "/srv"}, {"path": "/srvx"}),
        (coverage.host_paths, {"path": "/srv/data"}, {"path": "/srv"}),
        (coverage.host_paths, {"path": "/srv"}, {"path": "srv"}),
        (coverage.host_paths, {"path": "/srv"}, {"path": "/srv", "readOnly": False}),
        (coverage.host_paths, {"path": "/srv"}, {}),
        (coverage.host_paths, {}, {"path": "/srv"}),
        (coverage.tolerations, {"key": "a", "operator": "Exists", "effect": "NoSchedule"}, {"key": "a"}),
        (coverage.tolerations, {"key": "a"}, {"operator": "Exists"}),
        (coverage.tolerations, {"key": "a", "value": "x"}, {"key": "a", "operator": "Exists"}),
        (coverage.tolerations, {}, {"key": "a"}),
        (
            coverage.data_sources,
            {"kind": "VolumeSnapshot", "name": "a"},
            {"kind": "VolumeSnapshot", "name": "b"},
        ),
        (
            coverage.data_sources,
            {"kind": "A", "name": "a"},
            {"kind": "A", "name": "a", "apiGroup": "snapshot.storage.k8s.io"},
        ),
    ],
)
def test_a_wider_entry_is_not_covered(covers: Callable[..., bool], allowed: Any, wanted: Any) -> None:
    assert not covers(allowed, wanted)


@pytest.mark.parametrize(
    ("covers", "allowed", "wanted"),
    [
        (coverage.classes, "*", "fast"),
        (coverage.classes, "*", "*"),
        (coverage.profiles, "Localhost/*", "Localhost/a/b"),
        (coverage.profiles, "Localhost/*", "Localhost/*"),
        (coverage.host_paths, {"path": "/"}, {"path": "/srv", "readOnly": True}),
        (coverage.host_paths, {"path": "/srv", "readOnly": False}, {"path": "/srv/a/"}),
        (coverage.tolerations, {"operator": "Exists"}, {"operator": "Exists", "effect": "NoExecute"}),
        (coverage.tolerations, {"key": "a"}, {"key": "a", "operator": "Equal", "value": ""}),
        (coverage.data_sources, {"kind": "A", "name": "a"}, {"kind": "A", "name": "a", "apiGroup": ""}),
    ],
)
def test_a_narrower_entry_is_covered(covers: Callable[..., bool], allowed: Any, wanted: Any) -> None:
    assert covers(allowed, wanted)


@pytest.mark.parametrize(
    ("allowed", "wanted", "expected"),
    [
        (["10.0.0.0/8"], "10.1.0.0/16", True),
        (["10.0.0.0/8"], "10.0.0.0/8", True),
        (["10.0.0.0/8"], "0.0.0.0/0", False),
        (["10.0.0.0/8"], "10.0.0.0/7", False),
        # Two that meet are one range.
        (["10.0.0.0/9", "10.128.0.0/9"], "10.0.0.0/8", True),
        (["10.0.0.0/9", "10.64.0.0/10"], "10.0.0.0/8", False),
        (["0.0.0.0/1", "128.0.0.0/1"], "0.0.0.0/0", True),
        (["10.0.0.0/8", "10.2.0.0/16"], "10.2.3.4/32", True),
        (["0.0.0.0/0"], "::/0", False),
        (["::/0"], "0.0.0.0/0", False),
        (["::/0"], "2001:db8::/32", True),
        (["2001:db8::/33", "2001:db8:8000::/33"], "2001:db8::/32", True),
        (["2001:db8::/33"], "2001:db8::/32", False),
        ([], "10.0.0.0/8", False),
    ],
)
def test_address_ranges_are_covered_by_all_of_the_list(
    allowed: list[str], wanted: str, expected: bool
) -> None:
    assert coverage.ranges(map(networks.parse, allowed), ipaddress.ip_network(wanted)) is expected
