"""One process of the kubelet between the two clusters, perhaps behind proxies of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

from kubelet.tests.clusters import CONTROL_PLANE, DNS_HOST, Clusters
from kubelet.tests.controlplane import ADDRESS, free_ports
from kubelet.tests.proxy import Proxy
from kubelet.tests.waiting import eventually


class Replica:
    """A kubelet's process and its two proxies. All of them share the Lease, the token and the keys.

    Args:
        clusters: The two clusters; their own kubelet must not run.
        name: Name of its pod.
        address: Where it listens: each replica has the same ports.
    """

    def __init__(self, clusters: Clusters, name: str, address: str = ADDRESS) -> None:
        self.clusters = clusters
        self.name = name
        self.address = address
        self.host = Proxy(clusters.host, as_admin=False)
        self.virtual = Proxy(clusters.virtual, as_admin=True)
        self.process: subprocess.Popen[bytes] | None = None
        self._health_port = free_ports(1)[0]
        self._folder = clusters.directory / name
        (self._folder / "run").mkdir(parents=True, exist_ok=True)
        config = json.loads((clusters.directory / "config.json").read_text())
        config |= {"healthPort": self._health_port, "address": address, "extensionAddress": address}
        config["paths"]["run"] = str(self._folder / "run")
        (self._folder / "config.json").write_text(json.dumps(config))

    def start(self) -> None:
        """Starts the process."""
        environment = {
            **os.environ,
            "KUBERNETES_SERVICE_HOST": ADDRESS,
            "KUBERNETES_SERVICE_PORT": str(self.host.port),
            "K3K_API_HOST": ADDRESS,
            "K3K_API_PORT": str(self.virtual.port),
            "K3K_DNS_HOST": DNS_HOST,
            "POD_NAME": self.name,
        }
        file = str(self._folder / "config.json")
        command = [sys.executable, "-m", "k3k_kubelet", "run", "--config", file]
        with (self._folder / "kubelet.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stderr=log)

    def signal(self, number: int) -> None:
        """Sends the process a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def close(self) -> None:
        """Ends everything of it; the Lease is let go of, if it can be."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.host.close()
        self.virtual.close()

    def ready(self) -> bool:
        """Whether its readiness probe passes."""
        try:
            url = f"http://{ADDRESS}:{self._health_port}/readyz"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.HTTPError, OSError):
            return False

    def leads(self) -> bool:
        """Whether the Lease says that it acts."""
        where = ("-n", CONTROL_PLANE, "get", "lease", "vc-kubelet", "--ignore-not-found")
        return self.clusters.host.kubectl(*where, "-o", "jsonpath={.spec.holderIdentity}") == self.name

    def log(self) -> str:
        """What it has logged."""
        return (self._folder / "kubelet.log").read_text()


@contextlib.contextmanager
def in_place(clusters: Clusters) -> Iterator[Replica]:
    """A replica in place of the clusters' own kubelet, ready."""
    clusters.stop_kubelet()
    found = Replica(clusters, "kubelet-0")
    try:
        found.start()
        asyncio.run(eventually(found.ready))
        yield found
    finally:
        found.close()
        clusters.start_kubelet()
