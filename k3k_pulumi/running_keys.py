"""The keys of a cluster that is on the host already, as its Secrets have them.

Where each value lies is not written down a second time here: the manifests are made once with the names of
the values in their place, and where a Secret of theirs has a name, that of the cluster has the value.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

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


def read(secret: KeySecret, data: Mapping[str, str] | None) -> dict[str, str]:
    """The values a Secret holds, by the fields of `Pki`, those that it has.

    Args:
        secret: The Secret.
        data: Its data as the host has it, in base64.
    """
    found = {}
    for key, field in secret.fields.items():
        if key in (data or {}):
            text = base64.b64decode((data or {})[key]).decode()
            # A line of kube-apiserver's --token-auth-file begins with the token.
            found[field] = text.split(",")[0] if field == "probe_token" else text
    return found


def missing(
    spec: VirtualClusterSpec, secret: KeySecret, metadata: object, found: Mapping[str, str]
) -> list[str]:
    """Why a Secret is not one that a running cluster can be taken over by, a line for each reason.

    Args:
        spec: The cluster.
        secret: The Secret.
        metadata: Of the Secret as the host has it.
        found: What `read` found in it.
    """
    labels = (metadata.get("labels") if isinstance(metadata, Mapping) else None) or {}
    if labels.get(CLUSTER) != spec.name:
        return [f"pki.from_cluster: {secret} has no label {CLUSTER}={spec.name}: it is not this cluster's"]
    return [
        f"pki.from_cluster: {secret} has no {key!r}: restore it, give the keys themselves, or leave pki out"
        for key, field in secret.fields.items()
        if field not in found
    ]
