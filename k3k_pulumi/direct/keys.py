"""The keys of a cluster: those that are given, else those of its Secrets on the host, else new ones."""

from __future__ import annotations

from collections.abc import Mapping

from k3k_pulumi import pki
from k3k_pulumi.cluster_pki import ClusterPki, KeyPair
from k3k_pulumi.host import DirectError, Host, Object, Ref
from k3k_pulumi.model import VirtualClusterSpec
from k3k_pulumi.model.pki import AUTHORITIES
from k3k_pulumi.running_keys import KeySecret, key_secrets, missing, read


def keys(host: Host, spec: VirtualClusterSpec) -> ClusterPki[str]:
    """The cluster's keys: as given, else as far as its Secrets have them, new ones in place of the rest.

    The administrator's certificate is in no Secret: each call signs another one.

    Raises:
        DirectError: a certificate without its key, or the other way round; or keys that are to be those of
            the running cluster are not all there.
    """
    kept = _read(host, spec)
    given = {field: value for field, value in spec.pki.given.items() if isinstance(value, str)}
    kept |= given
    authorities = {name: _authority(spec, name, kept) for name in AUTHORITIES}
    return ClusterPki(
        **authorities,
        service_account_key=kept.get("service_account_key") or pki.create_key(),
        probe_token=pki.probe_token(kept.get("probe_token") or pki.create_token()),
        join_token=kept.get("join_token") or pki.create_token(),
        admin=pki.create_admin(authorities["client_ca"]),
    )


def _authority(spec: VirtualClusterSpec, name: str, kept: Mapping[str, str]) -> KeyPair[str]:
    certificate, key = kept.get(f"{name}_certificate"), kept.get(f"{name}_key")
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
    """What the cluster's Secrets have, by the fields of `Pki`."""
    kept: dict[str, str] = {}
    problems: list[str] = []
    for secret in key_secrets(spec):
        object_ = _get(host, secret)
        found = read(secret, object_.get("data"))
        kept |= found
        problems += missing(spec, secret, object_.get("metadata"), found)
    if problems and spec.pki.from_cluster:
        raise DirectError(
            "\n".join(f"virtual cluster {spec.namespace}/{spec.name}: {each}" for each in problems)
        )
    return kept


def _get(host: Host, secret: KeySecret) -> Object:
    return host.get(Ref("v1", "Secret", secret.namespace, secret.name)) or {}
