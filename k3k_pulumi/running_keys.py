"""The keys of a cluster that is on the host already, as its Secrets have them.

Where each value lies is not written down a second time here: the manifests are made once with the names of
the values in their place, and where a Secret of theirs has a name, that of the cluster has the value.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from k3k_pulumi.cluster_pki import ClusterPki, KeyPair, ProbeToken
from k3k_pulumi.manifests import virtual_cluster
from k3k_pulumi.manifests.objects import CLUSTER
from k3k_pulumi.model import VirtualClusterSpec
from k3k_pulumi.model.pki import KEYS


def _pair(name: str) -> KeyPair[str]:
    return KeyPair(f"{name}_certificate", f"{name}_key")


_NAMES = ClusterPki(
    server_ca=_pair("server_ca"),
    client_ca=_pair("client_ca"),
    request_header_ca=_pair("request_header_ca"),
    kubelet_serving_ca=_pair("kubelet_serving_ca"),
    etcd_ca=_pair("etcd_ca"),
    service_account_key="service_account_key",
    probe_token=ProbeToken("authorization", "probe_token"),
    join_token="join_token",  # noqa: S106 - stands where the token stands
    admin=_pair("admin"),
)


@dataclass(frozen=True)
class KeySecret:
    """A Secret of the control plane that holds keys.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        fields: Keys of its data, and which field of `Pki` is in each.
    """

    namespace: str
    name: str
    fields: Mapping[str, str]

    def __str__(self) -> str:
        return f"Secret {self.name} in namespace {self.namespace}"


def key_secrets(spec: VirtualClusterSpec) -> list[KeySecret]:
    """The Secrets that hold a cluster's keys."""
    found = []
    for manifest in virtual_cluster(spec, _NAMES):
        if manifest["kind"] == "Secret":
            metadata = manifest["metadata"]
            fields = {key: name for key, name in manifest["stringData"].items() if name in KEYS}
            found.append(KeySecret(metadata["namespace"], metadata["name"], fields))
    return found


class Reading(NamedTuple):
    """What a Secret holds.

    Attributes:
        values: By the fields of `Pki`, those that it has.
        problems: What must not be, a line for each: nobody knows whose keys these are, or what they are.
        missing: What it does not have, a line for each.
    """

    values: dict[str, str]
    problems: list[str]
    missing: list[str]


def read(spec: VirtualClusterSpec, secret: KeySecret, metadata: object, data: object) -> Reading:
    """The values a Secret holds; none where it is not this cluster's.

    Args:
        spec: The cluster.
        secret: The Secret.
        metadata: Of the Secret as the host has it.
        data: Its data as the host has it, in base64.
    """
    labels = (metadata.get("labels") if isinstance(metadata, Mapping) else None) or {}
    if labels.get(CLUSTER) != spec.name:
        return Reading({}, [f"{secret} has no label {CLUSTER}={spec.name}: it is not this cluster's"], [])
    found = Reading({}, [], [])
    for key, field in secret.fields.items():
        if not isinstance(data, Mapping) or key not in data:
            found.missing.append(
                f"{secret} has no {key!r}: restore it, give the keys themselves, or leave pki out"
            )
            continue
        try:
            text = base64.b64decode(data[key], validate=True).decode()
        except ValueError:
            found.problems.append(f"{secret}: {key!r} is no text in base64: restore it")
            continue
        # A line of kube-apiserver's --token-auth-file begins with the token.
        found.values[field] = text.split(",")[0] if field == "probe_token" else text
    return found


def located(lines: Iterable[str], secrets: Iterable[KeySecret], given: Container[str] = ()) -> list[str]:
    """Problems of keys, with the Secrets that these are in.

    Args:
        lines: As `model.pem.problems` has them.
        secrets: The Secrets.
        given: Fields of keys that are in no Secret.
    """
    places = {
        field: f"{secret}, {key!r}"
        for secret in secrets
        for key, field in secret.fields.items()
        if field not in given
    }
    return [re.sub(r"pki\.(\w+)", lambda found: places.get(found[1], found[0]), line) for line in lines]
