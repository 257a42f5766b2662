"""Pytest plugin: a virtual cluster for a test, a module or a session.

Installed with the package, nothing to import. The fixture `virtual_cluster` is a `k3k_pulumi.direct.Cluster`
in a host namespace of its own; both are gone when the fixture's scope ends, also after a failed test or
Ctrl-C. Options name the host cluster and the distribution; whatever else a `VirtualCluster` takes is said by
overriding the fixture `virtual_cluster_args`. See docs/testing.md.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # the Kubernetes client costs half a second: only who asks for the fixture pays it
    from k3k_pulumi.direct import Cluster

SCOPES = ("function", "class", "module", "package", "session")
# Settings that exist as command line option and as ini value; the command line wins.
SETTINGS = {
    "kubeconfig": "kubeconfig of the host cluster (default: KUBECONFIG, then ~/.kube/config)",
    "context": "context of that kubeconfig (default: its current one)",
    "distribution": "distribution of the virtual clusters: k3s or kubernetes (default: the library's)",
    "version": "Kubernetes version of the virtual clusters (default: the distribution's)",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Registers `--k3k-...` options and `k3k_...` ini values."""
    group = parser.getgroup("k3k_pulumi", "virtual clusters")
    for name, text in SETTINGS.items():
        group.addoption(f"--k3k-{name}", dest=f"k3k_{name}", metavar=name.upper(), help=text)
        parser.addini(f"k3k_{name}", text, default=None)
    parser.addini(
        "k3k_scope", f"scope of the fixture virtual_cluster: {', '.join(SCOPES)}", default="function"
    )
    parser.addini("k3k_images", "image overrides, one NAME=REFERENCE per line", "linelist", [])
    parser.addini("k3k_timeout", "seconds to wait for a virtual cluster to be ready", default="180")


def _setting(config: pytest.Config, name: str) -> str | None:
    value = config.getoption(f"k3k_{name}") or config.getini(f"k3k_{name}")
    return str(value) if value else None


def _scope(fixture_name: str, config: pytest.Config) -> Any:
    scope = config.getini("k3k_scope")
    if scope not in SCOPES:
        raise pytest.UsageError(
            f"k3k_scope: {scope!r} is no scope of {fixture_name}; allowed: {', '.join(SCOPES)}"
        )
    return scope


def _images(config: pytest.Config) -> dict[str, str]:
    images = {}
    for line in config.getini("k3k_images"):
        name, separator, reference = (part.strip() for part in line.partition("="))
        if not (name and separator and reference):
            raise pytest.UsageError(f"k3k_images: {line!r} is not of the form NAME=REFERENCE")
        images[name] = reference
    return images


def _timeout(config: pytest.Config) -> float:
    value = config.getini("k3k_timeout")
    try:
        return float(value)
    except ValueError:
        raise pytest.UsageError(f"k3k_timeout: {value!r} is not a number of seconds") from None


@pytest.fixture(scope=_scope)
def virtual_cluster_args() -> dict[str, Any]:
    """More arguments of the cluster, by their names in `VirtualClusterArgs`; override it in a conftest.py."""
    return {}


@pytest.fixture(scope=_scope)
def virtual_cluster(
    request: pytest.FixtureRequest, virtual_cluster_args: dict[str, Any]
) -> Iterator[Cluster]:
    """A virtual cluster in a fresh host namespace, ready to use; deleted when the scope ends."""
    from k3k_pulumi.direct import ephemeral_cluster

    config = request.config
    args: dict[str, Any] = {"namespace": f"k3k-test-{secrets.token_hex(4)}"}
    args.update({name: value for name in ("distribution", "version") if (value := _setting(config, name))})
    if images := _images(config):
        args["images"] = images
    args.update(virtual_cluster_args)
    with ephemeral_cluster(
        name=args.pop("name", "test"),
        kubeconfig=_setting(config, "kubeconfig"),
        context=_setting(config, "context"),
        timeout=_timeout(config),
        **args,
    ) as cluster:
        yield cluster
