"""Objects of a stack whose state was lost, freed of the field managers of that state."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from k3k_pulumi import takeover
from k3k_pulumi.host import Host as Client
from k3k_pulumi.host import Ref
from tests.e2e.conftest import unique
from tests.unit.direct.conftest import Host

OLD, NEW = "pulumi-kubernetes-00000001", "pulumi-kubernetes-00000002"
OLD_DATA, NEW_DATA = "pulumi-kubernetes-00000003", "pulumi-kubernetes-00000004"
PROVIDER = "urn:pulumi:it::project::pulumi:providers:kubernetes::p"
SECRET = "4dabf18193072939515e22adb298388d"


@pytest.fixture
def client(host: Host) -> Any:
    made = Client.connect(host.admin)
    yield made
    made.close()


@pytest.fixture
def namespace(host: Host) -> str:
    return host.namespace(unique("t"))


def config_map(namespace: str, data: dict[str, str] | None = None, **labels: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "it", "namespace": namespace}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    # What is empty the API server does not keep, and each manager of it is in conflict with the other.
    if labels:
        metadata["labels"] = labels
    return {**body, "data": data} if data else body


def resource(body: dict[str, Any], manager: str, **more: Any) -> dict[str, Any]:
    """A resource as a state has it."""
    return {
        "urn": f"urn:pulumi:it::project::kubernetes:core/v1:ConfigMap::{manager}",
        "type": "kubernetes:core/v1:ConfigMap",
        "provider": f"{PROVIDER}::id",
        "outputs": {**body, "__fieldManager": manager},
        **more,
    }


def state(kubeconfig: Any, *resources: dict[str, Any]) -> dict[str, Any]:
    provider = {
        "urn": PROVIDER,
        "type": "pulumi:providers:kubernetes",
        "inputs": {"kubeconfig": kubeconfig},
    }
    return {"version": 3, "deployment": {"resources": [provider, *resources]}}


def secret(text: str) -> dict[str, str]:
    return {SECRET: "1b47061264138c4ac30d75fd1eb44270", "plaintext": json.dumps(text)}


def managers(client: Client, namespace: str) -> set[str]:
    found = client.get(Ref("v1", "ConfigMap", namespace, "it"))
    assert found
    return {entry["manager"] for entry in found["metadata"]["managedFields"]}


@pytest.mark.parametrize("form", ["path", "text", "secret"])
def test_what_both_own_is_the_new_ones_alone(host: Host, client: Client, namespace: str, form: str) -> None:
    body = config_map(namespace, {"a": "1", "b": "2"}, team="x")
    for manager in (OLD, NEW):
        client.apply(body, field_manager=manager)
    text = host.admin.read_text()
    kubeconfig = {"path": str(host.admin), "text": text, "secret": secret(text)}[form]
    freed = takeover.free(state(kubeconfig, resource(body, NEW)))
    assert freed == [f"ConfigMap {namespace}/it: {OLD}"]
    assert managers(client, namespace) == {NEW}
    # What the program drops goes, and what it changes is no conflict.
    after = client.apply(config_map(namespace, {"a": "3"}), field_manager=NEW)
    assert after["data"] == {"a": "3"}
    assert "labels" not in after["metadata"]
    assert takeover.free(state(kubeconfig, resource(body, NEW))) == []


def test_an_object_and_its_patch_are_looked_at_together(host: Host, client: Client, namespace: str) -> None:
    shell, data = config_map(namespace, team="x"), config_map(namespace, {"a": "1"})
    for first, second in ((OLD, OLD_DATA), (NEW, NEW_DATA)):
        client.apply(shell, field_manager=first)
        client.apply(data, field_manager=second)
    takeover.free(state(str(host.admin), resource(shell, NEW), resource(data, NEW_DATA)))
    assert managers(client, namespace) == {NEW, NEW_DATA}
    after = client.apply(data | {"data": {"b": "1"}}, field_manager=NEW_DATA)
    assert after["data"] == {"b": "1"}
    assert after["metadata"]["labels"] == {"team": "x"}


def test_what_only_others_own_stays_theirs(host: Host, client: Client, namespace: str) -> None:
    for manager in (OLD, "somebody", NEW):
        dropped = {"gone": "1"} if manager == OLD else {}
        client.apply(config_map(namespace, {"a": "1", **dropped}), field_manager=manager)
    takeover.free(state(str(host.admin), resource(config_map(namespace), NEW)))
    assert managers(client, namespace) == {OLD, "somebody", NEW}
    after = client.apply(config_map(namespace), field_manager=NEW)
    assert after["data"] == {"a": "1", "gone": "1"}  # somebody has a, and nobody took what was gone from OLD
    with pytest.raises(Exception, match="somebody"):
        client.apply(config_map(namespace, {"a": "2"}), field_manager=NEW)
    assert client.apply(config_map(namespace, {"a": "1"}), field_manager=OLD)["data"] == {"a": "1"}


def test_reads_objects_that_are_gone_and_other_resources_are_left_out(host: Host, namespace: str) -> None:
    body = config_map(namespace)
    other = {"urn": "u", "type": "pulumi:index:Stash", "outputs": {"output": 1}}
    known = state(str(host.admin), resource(body, NEW), resource(body, NEW, external=True), other)
    assert takeover.free(known) == []


def test_the_command_takes_a_state_from_its_input(host: Host, client: Client, namespace: str) -> None:
    body = config_map(namespace, {"a": "1"})
    for manager in (OLD, NEW):
        client.apply(body, field_manager=manager)
    done = subprocess.run(
        [sys.executable, "-m", "k3k_pulumi.takeover"],
        input=json.dumps(state(None, resource(body, NEW))),
        env={**os.environ, "KUBECONFIG": str(host.admin)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "1 object freed of old field managers\n")
    assert done.stdout == f"ConfigMap {namespace}/it: {OLD}\n"


def run(text: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    return takeover.main([])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "no state of a stack: give it what `pulumi stack export --show-secrets` prints"),
        ("{}", "no state of a stack: give it what `pulumi stack export --show-secrets` prints"),
        (
            json.dumps(
                state(
                    {SECRET: "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "x"},
                    resource(config_map("n"), NEW),
                )
            ),
            "its secrets are encrypted: pulumi stack export --show-secrets",
        ),
        (
            json.dumps(state("apiVersion: v1\nkind: {", resource(config_map("n"), NEW))),
            f"provider {PROVIDER}: has no usable kubeconfig",
        ),
    ],
)
def test_what_is_no_state(
    given: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(given, monkeypatch) == 1
    assert capsys.readouterr().err == f"{said}\n"


def test_a_cluster_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "users": [{"name": "c", "user": {}}],
        "current-context": "c",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(kubeconfig))
    assert run(json.dumps(state(str(path), resource(config_map("n"), NEW))), monkeypatch) == 1
    assert "127.0.0.1:1 does not answer" in capsys.readouterr().err
