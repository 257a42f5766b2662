"""The images every node has, made from our own builds under the real registries' names.

They behave as the official ones where a manifest can tell: kube-apiserver and coredns carry the file
capability cap_net_bind_service (build/server-image/kube-apiserver/Dockerfile of Kubernetes, Dockerfile of
CoreDNS), so that with every capability dropped they cannot be executed; the other components have none and
no USER, as their distroless base.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devcluster import config, golang, metrics, oci, packages, shell, storage, worker
from devcluster.locks import locked
from devcluster.progress import Progress

BUSYBOX = storage.HELPER_IMAGE
AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.56"
INGRESS = "localhost/k3k-pulumi/ingress:v3.7.9"
"""devcluster/tools/ingress: an ingress controller and gateway for tests; the version is Traefik's."""
KUBERNETES = [f"registry.k8s.io/{name}:{config.KUBERNETES}" for name in (
    "kube-apiserver", "kube-controller-manager", "kube-scheduler",
)]  # fmt: skip
ETCD = "registry.k8s.io/etcd:3.6.4-0"
COREDNS = "docker.io/coredns/coredns:1.15.0"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSWD = b"root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
GROUP = b"root:x:0:\nnobody:x:65534:\n"


@dataclass(frozen=True)
class Recipe:
    """How an image is made.

    Attributes:
        reference: Its full name.
        made_from: What it depends on, beside this module's own text.
        write: Writes the archive to the given path.
    """

    reference: str
    made_from: str
    write: Callable[[Path], None]

    @property
    def archive(self) -> Path:
        """Where the archive is kept."""
        source = Path(__file__).read_bytes() + Path(oci.__file__).read_bytes()
        digest = hashlib.sha256(source + self.made_from.encode()).hexdigest()[:16]
        name = self.reference.rpartition("/")[2].replace(":", "-")
        return config.cache() / "images-built" / f"{name}-{digest}.tar"


def built(progress: Progress) -> list[Path]:
    """Archives of all images of our own, written unless they are there already."""
    return [make(recipe, progress) for recipe in _recipes(progress)]


def control_plane(version: str, progress: Progress) -> list[Path]:
    """Archives of kube-apiserver and kube-controller-manager of another version than the nodes'.

    Args:
        version: one of `golang.SKEWED`; the images' tag.
        progress: told of the build, which takes minutes the first time.
    """
    module = golang.SKEWED[version]
    built = golang.build(module, progress)
    recipes = [
        Recipe(reference, built.name, _component(reference, built / module.folder.name))
        for reference in (f"registry.k8s.io/{name}:{version}" for name in golang.CONTROL_PLANE)
    ]
    return [make(recipe, progress) for recipe in recipes]


def ingress_controller(progress: Progress) -> Path:
    """Archive of the image INGRESS, which takes minutes to build the first time."""
    built = golang.build(golang.INGRESS, progress)
    program = built / "ingress"
    recipe = Recipe(
        INGRESS, built.name, lambda path: _program(path, INGRESS, program, "ingress", user="65534")
    )
    return make(recipe, progress)


def make(recipe: Recipe, progress: Progress) -> Path:
    """The recipe's archive."""
    with locked(f"image-{recipe.archive.name}"):
        if not recipe.archive.exists():
            with progress.step(f"Image {recipe.reference}") as step:
                for old in recipe.archive.parent.glob(f"{recipe.archive.name[:-21]}-????????????????.tar"):
                    old.unlink()
                recipe.write(recipe.archive)
                step.result = f"{recipe.archive.stat().st_size / 1e6:.1f} MB"
    return recipe.archive


def _recipes(progress: Progress) -> list[Recipe]:
    kube = golang.build(golang.KUBE, progress)
    local_path = golang.build(golang.LOCAL_PATH, progress)
    metrics_server = golang.build(golang.METRICS_SERVER, progress)
    coredns = golang.build(golang.COREDNS, progress)
    recipes = [
        Recipe(
            worker.PAUSE,
            kube.name,
            lambda path: _program(path, worker.PAUSE, kube / "pause", "pause", user="65535:65535"),
        ),
        Recipe(
            storage.IMAGE,
            local_path.name,
            lambda path: _program(
                path, storage.IMAGE, local_path / "local-path-provisioner", "usr/bin/local-path-provisioner"
            ),
        ),
        Recipe(
            metrics.IMAGE,
            metrics_server.name,
            lambda path: _program(
                path, metrics.IMAGE, metrics_server / "metrics-server", "metrics-server", user="65534"
            ),
        ),
        Recipe(
            COREDNS,
            coredns.name,
            lambda path: _program(
                path,
                COREDNS,
                coredns / "coredns",
                "coredns",
                user="65532:65532",
                capabilities=frozenset({oci.CAP_NET_BIND_SERVICE}),
            ),
        ),
        Recipe(BUSYBOX, "", _busybox),
        Recipe(AGNHOST, kube.name, _agnhost(kube / "agnhost")),
    ]
    components = [*KUBERNETES, ETCD]
    return recipes + [Recipe(each, kube.name, _component(each, kube / "kube")) for each in components]


