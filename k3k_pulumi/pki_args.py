"""The argument `pki` of a VirtualCluster; the rules of `k3k_pulumi.args` hold here too."""

# ruff: noqa: UP045

from typing import Optional, TypedDict

import pulumi


class PkiArgs(TypedDict, total=False):
    """Keys in place of new ones, as PEM text; all take Outputs. Each certificate comes with its key."""

    from_cluster: Optional[bool]
    (
        "Whether all keys are read from the Secrets of the cluster as it runs on the host: to take it over "
        "when the stack's state was lost. False by default."
    )
    server_ca_certificate: Optional[pulumi.Input[str]]
    """Self-signed certificate of the CA that signs the API server's serving certificate. Takes an Output."""
    server_ca_key: Optional[pulumi.Input[str]]
    """EC private key of that CA. Secret. Takes an Output."""
    client_ca_certificate: Optional[pulumi.Input[str]]
    """Self-signed certificate of the CA that signs client certificates of the API. Takes an Output."""
    client_ca_key: Optional[pulumi.Input[str]]
    """EC private key of that CA. Secret. Takes an Output."""
    request_header_ca_certificate: Optional[pulumi.Input[str]]
    """Self-signed certificate of the CA that signs the aggregator's client certificate. Takes an Output."""
    request_header_ca_key: Optional[pulumi.Input[str]]
    """EC private key of that CA. Secret. Takes an Output."""
    kubelet_serving_ca_certificate: Optional[pulumi.Input[str]]
    """Self-signed certificate of the CA that signs kubelets' serving certificates. Takes an Output."""
    kubelet_serving_ca_key: Optional[pulumi.Input[str]]
    """EC private key of that CA. Secret. Takes an Output."""
    etcd_ca_certificate: Optional[pulumi.Input[str]]
    """Self-signed certificate of etcd's CA; only with the distribution `kubernetes`. Takes an Output."""
    etcd_ca_key: Optional[pulumi.Input[str]]
    """EC private key of that CA. Secret. Takes an Output."""
    service_account_key: Optional[pulumi.Input[str]]
    """EC private key in the SEC1 form that signs service-account tokens. Secret. Takes an Output."""
    join_token: Optional[pulumi.Input[str]]
    """Token that encrypts K3s' keys in its datastore; only with `k3s`. Secret. Takes an Output."""
    probe_token: Optional[pulumi.Input[str]]
    (
        "Token of the readiness probes; only with `k3s`. Not secret: it stands in clear in the StatefulSet, "
        "and its user has no rights. So no token that is used elsewhere. Takes an Output."
    )
