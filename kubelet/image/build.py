"""The image from its three layers: Debian rootfs, wheels, the kubelet's own package.

Each layer is cached under a name made of its inputs, so that after a change of the kubelet's source only the
last and smallest one is made anew.
"""

from __future__ import annotations

import fnmatch
import json
import os
import platform
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from devcluster import config, oci, packages
from devcluster.errors import DevclusterError
from devcluster.locks import locked
from devcluster.packages import Needed
from devcluster.progress import Progress
from devcluster.shell import fetch, run
from kubelet.image import debian, layers, rootfs
from kubelet.image.layers import Part, Workshop, key

REPOSITORY = "ghcr.io/k3k-pulumi/kubelet"
_HERE = Path(__file__).parent
_PROJECT = _HERE.parent
_SOURCE = _PROJECT / "k3k_kubelet"
_LOCK = _HERE / "requirements.lock"
_PROGRAMS = [
    Needed("binutils", "readelf"),
    Needed("binutils", "strip"),
    Needed("mmdebstrap", "mmdebstrap"),
    Needed("util-linux", "unshare"),
]
_LEFT_OUT = (
    *("*.c", "*.h", "*.pxd", "*.pxi", "*.pyi", "*.pyx", "__pycache__", "bin", "test", "tests"),
    *("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json", ".lock"),
)
# Isolated: neither the environment nor the working folder can add code to a process that holds a CA's key.
_LAUNCHER = """\
#!/usr/bin/python3 -I
import sys

from k3k_kubelet.__main__ import main

sys.exit(main())
"""


def version() -> str:
    """The kubelet's version, which is the image's tag."""
    return str(tomllib.loads((_PROJECT / "pyproject.toml").read_text())["project"]["version"])


def build(
    cache: Path, *, refresh: bool = False, source: Path = _SOURCE, progress: Progress | None = None
) -> oci.Image:
    """Makes the image and returns what was written.

    Args:
        cache: For the archive (`images-built/kubelet-<version>.tar`) and the layers.
        refresh: Resolve the Debian packages again instead of using the ones unpacked before.
        source: The package `k3k_kubelet`.
        progress: Where steps are shown, standard error by default.

    Raises:
        DevclusterError: Not root, a program or package source is missing, or a step failed.
    """
    if os.geteuid():
        raise DevclusterError("the kubelet's image is built as root: its packages are run in a chroot")
    progress = progress or Progress()
    packages.ensure(_PROGRAMS, progress)
    shop = Workshop(cache / "image-build", progress)
    shop.folder.mkdir(parents=True, exist_ok=True)
    with locked("kubelet-image"):
        base = _base(shop, refresh=refresh)
        parts = [base, _wheels(shop, base), _package(shop, base, source)]
        _check(shop, parts)
        with progress.step("Image archive") as step:
            archive = cache / "images-built" / f"kubelet-{version()}.tar"
            reference = f"{REPOSITORY}:{version()}"
            image = oci.write_archive(archive, reference, _config(), [part.layer for part in parts])
            step.result = f"{layers.megabytes(image.compressed)}, unpacked {layers.megabytes(image.unpacked)}"
    return image


def _base(shop: Workshop, *, refresh: bool) -> Part:
    codename = debian.suite()
    sources = debian.sources(codename)
    code = [Path(module.__file__ or "") for module in (debian, rootfs, layers, oci)]
    inputs = key(codename, platform.machine(), json.dumps(sources), Path("/etc/os-release"), *code)
    if refresh:
        shop.forget("rootfs", inputs)

    def make(tree: Path) -> None:
        with tempfile.TemporaryDirectory(dir=shop.folder) as name:
            unpacked = Path(name, "unpacked")
            debian.unpack(codename, sources, unpacked, Path(name))
            rootfs.assemble(unpacked, tree)

    title = f"Root file system: {', '.join(debian.PACKAGES)} of {codename}"
    return shop.part("rootfs", inputs, title, make)


