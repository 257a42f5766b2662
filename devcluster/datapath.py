"""Whether the pods of a node have their network: its rules for Services, and its NetworkPolicies.

A node is Ready without. But what makes these rules asks an API server that is not there yet in growing
intervals, of up to a minute: until then a pod that needs a Service ends with an error, and others wait.
"""

from __future__ import annotations

import http.client
import json

from devcluster import shell
from devcluster.config import Family
from devcluster.node import Node
from devcluster.worker import POLICY_SOCKET

HEALTH_PORT = 10256  # of kube-proxy, by default
TIMEOUT = 10.0  # seconds for one answer


def is_ready(node: Node) -> bool:
    """Whether kube-proxy has written its rules, and who enforces NetworkPolicies takes pods."""
    families = node.instance.families
    address = str(families[0].node(node.index))
    return _has_rules(address, families) and (not node.instance.network_policies or _enforces(node))


def _has_rules(address: str, families: list[Family]) -> bool:
    connection = http.client.HTTPConnection(address, HEALTH_PORT, timeout=TIMEOUT)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        # It names the families whose rules were written once, and is healthy before the first.
        written = json.loads(answer.read()).get("status", {})
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
    return answer.status == http.HTTPStatus.OK and written.keys() >= {
        f"IPv{family.nodes.version}" for family in families
    }


def _enforces(node: Node) -> bool:
    """Its socket is there when it has seen all pods and policies."""
    return shell.works(*node.command("test", "-S", POLICY_SOCKET))
