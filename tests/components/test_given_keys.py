"""The argument `pki` of a VirtualCluster: keys of its user's own, and those of a running cluster."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any

import pulumi
import pytest

from k3k_pulumi import VirtualCluster
from k3k_pulumi.inputs import VirtualClusterInputError
from k3k_pulumi.manifests import virtual_cluster
from k3k_pulumi.model import VirtualClusterSpec
from k3k_pulumi.pki import ClusterPki, create_authority, create_pki, create_token
from tests.components.conftest import Deploy
from tests.components.host import COMPONENT, UNKNOWN, Deployment, leaves, run
from tests.run import ROOT

K3S = {"distribution": "k3s", "version": "v1.34.4-k3s1"}
BOTH = pytest.mark.parametrize("args", [{}, K3S], ids=["kubernetes", "k3s"])
SERVER_CA = create_authority("own")
OWN = {"server_ca_certificate": SERVER_CA.certificate, "server_ca_key": SERVER_CA.key}


def patched(done: Deployment) -> dict[str, dict[str, str]]:
    """Data of the Secrets that a program fills."""
    patches = done.all("kubernetes:core/v1:SecretPatch")
    return {
        each.name: {
            key: text if text == UNKNOWN else base64.b64decode(text).decode()
            for key, text in each.plain["data"].items()
        }
        for each in patches
    }


def options(done: Deployment, stash: str) -> tuple[list[str], list[str]]:
    request = done.one("Stash", stash).request
    return list(request.ignoreChanges), list(request.replaceOnChanges)


def running(keys: ClusterPki[str], args: dict[str, Any], cluster: str = "c") -> dict[str, Any]:
    """What the host has of a cluster's Secrets, by their ids."""
    spec = VirtualClusterSpec.parse("c", {"namespace": "team", "distribution": "kubernetes", **args})
    found = {}
    for manifest in virtual_cluster(spec, keys):
        if manifest["kind"] == "Secret":
            metadata = {**manifest["metadata"], "labels": {"k3k-pulumi.io/cluster": cluster}}
            data = {
                key: base64.b64encode(text.encode()).decode() for key, text in manifest["stringData"].items()
            }
            found[f"{metadata['namespace']}/{metadata['name']}"] = {"metadata": metadata, "data": data}
    return found


def test_given_keys_are_used_and_kept_and_the_rest_is_made(deploy: Deploy) -> None:
    stashes: dict[str, Any] = {}
    first = deploy(stashes, pki=OWN)
    assert patched(first)["c-server-ca"] == {"tls.crt": SERVER_CA.certificate, "tls.key": SERVER_CA.key}
    assert first.outputs["ca_certificate_pem"].value == SERVER_CA.certificate
    # A Stash that is updated keeps its first value: another one has to be in its place.
    assert options(first, "c-server-ca") == ([], ["input"])
    assert options(first, "c-client-ca") == (["input"], [])
    again = deploy(stashes)
    assert patched(again) == patched(first)
    assert options(again, "c-server-ca") == (["input"], [])


@pytest.mark.parametrize("token", ["join_token", "probe_token"])
def test_tokens(deploy: Deploy, token: str) -> None:
    given = create_token()
    found = patched(deploy(**K3S, pki={token: given}))
    expected = {"join_token": given, "probe_token": f"{given},k3k-pulumi-probe,k3k-pulumi-probe\n"}[token]
    assert expected in found[f"c-{token.replace('_', '-')}"].values()


def test_no_given_key_is_ever_in_clear(deploy: Deploy) -> None:
    done = deploy(pki=OWN)
    shown = done.one(COMPONENT, "c").inputs["pki"]
    assert shown["server_ca_certificate"] == SERVER_CA.certificate
    for each in done.registrations:
        for path, value, secret in leaves(each.inputs):
            assert "PRIVATE KEY" not in str(value) or secret, f"{each.type} {each.name}{path}"


def with_outputs(pki: dict[str, Any]) -> Any:
    def program() -> dict[str, pulumi.Output[Any]]:
        outputs = {field: pulumi.Output.secret(value) for field, value in pki.items()}
        cluster = VirtualCluster("c", {"namespace": "team", "distribution": "kubernetes", "pki": outputs})
        return {"ca": cluster.ca_certificate_pem}

    return program


def test_keys_may_be_outputs(preview: bool) -> None:
    done = run(with_outputs(OWN), preview=preview)
    assert patched(done)["c-server-ca"] == {"tls.crt": SERVER_CA.certificate, "tls.key": SERVER_CA.key}
    assert done.outputs["ca"].value == SERVER_CA.certificate
    assert not done.outputs["ca"].secret


def test_plain_keys_that_are_bad_register_nothing(deploy: Deploy) -> None:
    other = create_authority("other")
    with pytest.raises(VirtualClusterInputError) as error:
        deploy(pki={**OWN, "server_ca_key": other.key})
    assert str(error.value) == (
        "VirtualCluster 'c': pki.server_ca_key: does not belong to pki.server_ca_certificate"
    )


