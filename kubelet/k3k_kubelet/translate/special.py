"""Services inside that lead to pods of the control plane: they have addresses, but no copies of their own."""

from k3k_kubelet.translate.objects import Cluster

KUBERNETES = ("default", "kubernetes")
DNS = ("kube-system", "kube-dns")
SPECIAL = frozenset({KUBERNETES, DNS})
"""By namespace and name."""


def special_address(cluster: Cluster, namespace: str, name: str) -> str | None:
    """The ClusterIP that the Service has to have; None for any other one, or where there is no such pod."""
    found = {KUBERNETES: cluster.api_host, DNS: cluster.dns_host}.get((namespace, name))
    return found or None
