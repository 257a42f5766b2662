"""The keys of a cluster that is on the host already, read back from its Secrets.

Where each value lies is not written down a second time here: the manifests are made once with markers in
place of the values, and where a Secret of theirs has a marker, that of the cluster has the value.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from k3k_pulumi import pki
from k3k_pulumi.direct.host import DirectError, Host, Ref
from k3k_pulumi.manifests import virtual_cluster
from k3k_pulumi.model import VirtualClusterSpec
from k3k_pulumi.pki import ClusterPki, KeyPair, ProbeToken


def _pair(name: str) -> KeyPair[str]:
    return KeyPair(f"marker: {name}.certificate", f"marker: {name}.key")


_MARKERS = ClusterPki(
    server_ca=_pair("server_ca"),
    client_ca=_pair("client_ca"),
    request_header_ca=_pair("request_header_ca"),
    kubelet_serving_ca=_pair("kubelet_serving_ca"),
    etcd_ca=_pair("etcd_ca"),
    service_account_key="marker: service_account_key",
    probe_token=ProbeToken("marker: probe_token.authorization", "marker: probe_token.token_file"),
    join_token="marker: join_token",  # noqa: S106 - stands where the token stands
    admin=_pair("admin"),
)


def keys(host: Host, spec: VirtualClusterSpec) -> ClusterPki[str]:
    """The cluster's keys as far as its Secrets have them, new ones in place of the rest.

    The administrator's certificate is in no Secret: each call signs another one.

    Raises:
        DirectError: a certificate without its key, or the other way round.
    """
    kept = _read(host, spec)
    client_ca = _authority(spec, "client_ca", kept)
    tokens = kept.get(_MARKERS.probe_token.token_file)
    return ClusterPki(
        server_ca=_authority(spec, "server_ca", kept),
        client_ca=client_ca,
        request_header_ca=_authority(spec, "request_header_ca", kept),
        kubelet_serving_ca=_authority(spec, "kubelet_serving_ca", kept),
        etcd_ca=_authority(spec, "etcd_ca", kept),
        service_account_key=kept.get(_MARKERS.service_account_key) or pki.create_key(),
        probe_token=pki.probe_token(tokens.split(",")[0] if tokens else pki.create_token()),
        join_token=kept.get(_MARKERS.join_token) or pki.create_token(),
        admin=pki.create_admin(client_ca),
    )


def _authority(spec: VirtualClusterSpec, name: str, kept: Mapping[str, str]) -> KeyPair[str]:
    markers: KeyPair[str] = getattr(_MARKERS, name)
    certificate, key = kept.get(markers.certificate), kept.get(markers.key)
    if certificate and key:
        return KeyPair(certificate, key)
    if certificate or key:
        raise DirectError(
            f"virtual cluster {spec.namespace}/{spec.name}: the Secrets in namespace "
            f"{spec.control_plane_namespace} hold only {'the certificate' if certificate else 'the key'} of "
            f"{name}; restore the other half, or delete the cluster"
        )
    return pki.create_authority(f"{spec.name}-{name.replace('_', '-')}")


def _read(host: Host, spec: VirtualClusterSpec) -> dict[str, str]:
    """What the cluster's Secrets have in the places of the markers, by marker."""
    kept: dict[str, str] = {}
    for manifest in virtual_cluster(spec, _MARKERS):
        if manifest["kind"] != "Secret":
            continue
        secret = host.get(Ref.of(manifest))
        data = (secret or {}).get("data") or {}
        for key, marker in manifest.get("stringData", {}).items():
            if key in data:
                kept[marker] = base64.b64decode(data[key]).decode()
    return kept
