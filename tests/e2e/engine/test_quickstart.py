"""The quickstart on the real engine: up, an empty second preview, destroy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pulumi import automation

from tests import run
from tests.e2e.conftest import Host, unique
from tests.e2e.support.clusters import both, variant
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.polling import eventually

pytestmark = [pytest.mark.needs_engine, pytest.mark.xdist_group("quickstart")]


@pytest.fixture
def stack(kubelet_image: str, distribution: str, variables: dict[str, str]) -> Iterator[automation.Stack]:
    """A stack of the root Pulumi.yaml with a backend and a home of its own; destroyed in the end."""
    del kubelet_image  # just has to be on the host
    options = automation.LocalWorkspaceOptions(env_vars=variables)
    stack = automation.create_stack(unique("e2e"), work_dir=str(run.ROOT), opts=options)
    settings = {"namespace": unique("q"), **variant(distribution)}
    try:
        for key, value in settings.items():
            stack.set_config(key, automation.ConfigValue(value))
        yield stack
    finally:
        stack.destroy()
        stack.workspace.remove_stack(stack.name)  # with its configuration beside Pulumi.yaml


@both
def test_up_an_empty_second_preview_and_destroy(stack: automation.Stack, host: Host, tmp_path: Path) -> None:
    first = stack.up()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(first.outputs["kubeconfig"].value)
    assert first.outputs["kubeconfig"].secret
    assert not first.outputs["endpoint"].secret
    inside = Kubectl(kubeconfig)
    assert inside.get("deployment", "hello")["status"]["readyReplicas"] == 2
    namespace = first.outputs["namespace"].value
    on_host = host.kubectl.within(namespace).get("pods")
    assert [pod["status"]["phase"] for pod in on_host] == ["Running", "Running"]

    (state,) = (tmp_path / "backend").rglob(f"stacks/*/{stack.name}.json")
    assert "ciphertext" in state.read_text()
    assert "PRIVATE KEY" not in state.read_text()

    second = stack.preview(expect_no_changes=True)
    assert set(second.change_summary) == {"same"}

    stack.destroy()
    # The host's provisioner removes a volume some time after its claim has gone.
    listed = "namespaces,persistentvolumes,clusterroles,clusterrolebindings"
    eventually(lambda: namespace not in json.dumps(host.kubectl.get(listed)))