def _base() -> list[oci.Entry]:
    return [
        oci.Entry("tmp", mode=0o1777),
        oci.Entry("etc/passwd", PASSWD, mode=0o644),
        oci.Entry("etc/group", GROUP, mode=0o644),
        oci.Entry("etc/nsswitch.conf", b"hosts: files dns\n", mode=0o644),
    ]


def _archive(path: Path, reference: str, layers: list[list[oci.Entry]], settings: oci.Config) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".layers-") as folder:
        written = [oci.write_layer(each, Path(folder, str(number))) for number, each in enumerate(layers)]
        oci.write_archive(path, reference, settings, written)


def _program(
    path: Path,
    reference: str,
    program: Path,
    inside: str,
    *,
    user: str = "",
    capabilities: frozenset[int] = frozenset(),
) -> None:
    entries = [*_base(), oci.Entry(inside, program, capabilities=capabilities)]
    settings = oci.Config(entrypoint=[f"/{inside}"], user=user, environment={"PATH": SYSTEM_PATH})
    _archive(path, reference, [entries], settings)


def _component(reference: str, program: Path) -> Callable[[Path], None]:
    """A component of the multi-call binary, which goes by the name it is called with."""
    name = reference.rpartition("/")[2].partition(":")[0]
    inside = f"usr/local/bin/{name}"
    # The program is a layer of its own: the same bytes in every image but kube-apiserver's, so that nodes
    # unpack and keep it once.
    if name == "kube-apiserver":
        capable = frozenset({oci.CAP_NET_BIND_SERVICE})
        layers = [[oci.Entry(inside, program, capabilities=capable)], _base()]
    else:
        layers = [[oci.Entry("usr/local/bin/kube", program)], [*_base(), oci.Entry(inside, link="kube")]]
    settings = oci.Config(environment={"PATH": SYSTEM_PATH})
    return lambda path: _archive(path, reference, layers, settings)


def _userland() -> list[oci.Entry]:
    """Debian's busybox with a link for each of its applets, and the libraries it needs.

    Not busybox-static: the static C library crashes in name look-ups.
    """
    folder = config.cache() / "busybox"
    program = packages.unpacked("busybox", "busybox", folder)
    packages.unpacked("libc6", "libc.so.6", folder)
    loader = next(path for path in sorted(folder.rglob("ld-linux*.so.*")) if not path.is_symlink())
    libraries = [loader.parent / "libc.so.6", loader.parent / "libresolv.so.2"]
    # The loader's path is written in every program: /lib64/ld-linux-x86-64.so.2, /lib/ld-linux-aarch64.so.1
    inside = "lib64" if "x86-64" in loader.name else "lib"
    applets = shell.run(program, "--list").split()
    return [
        oci.Entry("tmp", mode=0o1777),
        oci.Entry("root", mode=0o700),
        oci.Entry("etc/passwd", PASSWD.replace(b"/sbin/nologin", b"/bin/sh"), mode=0o644),
        oci.Entry("etc/group", GROUP, mode=0o644),
        oci.Entry("etc/nsswitch.conf", b"hosts: files dns\n", mode=0o644),
        oci.Entry(f"{inside}/{loader.name}", loader),
        *(oci.Entry(f"lib/{path.name}", path) for path in libraries),
        oci.Entry("bin/busybox", program),
        *(oci.Entry(f"bin/{name}", link="busybox") for name in applets if name != "busybox"),
    ]


def _busybox(path: Path) -> None:
    _archive(path, BUSYBOX, [_userland()], oci.Config(command=["sh"], environment={"PATH": SYSTEM_PATH}))


def _agnhost(program: Path) -> Callable[[Path], None]:
    """kubernetes/test/images/agnhost: the project's own program for network tests, beside a shell."""

    def write(path: Path) -> None:
        own = [oci.Entry("agnhost", program), oci.Entry("agnhost-2", link="agnhost"), oci.Entry("uploads")]
        settings = oci.Config(entrypoint=["/agnhost"], command=["pause"], environment={"PATH": SYSTEM_PATH})
        _archive(path, AGNHOST, [_userland(), own], settings)

    return write
