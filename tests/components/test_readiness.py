"""What a deployment waits for, how long, and what it remembers of that."""

from __future__ import annotations

from typing import Any

import pytest

from tests.components.conftest import SOURCES, Deploy
from tests.components.host import Deployment

AWAITED = {"Deployment", "Job", "StatefulSet"}


def limits(done: Deployment) -> dict[str, set[tuple[str, str]]]:
    """Kinds of the host objects that have a limit -> how long they may take to be made and to be changed."""
    found: dict[str, set[tuple[str, str]]] = {}
    for each in done.all("kubernetes:"):
        timeouts = each.request.customTimeouts
        if timeouts.create or timeouts.update:
            found.setdefault(each.plain["kind"], set()).add((timeouts.create, timeouts.update))
    return found


@pytest.mark.parametrize(
    ("args", "limit"), [({}, "10m"), ({"ready_timeout": "1m30s"}, "1m30s")], ids=["default", "given"]
)
def test_what_takes_its_time_has_the_limit(deploy: Deploy, args: dict[str, Any], limit: str) -> None:
    done = deploy(require_network_policy=True, **args)
    assert limits(done) == {kind: {(limit, limit)} for kind in AWAITED}
    balanced = deploy(expose={**SOURCES, "type": "LoadBalancer"}, **args)
    assert limits(balanced)["Service"] == {(limit, limit)}


def test_what_has_a_limit_is_explained_when_that_is_over(deploy: Deploy) -> None:
    for each in deploy(require_network_policy=True).all("kubernetes:"):
        hooks = each.request.hooks.on_error
        assert len(hooks) == (each.plain["kind"] in AWAITED), f"{each.type} {each.name}"
        # Made when something is told already; or, of the probe, when the cluster is ready.
        assert ("network-probe" in "".join(hooks)) is (each.plain["kind"] == "Job")


@pytest.mark.parametrize(
    ("expose", "asked"), [(SOURCES, True), ({}, False)], ids=["others may connect", "only its own pods may"]
)
def test_a_deployment_waits_for_an_api_that_it_can_reach(
    deploy: Deploy, expose: dict[str, Any], asked: bool, preview: bool
) -> None:
    done = deploy(expose=expose)
    assert not done.one("StatefulSet", "c-server").request.hooks.after_create
    proofs = [each for each in done.registrations if each.name == "c-ready"]
    assert len(proofs) == asked
    for proof in proofs:
        # Before: without an answer there is no proof in the state, and the next deployment asks again.
        assert len(proof.request.hooks.before_create) == len(proof.request.hooks.before_update) == 1
        assert not proof.request.hooks.after_create
        assert (proof.plain["input"]["endpoint"] == "https://10.96.7.7:443") is not preview
        dependencies = {dependency.split("::")[-1] for dependency in proof.request.dependencies}
        assert {"c-server", "c-api"} <= dependencies
