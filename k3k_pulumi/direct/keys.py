"""The keys of a cluster: those that are given, else those of its Secrets on the host, else new ones."""

from __future__ import annotations

from collections.abc import Mapping

from k3k_pulumi import pki
from k3k_pulumi.cluster_pki import ClusterPki, KeyPair
from k3k_pulumi.host import DirectError, Host, Ref
from k3k_pulumi.model import VirtualClusterSpec
from k3k_pulumi.model.pem import problems
from k3k_pulumi.model.pki import AUTHORITIES
from k3k_pulumi.running_keys import key_secrets, located, read

_OTHER_HALF = {
    f"{name}_{half}": f"{name}_{other}"
    for name in AUTHORITIES
    for half, other in (("certificate", "key"), ("key", "certificate"))
}
"""The field that a field of a CA belongs to."""


def keys(host: Host, spec: VirtualClusterSpec) -> ClusterPki[str]:
    """The cluster's keys: as given, else as far as its Secrets have them, new ones in place of the rest.

    The administrator's certificate is in no Secret: each call signs another one.

    Raises:
        DirectError: a certificate without its key, or the other way round; or keys that are to be those of
            the running cluster are not all there; or a Secret that is not this cluster's, or whose content
            is no key of it: whoever planted it would know the cluster's keys.
    """
    given = {field: value for field, value in spec.pki.given.items() if isinstance(value, str)}
    kept = _read(host, spec, given) | given
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


def _read(host: Host, spec: VirtualClusterSpec, given: Mapping[str, str]) -> dict[str, str]:
    """What the cluster's Secrets have in place of what is not given, by the fields of `Pki`."""
    secrets = key_secrets(spec)
    kept: dict[str, str] = {}
    found: list[str] = []
    for secret in secrets:
        object_ = host.get(Ref("v1", "Secret", secret.namespace, secret.name))
        if object_ is None:
            missing = [f"{secret} does not exist: restore it, give the keys themselves, or leave pki out"]
        else:
            held = read(spec, secret, object_.get("metadata"), object_.get("data"))
            kept |= {field: value for field, value in held.values.items() if field not in given}
            missing = held.missing
            found += [
                f"{line}; or, where you did not make it, delete it: its keys may be known to others"
                for line in held.problems
            ]
        if spec.pki.from_cluster:
            found += [f"pki.from_cluster: {line}" for line in missing]
    # A half without the other one is told of by who looks for the pair.
    whole = {field: value for field, value in kept.items() if _OTHER_HALF.get(field, field) in kept}
    found += located(problems({**whole, **given}), secrets, given)
    if found:
        raise DirectError(
            "\n".join(f"virtual cluster {spec.namespace}/{spec.name}: {each}" for each in found)
        )
    return kept