ENDS = """
import json, sys
import pulumi
from k3k_pulumi import VirtualCluster
from tests.components.host import run

given = json.load(sys.stdin)

def program():
    later = {field: pulumi.Output.from_input(value) for field, value in given["later"].items()}
    pki = {**given["plain"], **later}
    VirtualCluster("c", {"namespace": "team", "distribution": "kubernetes", "pki": pki})
    return {}

run(program, preview=given["preview"], secrets=given["secrets"])
"""


def ended(
    *,
    preview: bool,
    plain: dict[str, Any] | None = None,
    later: dict[str, Any] | None = None,
    secrets: dict[str, Any] | None = None,
) -> str:
    """What a program says that has to end: one of its own process, which leaves nothing under way here."""
    given = {"plain": plain or {}, "later": later or {}, "secrets": secrets or {}, "preview": preview}
    done = subprocess.run(
        [sys.executable, "-c", ENDS],
        input=json.dumps(given),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 32, done.stderr  # the engine's sign that the user has been told
    return done.stderr


@pytest.mark.parametrize(
    ("bad", "line"),
    [
        ({"server_ca_key": create_authority("x").key}, "server_ca_key: does not belong to pki."),
        ({"server_ca_key": None}, "server_ca_key: must be a string"),
    ],
    ids=["foreign", "nothing"],
)
def test_outputs_that_are_bad_end_the_program_when_they_are_known(
    bad: dict[str, Any], line: str, preview: bool
) -> None:
    said = ended(preview=preview, later=OWN | bad)
    assert said.startswith(f"VirtualCluster 'c': pki.{line}")
    assert "BEGIN" not in said


def test_pki_itself_is_no_output(deploy: Deploy) -> None:
    with pytest.raises(
        VirtualClusterInputError, match="pki: must be a map; its single values may be Outputs"
    ):
        deploy(pki=pulumi.Output.from_input(OWN))


@BOTH
def test_all_keys_are_read_from_the_running_cluster(deploy: Deploy, args: dict[str, Any]) -> None:
    keys = create_pki("running")
    stashes: dict[str, Any] = {}
    secrets = running(keys, args)
    done = deploy(stashes, secrets=secrets, **args, pki={"from_cluster": True})
    assert sorted(done.read) == sorted(secrets)
    wanted = {
        id_.partition("/")[2]: {key: base64.b64decode(text).decode() for key, text in each["data"].items()}
        for id_, each in secrets.items()
    }
    assert patched(done) == wanted
    assert done.outputs["ca_certificate_pem"].value == keys.server_ca.certificate
    if args:
        probe = done.one("StatefulSet", "c-server").plain["spec"]["template"]["spec"]["containers"][0]
        assert keys.probe_token.authorization in json.dumps(probe["readinessProbe"])
    # Without the argument, and with nothing to read.
    assert patched(deploy(stashes, **args)) == wanted


def test_reads_are_secret(deploy: Deploy) -> None:
    done = deploy(secrets=running(create_pki("running"), {}), pki={"from_cluster": True})
    assert {tuple(each.additionalSecretOutputs) for each in done.reads} == {("data", "metadata")}
    assert {each.name for each in done.reads} >= {"c-running-server-ca", "c-running-service-account-key"}


def test_secrets_that_are_not_the_clusters_are_refused(preview: bool) -> None:
    secrets = running(create_pki("running"), {})
    del secrets["team-c-control-plane/c-client-ca"]["data"]["tls.key"]
    secrets["team-c-control-plane/c-etcd-ca"]["metadata"]["labels"] = {"k3k-pulumi.io/cluster": "d"}
    said = ended(preview=preview, plain={"from_cluster": True}, secrets=secrets)
    assert said.startswith(
        "VirtualCluster 'c': 2 problems in the arguments:\n"
        "  - pki.from_cluster: Secret c-client-ca in namespace team-c-control-plane has no 'tls.key': "
        "restore it, give the keys themselves, or leave pki out\n"
        "  - pki.from_cluster: Secret c-etcd-ca in namespace team-c-control-plane has no label "
        "k3k-pulumi.io/cluster=c: it is not this cluster's"
    )


def test_what_secrets_hold_is_looked_at(preview: bool) -> None:
    secrets = running(create_pki("running"), {})
    planes = "team-c-control-plane"
    other = base64.b64encode(create_authority("other").key.encode()).decode()
    secrets[f"{planes}/c-client-ca"]["data"]["tls.key"] = other
    said = ended(preview=preview, plain={"from_cluster": True}, secrets=secrets)
    secret = f"Secret c-client-ca in namespace {planes}"
    assert said.startswith(
        f"VirtualCluster 'c': pki.from_cluster: {secret}, 'tls.key': does not belong to {secret}, 'tls.crt'"
    )
    assert "BEGIN" not in said
    secrets[f"{planes}/c-client-ca"]["data"]["tls.key"] = "//4="
    said = ended(preview=preview, plain={"from_cluster": True}, secrets=secrets)
    assert said.startswith(
        f"VirtualCluster 'c': pki.from_cluster: {secret}: 'tls.key' is no text in base64: restore it"
    )
