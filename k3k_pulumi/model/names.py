"""Names of the host objects of a virtual cluster, all computable before anything exists."""

from __future__ import annotations

import re
from dataclasses import dataclass

PREFIX = "k3k-pulumi.io/"
"""Prefix of our labels and annotations: a tenant cannot set a key that begins with it."""

LABEL_LENGTH = 63
"""Longest DNS label, label value and Service name (RFC 1123, RFC 1035)."""

LABEL_RULE = (
    "must be lower-case letters, digits and '-', begin and end with a letter or digit, and have at most "
    f"{LABEL_LENGTH} characters"
)
"""What `is_label` asks for."""

HOST_ZONE = "svc.host.internal"
"""Domain of the host's Services inside. Not below the cluster's own: CoreDNS would not follow an ExternalName
Service from there. `internal` is kept free for such use (ICANN, 2024)."""

_REVISION_LENGTH = len("-") + 10
"""What a StatefulSet's controller appends to its name in the pods' label controller-revision-hash."""

CLUSTER_LENGTH = LABEL_LENGTH - len("-server") - _REVISION_LENGTH
"""Longest name of a cluster: its StatefulSet `<name>-server` has the longest derived label value."""

_CLUSTER = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def is_cluster_name(value: str) -> bool:
    """Whether `value` can name a cluster. It begins Service names, which begin with a letter (RFC 1035)."""
    return len(value) <= CLUSTER_LENGTH and _CLUSTER.fullmatch(value) is not None


def is_label(value: str) -> bool:
    """Whether `value` is a DNS label (RFC 1123): the rule for namespaces."""
    return len(value) <= LABEL_LENGTH and _LABEL.fullmatch(value) is not None


def default_control_plane_namespace(namespace: str, cluster: str) -> str:
    """The namespace of the control plane where none is given; may be too long to be one."""
    return f"{namespace}-{cluster}-control-plane"


@dataclass(frozen=True)
class Names:
    """Names of one cluster's host objects.

    Objects of different kinds share a name where they belong together: ServiceAccount, Role, Service,
    Deployment and ConfigMap of the virtual kubelet are all `<cluster>-kubelet`.
    """

    cluster: str
    namespace: str
    control_plane_namespace: str

    @property
    def anchor(self) -> str:
        """ConfigMap in the workload namespace that owns every host object the kubelet makes."""
        return f"{self.cluster}-anchor"

    @property
    def workload(self) -> str:
        """ServiceAccount of the host pods, and the NetworkPolicy by which the API server reaches them."""
        return f"{self.cluster}-workload"

    @property
    def workload_ingress(self) -> str:
        """NetworkPolicy that says who else reaches the host pods, unless the tenant's own say it."""
        return f"{self.cluster}-workload-ingress"

    @property
    def workload_egress(self) -> str:
        """NetworkPolicy that says what the host pods may reach, unless the tenant's own say it."""
        return f"{self.cluster}-workload-egress"

    @property
    def default_deny(self) -> str:
        """NetworkPolicy in each of the two namespaces that denies what no other one allows."""
        return f"{self.cluster}-default-deny"

    @property
    def api(self) -> str:
        """Service of the API server: port 443."""
        return f"{self.cluster}-api"

    @property
    def server(self) -> str:
        """StatefulSet of the servers, their headless Service, ServiceAccount, ConfigMap, NetworkPolicy."""
        return f"{self.cluster}-server"

    @property
    def kubelet(self) -> str:
        """Deployment of the kubelet, its Service, ServiceAccount, Roles, ConfigMap, Lease, NetworkPolicy."""
        return f"{self.cluster}-kubelet"

    @property
    def cluster_reader(self) -> str:
        """ClusterRole and ClusterRoleBinding by which the kubelet reads the host's Nodes and classes.

        No namespace keeps those of several clusters apart: the control plane's is part of the name. A colon,
        which no namespace has, keeps it apart from everybody else's.
        """
        return f"{PREFIX.rstrip('/')}:{self.control_plane_namespace}:{self.cluster}"

    @property
    def admission_policy(self) -> str:
        """ValidatingAdmissionPolicy and its binding, for the pods that the kubelet writes.

        As with `cluster_reader`; names of this kind have no colon, and those of clusters no dot.
        """
        return f"{self.cluster}.{self.control_plane_namespace}.{PREFIX.rstrip('/')}"

    @property
    def dns(self) -> str:
        """Deployment of CoreDNS, its Service, ServiceAccount, ConfigMap, NetworkPolicy."""
        return f"{self.cluster}-dns"

    @property
    def network_probe(self) -> str:
        """Job in the workload namespace that proves NetworkPolicies, its Service and NetworkPolicy."""
        return f"{self.cluster}-network-probe"

    @property
    def network_probe_host_variable(self) -> str:
        """Environment variable of that Job's pods that holds the ClusterIP of its Service."""
        return _host_variable(self.network_probe)

    @property
    def policy(self) -> str:
        """ConfigMap of the policy document that the kubelet reads live."""
        return f"{self.cluster}-policy"

    @property
    def server_ca(self) -> str:
        """Secret (tls.crt, tls.key) of the CA that signs the API server's serving certificate."""
        return f"{self.cluster}-server-ca"

    @property
    def client_ca(self) -> str:
        """Secret (tls.crt, tls.key) of the CA that signs client certificates of the API."""
        return f"{self.cluster}-client-ca"

    @property
    def request_header_ca(self) -> str:
        """Secret (tls.crt, tls.key) of the CA that signs the aggregator's client certificate."""
        return f"{self.cluster}-request-header-ca"

    @property
    def kubelet_serving_ca(self) -> str:
        """Secret (tls.crt, tls.key) of the CA that signs the kubelets' serving certificates."""
        return f"{self.cluster}-kubelet-serving-ca"

    @property
    def etcd_ca(self) -> str:
        """Secret (tls.crt, tls.key) of etcd's CA; distribution `kubernetes` only."""
        return f"{self.cluster}-etcd-ca"

    @property
    def service_account_key(self) -> str:
        """Secret (service.key) of the key that signs service-account tokens."""
        return f"{self.cluster}-service-account-key"

    @property
    def probe_token(self) -> str:
        """Secret (tokens.csv) of the user that readiness probes are; distribution `k3s` only."""
        return f"{self.cluster}-probe-token"

    @property
    def join_token(self) -> str:
        """Secret (token) that joins servers and agents; distribution `k3s` only."""
        return f"{self.cluster}-join-token"

    def claim(self, server: int) -> str:
        """PersistentVolumeClaim of one server, counted from 0; the name its StatefulSet looks for."""
        return f"data-{self.server}-{server}"

    @property
    def api_host_variable(self) -> str:
        """Environment variable of the control plane's pods that holds the API Service's ClusterIP."""
        return _host_variable(self.api)

    @property
    def dns_host_variable(self) -> str:
        """Environment variable of the control plane's pods that holds the ClusterIP of CoreDNS' Service."""
        return _host_variable(self.dns)

    @property
    def service_account_issuer(self) -> str:
        """Issuer of the cluster's service-account tokens: another one for each cluster of a host."""
        return f"https://{self.api}.{self.control_plane_namespace}.svc"


def _host_variable(service: str) -> str:
    return f"{service.upper().replace('-', '_')}_SERVICE_HOST"