def _wheels(shop: Workshop, base: Part) -> Part:
    python = rootfs.python_version(base.tree)
    code = [Path(__file__), Path(rootfs.__file__), Path(oci.__file__)]
    inputs = key(python, platform.machine(), _LOCK, *code)

    def make(tree: Path) -> None:
        target = tree / _site(python)
        command: list[str | Path] = [_uv(), "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
        command += ["--only-binary", ":all:", "--link-mode", "copy"]
        command += ["--python", sys.executable, "--python-version", python]
        command += ["--python-platform", f"{platform.machine()}-unknown-linux-gnu"]
        fetch(*command, "--target", target, "--requirements", _LOCK)
        for path in sorted(target.rglob("*"), reverse=True):
            if any(fnmatch.fnmatchcase(path.name, pattern) for pattern in _LEFT_OUT):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            elif ".so" in path.suffixes:
                run("strip", "--strip-unneeded", path)
                _check_libraries(path, base.tree)
        rootfs.compile_all(base.tree, f"/{_site(python)}", local=tree)

    return shop.part("wheels", inputs, f"Python packages for {python} from {_LOCK.name}", make)


def _package(shop: Workshop, base: Part, source: Path) -> Part:
    python = rootfs.python_version(base.tree)
    sources = sorted(path for path in source.rglob("*") if path.is_file())
    files = [path for path in sources if "__pycache__" not in path.parts]
    names = "\0".join(str(path.relative_to(source.parent)) for path in files)
    inputs = key(python, version(), names, *files, Path(__file__), Path(rootfs.__file__), Path(oci.__file__))

    def make(tree: Path) -> None:
        site = tree / _site(python)
        for path in files:
            copy = site / path.relative_to(source.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        metadata = site / f"k3k_kubelet-{version()}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: k3k-kubelet\nVersion: {version()}\n")
        launcher = tree / "usr/local/bin/k3k-kubelet"
        launcher.parent.mkdir()
        launcher.write_text(_LAUNCHER)
        launcher.chmod(0o755)
        rootfs.compile_all(base.tree, f"/{_site(python)}", local=tree)

    return shop.part("package", inputs, f"Package k3k_kubelet {version()}", make)


def _check(shop: Workshop, parts: Sequence[Part]) -> None:
    """Starts the image's programs as its user: what is missing shows here, not in a cluster."""
    done = parts[-1].tree.parent / "checked-with" / "-".join(part.layer.digest[7:19] for part in parts)
    if done.exists():
        return
    with (
        shop.progress.step("Check that the image's programs start"),
        tempfile.TemporaryDirectory(dir=shop.folder) as name,
    ):
        for part in parts:
            run("cp", "--archive", f"{part.tree}/.", name)
        Path(name).chmod(0o755)
        enter = ["chroot", f"--userspec={rootfs.USER}:{rootfs.USER}", name]
        modules = ", ".join(["asyncio", "ssl", *_modules(parts[1].tree)])
        run(*enter, "/usr/bin/openssl", "version")
        run(*enter, "/usr/bin/python3", "-I", "-c", f"import {modules}")
        run(*enter, "/usr/local/bin/k3k-kubelet", "--help")
    done.parent.mkdir(exist_ok=True)
    done.touch()


def _modules(tree: Path) -> list[str]:
    """Top-level modules of the wheels."""
    (site,) = (tree / "usr/local/lib").glob("python*/dist-packages")
    packages = [path.parent.name for path in site.glob("*/__init__.py")]
    return sorted(packages + [path.stem for path in site.glob("*.py")])


def _site(python: str) -> str:
    """Where Debian's Python looks for packages that are not Debian's."""
    return f"usr/local/lib/python{python}/dist-packages"


def _uv() -> Path:
    """The uv that `make setup` installed, or one on PATH."""
    installed = sorted(config.cache().glob("uv-*/bin/uv"), key=lambda path: path.stat().st_mtime)
    found = installed[-1] if installed else shutil.which("uv")
    if not found:
        raise DevclusterError("no uv: run `make setup` first")
    return Path(found)


def _check_libraries(path: Path, root: Path) -> None:
    for library in rootfs.needed(path):
        if not any((folder / library).exists() for folder in rootfs.library_folders(root)):
            raise DevclusterError(f"{path.name} needs {library}: add its package to debian.PACKAGES")


def _config() -> oci.Config:
    return oci.Config(
        entrypoint=["k3k-kubelet"],
        user=f"{rootfs.USER}:{rootfs.USER}",
        environment={"PATH": "/usr/local/bin:/usr/bin"},
        labels={
            "org.opencontainers.image.title": "k3k-kubelet",
            "org.opencontainers.image.version": version(),
            "org.opencontainers.image.licenses": "Apache-2.0",
        },
    )
