"""Objects of a stack whose state was lost, freed of the field managers of that state."""

from __future__ import annotations

import http.server
import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from k3k_pulumi import takeover
from k3k_pulumi.host import DirectError, Ref
from k3k_pulumi.host import Host as Client
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


def secret(text: Any) -> dict[str, str]:
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
    assert freed.errors == []
    assert freed.lines == [f"ConfigMap {namespace}/it: {OLD}"]
    assert managers(client, namespace) == {NEW}
    # What the program drops goes, and what it changes is no conflict.
    after = client.apply(config_map(namespace, {"a": "3"}), field_manager=NEW)
    assert after["data"] == {"a": "3"}
    assert "labels" not in after["metadata"]
    assert takeover.free(state(kubeconfig, resource(body, NEW))).lines == []


def test_what_is_secret_of_an_object_is_read(host: Host, client: Client, namespace: str) -> None:
    body = config_map(namespace, {"a": "1"})
    for manager in (OLD, NEW):
        client.apply(body, field_manager=manager)
    hidden = {**body, "metadata": secret(body["metadata"])}
    assert takeover.free(state(str(host.admin), resource(hidden, NEW))).lines == [
        f"ConfigMap {namespace}/it: {OLD}"
    ]


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
    assert takeover.free(known) == ([], [])


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


def run(text: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    return takeover.main(list(arguments))


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
    ],
)
def test_what_is_no_state(
    given: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(given, monkeypatch) == 1
    assert capsys.readouterr().err == f"{said}\n"


DEAD = "urn:pulumi:it::project::pulumi:providers:kubernetes::dead"


def kubeconfig(port: int) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
            "users": [{"name": "c", "user": {}}],
            "current-context": "c",
        }
    )


class Junk(http.server.BaseHTTPRequestHandler):
    """Answers everything with what no API server says."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'["##vso[task.setvariable]"]')

    def log_message(self, *_: Any) -> None:
        pass


def _has_little_time(monkeypatch: pytest.MonkeyPatch, urn: str) -> None:
    """Waits 3 s for a provider's cluster. The others keep their time: a busy machine may need it."""
    free_cluster = takeover._free_cluster

    def limited(cluster: Any, *args: Any, **options: Any) -> None:
        with monkeypatch.context() as patch:
            if cluster.urn == urn:
                patch.setattr(takeover, "ANSWER_SECONDS", 3)
            free_cluster(cluster, *args, **options)

    monkeypatch.setattr(takeover, "_free_cluster", limited)


@pytest.fixture(params=["gone", "junk", "silent", "no kubeconfig"])
def dead(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """A kubeconfig of a cluster that is of no use, and what is said of it."""
    if request.param == "gone":
        yield kubeconfig(1), "does not answer"
    elif request.param == "no kubeconfig":
        yield "apiVersion: v1\nkind: {", "has no usable kubeconfig"
    elif request.param == "junk":
        server = http.server.HTTPServer(("127.0.0.1", 0), Junk)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield kubeconfig(server.server_port), "no answer of an API server"
        server.shutdown()
        server.server_close()
    else:
        _has_little_time(monkeypatch, DEAD)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield kubeconfig(listener.getsockname()[1]), "does not answer within 3 s"


def test_a_cluster_that_is_of_no_use_stops_no_other(
    host: Host,
    client: Client,
    namespace: str,
    dead: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    body = config_map(namespace, {"a": "1"})
    for manager in (OLD, NEW):
        client.apply(body, field_manager=manager)
    text, said = dead
    inside = resource(config_map("inside"), NEW_DATA, provider=f"{DEAD}::id")
    given = state(str(host.admin), inside, resource(body, NEW))
    given["deployment"]["resources"].append({"urn": DEAD, "inputs": {"kubeconfig": text}, "type": "p"})
    assert run(json.dumps(given), monkeypatch) == 1
    shown = capsys.readouterr()
    assert shown.out == f"ConfigMap {namespace}/it: {OLD}\n"
    error, count = shown.err.splitlines()
    assert error.startswith(f"provider {DEAD}: ")
    assert said in error
    assert "##" not in error
    assert count == "1 object freed of old field managers"
    assert managers(client, namespace) == {NEW}


def test_two_providers_of_one_cluster_leave_each_other_alone(
    host: Host, client: Client, namespace: str
) -> None:
    shell, data = config_map(namespace, team="x"), config_map(namespace, {"a": "1"})
    for first, second in ((OLD, OLD_DATA), (NEW, NEW_DATA)):
        client.apply(shell, field_manager=first)
        client.apply(data, field_manager=second)
    given = state(str(host.admin), resource(shell, NEW), resource(data, NEW_DATA, provider=f"{DEAD}::id"))
    same = {"urn": DEAD, "inputs": {"kubeconfig": host.admin.read_text()}, "type": "p"}
    given["deployment"]["resources"].append(same)
    assert takeover.free(given).errors == []
    assert managers(client, namespace) == {NEW, NEW_DATA}
    assert client.apply(data | {"data": {"b": "1"}}, field_manager=NEW_DATA)["data"] == {"b": "1"}


def test_a_dry_run_only_says_what_would_be_freed(
    host: Host,
    client: Client,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    body = config_map(namespace, {"a": "1"})
    for manager in (OLD, NEW):
        client.apply(body, field_manager=manager)
    text = json.dumps(state(str(host.admin), resource(body, NEW)))
    assert run(text, monkeypatch, "--dry-run") == 0
    shown = capsys.readouterr()
    assert shown.out == f"ConfigMap {namespace}/it: {OLD}\n"
    assert shown.err == "1 object would be freed of old field managers\n"
    assert managers(client, namespace) == {OLD, NEW}


def test_an_object_that_others_write_all_the_time(client: Client, namespace: str) -> None:
    client.apply(config_map(namespace, {"a": "1"}), field_manager=OLD)
    asked: list[int] = []

    def change(_: list[dict[str, Any]]) -> list[dict[str, Any]]:
        asked.append(len(asked))
        client.apply(config_map(namespace, {"a": f"1{len(asked)}"}), field_manager=OLD)
        return []

    with pytest.raises(DirectError, match="others wrote it 10 times meanwhile"):
        client.rewrite_managed_fields(Ref("v1", "ConfigMap", namespace, "it"), change)
    assert len(asked) == 10


ODD: list[Any] = [
    None,
    {},
    {"manager": OLD},
    {"manager": OLD, "operation": "Apply"},
    {"manager": OLD, "operation": "Apply", "fieldsV1": {"f:data": [1]}},
    {"manager": 5, "operation": "Apply", "fieldsV1": {}},
]


def test_entries_of_another_form_are_left_alone() -> None:
    class Odd:
        """A host that says what no API server would."""

        def rewrite_managed_fields(self, _: Ref, change: Any, **_options: bool) -> tuple[Any, Any]:
            return ODD, change(ODD)

    host: Any = Odd()
    assert takeover._free(host, Ref("v1", "ConfigMap", "n", "it"), {NEW}, {NEW}, dry_run=False) == []
