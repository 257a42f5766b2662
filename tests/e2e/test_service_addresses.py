"""Services inside have the addresses and ports of the host's: made by the host, before they exist inside."""

from __future__ import annotations

import json

from tests.e2e.support.clusters import View, both


@both
def test_an_api_server_takes_every_address_of_the_hosts_services(cluster: View) -> None:
    """Whatever its version: the range it is given is a block around one of the host's addresses."""
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "twin"},
        "spec": {"ports": [{"port": 80}]},
    }
    host = cluster.workloads
    made = json.loads(host("create", "-f", "-", "-o", "json", stdin=json.dumps(manifest).encode()))
    try:
        manifest["spec"]["clusterIP"] = made["spec"]["clusterIP"]
        cluster.inside("create", "-f", "-", "--dry-run=server", stdin=json.dumps(manifest).encode())
    finally:
        host("delete", "service", "twin", "--wait=false")
