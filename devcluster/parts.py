"""A host cluster made from parts: processes of this machine, without Docker, kind or an image registry."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from devcluster import (
    archives,
    cgroups,
    control_plane,
    datapath,
    golang,
    images,
    kubectl,
    metrics,
    network,
    packages,
    runtime,
    storage,
    sysctl,
)
from devcluster.api import Api, Manifest, wait
from devcluster.config import Instance
from devcluster.host import Status
from devcluster.node import Node
from devcluster.pki import Pki
from devcluster.progress import Progress

# Seconds until it is given up; each takes a few, and many on a machine that has much else to do.
API_WITHIN = 300.0
NODES_WITHIN = 300.0
STORAGE_WITHIN = 300.0
FAILING = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})
POLICY_READER = "devcluster:network-policy"


class Parts:
    """An instance made from parts."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.nodes = [Node(instance, index) for index in range(1, instance.nodes + 1)]
        self.started: dict[str, datetime.datetime] = {}  # nodes that this process has started

    @property
    def keys(self) -> Pki:
        """The instance's keys, made on first use."""
        return Pki(self.instance)

    def api(self) -> Api:
        """Client with an administrator's rights."""
        keys = self.keys
        admin = keys.issue("admin", "devcluster-admin", organizations=["system:masters"])
        return Api(self.instance.server, keys.ca.crt, admin)

    def up(self, progress: Progress, *, restart: bool) -> None:
        """Makes, completes or repairs the instance; returns when it is ready for work."""
        packages.ensure(packages.NODE, progress)
        binaries = golang.build(golang.KUBE, progress)
        containerd = runtime.programs(progress)
        loaded = [*images.built(progress), *archives.extra()]
        kubectl.link(binaries / "kubectl")
        sysctl.raise_limits(ipv6=self.instance.ipv6)
        self.instance.save()
        network.up_machine(self.instance)
        stopped = [node for node in self.nodes if restart or node.init_pid() is None]
        if stopped:
            self._use(binaries, containerd)
            with progress.step(f"Start {', '.join(node.name for node in stopped)}"):
                for node in self.nodes:
                    if node not in stopped:
                        network.up_node(self.instance, node.index)  # its routes to new nodes
                for node in stopped:
                    node.start(self.keys, binaries, containerd)
                    self.started[node.name] = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        else:
            self._tell_about_newer(binaries, containerd, progress)
        network.up_routes(self.instance)
        self._write_kubeconfig()
        self._await(progress, loaded)

    def _await(self, progress: Progress, loaded: list[Path]) -> None:
        api = self.api()
        with progress.step("API server") as step:
            wait("the API server", api.ready, API_WITHIN, self._log_of("kube-apiserver", self.nodes[0]))
            step.result = self.instance.server
        api.apply(*_policy_rights())
        with progress.step("Images") as step:
            for node in self.nodes:
                runtime.wait(node)
            loads = runtime.load(self.nodes, loaded)
            step.result = f"{loads} loaded" if loads else "all there"
        with progress.step("Nodes ready") as step:
            wait(
                "the nodes",
                lambda: self._complete_nodes(api),
                NODES_WITHIN,
                self._log_of("kubelet", *self.nodes),
            )
            for node in self.nodes:
                wait(
                    f"the pods' network on {node.name}",
                    partial(datapath.is_ready, node),
                    NODES_WITHIN,
                    self._log_of("kube-proxy", node),
                )
            step.result = ", ".join(node.name for node in self.nodes)
        api.apply(*metrics.manifests())  # not waited for: few need it, and it needs two samples anyway
        with progress.step("Storage class local-path"):
            api.apply(*storage.manifests())
            path = f"/apis/apps/v1/namespaces/{storage.NAMESPACE}/deployments/{storage.NAME}"
            wait(
                "local-path-provisioner", lambda: _is_true(api.get(path), "Available"), STORAGE_WITHIN, tuple
            )

    def _complete_nodes(self, api: Api) -> bool:
        """Gives every node its pod range; tells whether all nodes are ready."""
        ready = 0
        for node in self.nodes:
            path = f"/api/v1/nodes/{node.name}"
            found = api.get(path)
            if found is None:
                continue
            if "podCIDR" not in found["spec"]:
                ranges = [str(family.pod_range(node.index)) for family in self.instance.families]
                patch = {"spec": {"podCIDR": ranges[0], "podCIDRs": ranges}}
                api.request("PATCH", path, patch, "application/merge-patch+json")
            ready += self._is_ready(node, found)
        return ready == len(self.nodes)

    def _is_ready(self, node: Node, found: Manifest) -> bool:
        """Whether the node is ready. Of one that was just started, what it said before does not count."""
        conditions = found.get("status", {}).get("conditions", [])
        ready = next((each for each in conditions if each["type"] == "Ready"), None)
        if ready is None or ready["status"] != "True":
            return False
        if FAILING & {taint["key"] for taint in found["spec"].get("taints", [])}:
            return False  # the controller takes them a moment later; until then it gets no pods
        since = self.started.get(node.name)
        return since is None or datetime.datetime.fromisoformat(ready["lastHeartbeatTime"]) >= since

    def _log_of(self, process: str, *nodes: Node) -> Callable[[], Iterable[str]]:
        def lines() -> Iterable[str]:
            for node in nodes:
                log = node.var / f"log/node/{process}.log"
                yield f"{log} ends with:"
                yield from log.read_text(errors="replace").splitlines()[-8:] if log.exists() else []

        return lines

    def _write_kubeconfig(self) -> None:
        keys = self.keys
        admin = keys.issue("admin", "devcluster-admin", organizations=["system:masters"])
        self.instance.kubeconfig.touch(mode=0o600)
        self.instance.kubeconfig.write_text(keys.kubeconfig(admin))

    def _use(self, binaries: Path, containerd: Path | None) -> None:
        """Notes which programs the nodes run, so that they are not cleaned away."""
        folder = self.instance.folder / "bin"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "kube").symlink_to(binaries)
        if containerd:
            (folder / "containerd").symlink_to(containerd)

    def _tell_about_newer(self, binaries: Path, containerd: Path | None, progress: Progress) -> None:
        used = {link.resolve() for link in (self.instance.folder / "bin").glob("*")}
        if any(path.resolve() not in used for path in (binaries, containerd) if path):
            progress.info("the nodes run programs of an earlier version; `up --restart` starts them anew")

    def down(self, progress: Progress) -> None:
        """Removes everything the instance has on this machine."""
        with progress.step(f"Remove {self.instance.name}"):
            for node in self.nodes:
                node.stop()
            cgroups.remove(self.instance.cgroup)
            network.down(self.instance)
            shutil.rmtree(self.instance.folder)
        sysctl.restore()

    def load(self, files: Sequence[Path]) -> None:
        """Loads image archives into every node."""
        runtime.load(self.nodes, list(files))

    def audit_log(self) -> Path:
        """The API server's audit log as the machine sees it; older parts lie beside it."""
        return self.nodes[0].folder / control_plane.AUDIT_LOG.removeprefix("/")

    def status(self) -> Status:
        """What the processes and the API server say."""
        api = self.api()
        found = api.get("/api/v1/nodes")["items"] if api.ready() else []
        by_name = {node["metadata"]["name"]: node for node in found}
        lines = [
            ("host", "processes of this machine, each node in namespaces of its own"),
            ("API server", self.instance.server if found else f"{self.instance.server} does not answer"),
        ]
        lines += [(node.name, _node_line(node, by_name.get(node.name))) for node in self.nodes]
        for family in self.instance.families:
            lines.append((f"IPv{family.pods.version}", f"pods {family.pods}, ClusterIPs {family.services}"))
        clients = " and ".join(str(family.client) for family in self.instance.families)
        lines += [
            ("this machine", f"reaches pods and ClusterIPs through node-1; they see it as {clients}"),
            ("kubeconfig", str(self.instance.kubeconfig)),
            ("audit log", str(self.audit_log())),
            ("logs", f"{self.instance.folder}/node-*/var/log/node/"),
        ]
        up = all(node.init_pid() and _is_true(by_name.get(node.name), "Ready") for node in self.nodes)
        return Status(up=up, lines=lines)


def _policy_rights() -> list[Manifest]:
    group = "rbac.authorization.k8s.io"
    watch = ["list", "watch"]
    return [
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": POLICY_READER},
            "rules": [
                {"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": watch},
                {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": watch},
            ],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": POLICY_READER},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": POLICY_READER},
            "subjects": [{"apiGroup": group, "kind": "User", "name": POLICY_READER}],
        },
    ]


def _node_line(node: Node, found: Manifest | None) -> str:
    if node.init_pid() is None:
        return "not running; `up` repairs it"
    if found is None:
        return "running, not registered"
    info = found["status"]["nodeInfo"]
    ready = "Ready" if _is_true(found, "Ready") else "not Ready"
    addresses = ", ".join(
        each["address"] for each in found["status"]["addresses"] if each["type"] == "InternalIP"
    )
    origin = "its Go module" if (node.instance.folder / "bin/containerd").exists() else "Debian's package"
    runtime_name = info["containerRuntimeVersion"].replace("://", " ")
    return f"{ready}, {addresses}, Kubernetes {info['kubeletVersion']}, {runtime_name} from {origin}"


def _is_true(found: Manifest | None, condition: str) -> bool:
    conditions = (found or {}).get("status", {}).get("conditions", [])
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)
