"""A real control plane as processes: etcd, kube-apiserver, perhaps kube-controller-manager; no nodes."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
from k3k_kubelet import certificates
from k3k_kubelet.api import ApiClient, ApiError, VirtualEndpoint

from devcluster import golang
from devcluster.progress import Progress
from tests.e2e.support.polling import eventually

START_SECONDS = 180.0
"""What a busy machine needs; it is the time of a failure."""
ADDRESS = "127.0.0.1"
_TIMEOUT, _TRIES = 504, 10
_LATE = ("failed calling webhook", "context deadline exceeded")
"""What an API server says of a webhook that did not answer in time; it made nothing then."""
_REQUEST_SECONDS = 120.0
"""For a request of a test, with its wait for a connection, of the pool or a new one: some tests make hundreds
at once."""
_held: list[socket.socket] = []
"""What keeps the ports of `free_ports` from being given to others, until this process ends."""


def kube_binary() -> Path:
    """The dev cluster's multi-call binary, built unless it is there already."""
    return golang.build(golang.KUBE, Progress()) / "kube"


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, all different, and given to nobody else while this process lives.

    Who listens there may come later, and go and come again, as servers that are restarted do: the kernel lets
    two sockets with SO_REUSEADDR have a port of which one alone listens (servers set it), but does not choose
    it for who asks for any port.
    """
    sockets = [socket.socket() for _ in range(count)]
    for found in sockets:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((ADDRESS, 0))
    _held.extend(sockets)
    return [found.getsockname()[1] for found in sockets]


class Client(ApiClient):
    """A client that tries again where an API server says that it may, as all of client-go do."""

    def __init__(self, endpoint: VirtualEndpoint) -> None:
        super().__init__(endpoint)
        self._timeout = aiohttp.ClientTimeout(total=_REQUEST_SECONDS)

    async def request(self, *arguments: Any, **rest: Any) -> dict[str, Any]:
        """One request; again where the admission of Services was late.

        It says so with a 504 and a Retry-After, or the API server did not wait for that.
        """
        for _ in range(_TRIES):
            try:
                return await super().request(*arguments, **rest)
            except ApiError as error:
                is_late = error.code == _TIMEOUT and error.retry_after is not None
                if not is_late and not all(words in error.message for words in _LATE):
                    raise
                await asyncio.sleep(error.retry_after or 1.0)
        return await super().request(*arguments, **rest)


class ControlPlane:
    """etcd and kube-apiserver, and the controller manager when asked, with keys of their own.

    Args:
        directory: An empty folder for keys, data and logs.
        api_server_flags: Further flags of kube-apiserver.
        controllers: Which controllers run, as in `--controllers`; no controller manager when empty.
    """

    def __init__(
        self, directory: Path, *, api_server_flags: Sequence[str] = (), controllers: Sequence[str] = ()
    ) -> None:
        self.directory = directory
        self.pki = directory / "pki"
        self.flags = list(api_server_flags)
        self.controllers = controllers
        self.etcd_port, self.etcd_peer_port, self.port = free_ports(3)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Starts everything; ready when it returns."""
        self._make_pki()
        self.start_etcd()
        self.start_api_server()
        if self.controllers:
            self._run(
                "kube-controller-manager",
                f"--kubeconfig={self.pki}/admin.kubeconfig",
                f"--service-account-private-key-file={self.pki}/service-account.key",
                f"--root-ca-file={self.pki}/server-ca.crt",
                "--use-service-account-credentials=true",
                "--leader-elect=false",
                f"--controllers={','.join(self.controllers)}",
                "--node-monitor-grace-period=40s",
                "--secure-port=0",
            )

    def start_etcd(self) -> None:
        """Starts etcd on its port, on the data it may have."""
        client, peer = (f"http://{ADDRESS}:{port}" for port in (self.etcd_port, self.etcd_peer_port))
        self._run(
            "etcd",
            f"--data-dir={self.directory}/etcd",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=error",
        )

    def start_api_server(self) -> None:
        """Starts kube-apiserver on its port and waits until it is ready."""
        self._run(
            "kube-apiserver",
            f"--etcd-servers=http://{ADDRESS}:{self.etcd_port}",
            f"--bind-address={ADDRESS}",
            f"--advertise-address={ADDRESS}",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.port}",
            f"--client-ca-file={self.pki}/client-ca.crt",
            f"--tls-cert-file={self.pki}/apiserver.crt",
            f"--tls-private-key-file={self.pki}/apiserver.key",
            f"--service-account-key-file={self.pki}/service-account.key",
            f"--service-account-signing-key-file={self.pki}/service-account.key",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--service-cluster-ip-range=10.43.0.0/16",
            "--authorization-mode=Node,RBAC",
            f"--kubelet-client-certificate={self.pki}/kubelet-client.crt",
            f"--kubelet-client-key={self.pki}/kubelet-client.key",
            f"--kubelet-certificate-authority={self.pki}/kubelet-serving-ca.crt",
            "--kubelet-preferred-address-types=InternalIP",
            f"--proxy-client-cert-file={self.pki}/front-proxy-client.crt",
            f"--proxy-client-key-file={self.pki}/front-proxy-client.key",
            f"--requestheader-client-ca-file={self.pki}/request-header-ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--enable-aggregator-routing=true",
            *self.flags,
        )
        eventually(self._ready, timeout=START_SECONDS)

    def stop(self, *names: str) -> None:
        """Ends the processes of these names, all of them by default."""
        for name in names or tuple(reversed(self.processes)):
            process = self.processes.pop(name)
            process.kill()
            process.wait()

    def compact(self) -> None:
        """Has etcd forget all but the newest state of everything."""
        etcd = f"http://{ADDRESS}:{self.etcd_port}/v3/kv"
        newest = _post(f"{etcd}/range", {"key": base64.b64encode(b"/").decode()})["header"]["revision"]
        _post(f"{etcd}/compaction", {"revision": newest, "physical": True})

    def client(self) -> ApiClient:
        """An administrator's client."""
        files = (self.pki / "admin.crt", self.pki / "admin.key")
        endpoint = VirtualEndpoint(ADDRESS, self.port, self.pki / "server-ca.crt", files)
        return Client(endpoint)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Runs kubectl as administrator and returns what it prints."""
        command = [str(self._link("kubectl")), f"--kubeconfig={self.pki}/admin.kubeconfig", *arguments]
        return subprocess.run(command, input=stdin, check=True, text=True, stdout=subprocess.PIPE).stdout

    def may(self, user: str, **attributes: str) -> bool:
        """Whether a user has a right by now: the API server learns of Roles by a watch of its own.

        Args:
            user: Their name.
            attributes: `resourceAttributes` of a SubjectAccessReview.
        """
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": attributes},
        }
        output = ("-o", "jsonpath={.status.allowed}")
        return self.kubectl("create", "-f", "-", *output, stdin=json.dumps(review)) == "true"

    def _run(self, name: str, *arguments: str) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [self._link(name), *arguments], stdout=log, stderr=log, cwd=self.directory
            )

    def _link(self, name: str) -> Path:
        link = self.directory / "bin" / name
        if not link.exists():
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(kube_binary())
        return link

    def _ready(self) -> bool:
        name = "kube-apiserver"
        if self.processes[name].poll() is not None:
            text = (self.directory / f"{name}.log").read_text(errors="replace")
            raise RuntimeError(f"{name} ended:\n{text[-4000:]}")
        context = ssl.create_default_context(cafile=str(self.pki / "server-ca.crt"))
        context.load_cert_chain(self.pki / "admin.crt", self.pki / "admin.key")
        # It makes its namespaces after it says that it is ready; `default` is the last of them.
        for path in ("readyz", "api/v1/namespaces/default"):
            url = f"https://{ADDRESS}:{self.port}/{path}"
            try:
                urllib.request.urlopen(url, context=context, timeout=5).close()
            except OSError:
                return False
        return True

    def _make_pki(self) -> None:
        self.pki.mkdir()
        for name in ("server-ca", "client-ca", "kubelet-serving-ca", "request-header-ca"):
            _authority(self.pki, name)
        _openssl(
            "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{self.pki}/service-account.key"
        )
        certificates.apply(
            certificates.Spec(
                certificates=(
                    self._leaf("apiserver", "server-ca", "kube-apiserver", usages=("server",)),
                    self._leaf("front-proxy-client", "request-header-ca", "front-proxy-client"),
                    self._leaf("admin", "client-ca", "admin", ("system:masters",)),
                    self._leaf(
                        "kubelet-client", "client-ca", "kube-apiserver-kubelet-client", ("system:masters",)
                    ),
                ),
                kubeconfigs=(
                    certificates.Kubeconfig(
                        out=f"{self.pki}/admin.kubeconfig",
                        server=f"https://{ADDRESS}:{self.port}",
                        ca_certificate=f"{self.pki}/server-ca.crt",
                        certificate=f"{self.pki}/admin.crt",
                        key=f"{self.pki}/admin.key",
                    ),
                ),
            )
        )

    def _leaf(
        self,
        name: str,
        authority: str,
        common_name: str,
        organizations: tuple[str, ...] = (),
        usages: tuple[str, ...] = ("client",),
    ) -> certificates.Certificate:
        return certificates.Certificate(
            name=name,
            out=f"{self.pki}/{name}",
            ca_certificate=f"{self.pki}/{authority}.crt",
            ca_key=f"{self.pki}/{authority}.key",
            common_name=common_name,
            organizations=organizations,
            dns_names=("localhost",),
            ip_addresses=(ADDRESS,),
            usages=usages,  # type: ignore[arg-type]
        )


def _post(url: str, body: dict[str, Any]) -> Any:
    with urllib.request.urlopen(url, data=json.dumps(body).encode(), timeout=START_SECONDS) as answer:
        return json.load(answer)


def _authority(directory: Path, name: str) -> None:
    key = directory / f"{name}.key"
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key))
    usage = "keyUsage=critical,digitalSignature,keyCertSign"
    _openssl(
        *("req", "-x509", "-new", "-key", str(key), "-subj", f"/CN={name}", "-days", "2"),
        *("-out", str(directory / f"{name}.crt"), "-addext", usage),
    )


def _openssl(*arguments: str) -> None:
    program = shutil.which("openssl")
    assert program, "openssl is not installed"
    subprocess.run([program, *arguments], check=True, capture_output=True)
