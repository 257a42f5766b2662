"""The Secrets of the control plane: one for each key pair, so that a container mounts what it needs alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from k3k_pulumi.cluster_pki import ClusterPki, KeyPair
from k3k_pulumi.manifests import objects
from k3k_pulumi.manifests.objects import Manifest, make

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

Value = TypeVar("Value")


def secrets(spec: VirtualClusterSpec, pki: ClusterPki[Value]) -> list[Manifest]:
    """All of them. Each value stands alone in its key, unchanged: it may be opaque, or be read back later."""
    names = spec.names
    made = [
        _pair(spec, names.server_ca, pki.server_ca),
        _pair(spec, names.client_ca, pki.client_ca),
        _pair(spec, names.request_header_ca, pki.request_header_ca),
        _pair(spec, names.kubelet_serving_ca, pki.kubelet_serving_ca),
        _secret(spec, names.service_account_key, {"service.key": pki.service_account_key}),
    ]
    if spec.distribution == "k3s":
        probe = {"authorization": pki.probe_token.authorization, "tokens.csv": pki.probe_token.token_file}
        made.append(_secret(spec, names.probe_token, probe))
        made.append(_secret(spec, names.join_token, {"token": pki.join_token}))
    else:
        made.append(_pair(spec, names.etcd_ca, pki.etcd_ca))
    return made


def _pair(spec: VirtualClusterSpec, name: str, pair: KeyPair[Value]) -> Manifest:
    return _secret(spec, name, {"tls.crt": pair.certificate, "tls.key": pair.key})


def _secret(spec: VirtualClusterSpec, name: str, data: dict[str, Value]) -> Manifest:
    # Opaque, not kubernetes.io/tls: that type cannot be made before its data is.
    return make(
        spec,
        "Secret",
        name,
        objects.SERVER,
        spec.control_plane_namespace,
        type="Opaque",
        stringData=data,
    )
