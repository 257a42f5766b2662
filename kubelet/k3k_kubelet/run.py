"""The kubelet's process: everything put together, started in order, and ended."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Mapping
from typing import Any

from k3k_kubelet import __version__, certificates, metrics
from k3k_kubelet.api import (
    CONFIG_MAPS,
    SERVICES,
    ApiClient,
    ApiError,
    HostEndpoint,
    Resource,
    VirtualEndpoint,
)
from k3k_kubelet.api.client import Object
from k3k_kubelet.config import Config, ConfigError
from k3k_kubelet.extension import HOST_NAME
from k3k_kubelet.health import Health
from k3k_kubelet.host_ranges import HostRanges, advice
from k3k_kubelet.kubelet import Addresses, Clients, Kubelet
from k3k_kubelet.leader import Leader, RestartError
from k3k_kubelet.policy import PolicyError
from k3k_kubelet.server import trim
from k3k_kubelet.sync.policy import PolicyFile

log = logging.getLogger(__name__)

CLIENT_NAME = "k3k-pulumi-kubelet"
"""Common name towards the virtual API server."""
RETRY_SECONDS = 1.0
CONNECTIONS = 160
"""At most: as many as work may go on, the slow work of `cache.queue` included. 10 are enough mostly."""
HEARTBEAT_CONNECTIONS = 8
ADMISSION_CONNECTIONS = 32


class Process:
    """One `k3k-kubelet run`.

    Args:
        config: Its configuration.
        environment: KUBERNETES_SERVICE_HOST and _PORT (host), K3K_API_HOST and _PORT (virtual),
            K3K_DNS_HOST, POD_NAME; HOST_IP and POD_IPS, comma-separated, where `host_ranges` are given.

    Raises:
        ConfigError: A variable is missing, or has an address of the host outside of `host_ranges`; or the
            policy cannot be used.
    """

    def __init__(self, config: Config, environment: Mapping[str, str] | None = None) -> None:
        self._config = config
        self._environment = os.environ if environment is None else environment
        self._identity = self._environment.get("POD_NAME") or socket.gethostname()
        self._host_endpoint = HostEndpoint(
            self._variable("KUBERNETES_SERVICE_HOST"),
            self._port("KUBERNETES_SERVICE_PORT"),
            config.paths.credentials,
        )
        self._virtual_endpoint = VirtualEndpoint(
            self._variable("K3K_API_HOST"),
            self._port("K3K_API_PORT"),
            config.paths.tls / "server-ca.crt",
            (config.paths.run / "client.crt", config.paths.run / "client.key"),
        )
        self._dns_host = self._variable("K3K_DNS_HOST")
        self._check_host()
        self._policy = self._read_policy()
        self._kubelet: Kubelet | None = None
        self._clients: list[ApiClient] = []

    async def run(self) -> int:
        """Runs until SIGTERM or SIGINT; returns the exit code, 1 for a process to be started anew."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        work = asyncio.create_task(self._work())
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait((work, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not work.done():
            log.info("stopping")
            work.cancel()
        try:
            await work
        except asyncio.CancelledError:
            return 0
        except BaseExceptionGroup as group:
            lost, others = group.split(RestartError)
            if lost is None or others is not None:
                raise
            log.error("stopping", extra={"why": str(_first(lost))})
        return 1

    async def _work(self) -> None:
        metrics.BUILD.info({"version": __version__, "kubernetes": self._config.version})
        health = Health(self._config.health_port, self._missing)
        await health.start()
        leader = self._leader()
        try:
            async with asyncio.TaskGroup() as group:
                address = await self._address()
                spec = self._certificates(address)
                await asyncio.to_thread(certificates.apply, spec)
                group.create_task(certificates.maintain(spec, self._renewed))
                self._kubelet = await self._assemble(address, leader)
                await self._kubelet.run()
        finally:
            await leader.release()
            await health.close()
            for client in self._clients:
                await client.close()

    def _leader(self) -> Leader:
        client = self._client(self._host_endpoint, connections=1, timeout=5.0)
        namespace, name = self._config.control_plane_namespace, self._config.lease
        return Leader(client, namespace, name, self._identity)

    async def _assemble(self, address: str, leader: Leader) -> Kubelet:
        config, virtual = self._config, self._virtual_endpoint
        clients = Clients(
            host=self._client(self._host_endpoint, connections=CONNECTIONS, before_write=leader.check),
            virtual=self._client(virtual, connections=CONNECTIONS, before_write=leader.check),
            heartbeats=self._client(
                virtual,
                connections=HEARTBEAT_CONNECTIONS,
                timeout=8.0,
                before_write=leader.check_unless_cut_off,
            ),
            reviews=self._client(virtual, connections=8),
            admissions=self._client(self._host_endpoint, connections=ADMISSION_CONNECTIONS, timeout=7.0),
        )
        anchor = await _read(clients.host, CONFIG_MAPS, config.namespace, config.anchor)
        return Kubelet(config, clients, anchor, Addresses(address, self._dns_host), leader, self._policy)

    async def _address(self) -> str:
        """ClusterIP of the kubelet's Service."""
        config, host = self._config, self._client(self._host_endpoint, connections=1)
        service = await _read(host, SERVICES, config.control_plane_namespace, config.service)
        return str(service["spec"]["clusterIP"])

    def _certificates(self, address: str) -> certificates.Spec:
        """Our client certificate for the virtual API server, and that of the ports where it calls us."""
        tls, run = self._config.paths.tls, self._config.paths.run
        return certificates.Spec(
            certificates=(
                certificates.Certificate(
                    name="client of the virtual API server",
                    out=str(run / "client"),
                    ca_certificate=str(tls / "client-ca.crt"),
                    ca_key=str(tls / "client-ca.key"),
                    common_name=CLIENT_NAME,
                    organizations=("system:masters",),
                    usages=("client",),
                ),
                certificates.Certificate(
                    name="kubelet API",
                    out=str(run / "serving"),
                    ca_certificate=str(tls / "kubelet-serving-ca.crt"),
                    ca_key=str(tls / "kubelet-serving-ca.key"),
                    common_name=f"system:node:{CLIENT_NAME}",
                    organizations=("system:nodes",),
                    dns_names=(HOST_NAME,),
                    ip_addresses=_unique(address, self._config.extension_address),
                    usages=("server",),
                ),
            )
        )

    def _renewed(self, names: tuple[str, ...]) -> None:
        """The API client looks at its files by itself; the server is told."""
        log.info("certificates renewed", extra={"certificates": list(names)})
        if self._kubelet is not None:
            self._kubelet.reload_tls()

    def _check_host(self) -> None:
        """Refuses a host that has addresses where nobody said it has any, as far as they show here."""
        addresses = [self._host_endpoint.host, self._virtual_endpoint.host, self._dns_host]
        for name in ("HOST_IP", "POD_IPS"):
            addresses += self._environment.get(name, "").split(",")
        if unlisted := HostRanges(self._config.host_ranges).unlisted(addresses):
            raise ConfigError(advice(unlisted))

    def _read_policy(self) -> PolicyFile:
        """The policy: without a good one no pod of a tenant's may be begun."""
        try:
            return PolicyFile(self._config.paths.policy / "policy.json")
        except PolicyError as error:
            raise ConfigError(str(error)) from None

    def _missing(self) -> str:
        """What keeps the kubelet from being ready."""
        return "waiting for the host" if self._kubelet is None else self._kubelet.missing()

    def _client(self, endpoint: HostEndpoint | VirtualEndpoint, **options: Any) -> ApiClient:
        client = ApiClient(endpoint, **options)
        self._clients.append(client)
        return client

    def _variable(self, name: str) -> str:
        value = self._environment.get(name)
        if not value:
            raise ConfigError(f"environment variable {name} is not set")
        return value

    def _port(self, name: str) -> int:
        value = self._variable(name)
        if not value.isdigit() or not 0 < int(value) < 65536:
            raise ConfigError(f"environment variable {name} is {value!r}, must be a port")
        return int(value)


def _unique(*addresses: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, addresses)))


def _first(error: BaseException) -> BaseException:
    """The first error of a group in a group."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def _read(client: ApiClient, resource: Resource, namespace: str, name: str) -> Object:
    """An object that has to be there; it and the API server are waited for."""
    while True:
        try:
            return await client.get(resource, namespace, name)
        except ApiError as error:
            fields = {"object": f"{resource.plural} {namespace}/{name}", "error": str(error)}
            log.warning("cannot go on without it", extra=fields)
            await asyncio.sleep(RETRY_SECONDS)


def main(config: Config) -> int:
    """Runs the process on uvloop; returns the exit code."""
    import uvloop

    trim.limit()
    gc.set_threshold(50_000, 20, 20)  # the caches hold bytes: many young objects, few that form cycles
    process = Process(config)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(process.run())
