"""Redis from Debian's packages as an image, beside a shell: a real database for applications in tests.

It goes by the name of the official image, which a cluster that is not the dev cluster pulls instead.
"""

from __future__ import annotations

import inspect
import json
import sys
import tempfile
from pathlib import Path

from devcluster import images, oci, packages
from devcluster.packages import Needed
from devcluster.progress import Progress
from kubelet.image import debian, layers, rootfs

REDIS = "docker.io/library/redis:7"
_PACKAGES = ("busybox", "redis-server", "redis-tools")
_PROGRAMS = ("usr/bin/busybox", "usr/bin/redis-cli", "usr/bin/redis-server")
_TOOLS = [
    Needed("binutils", "readelf"),
    Needed("mmdebstrap", "mmdebstrap"),
    Needed("util-linux", "unshare"),
]
_APPLETS = ("cat", "date", "echo", "env", "hostname", "ls", "seq", "sh", "sleep", "test", "timeout")


def archive(progress: Progress) -> Path:
    """The image's archive, made unless it is there already.

    Raises:
        DevclusterError: A program or a package source is missing.
    """
    codename = debian.suite()
    sources = debian.sources(codename)
    made_from = layers.key(codename, json.dumps(sources), inspect.getsource(sys.modules[__name__]))

    def write(path: Path) -> None:
        packages.ensure(_TOOLS, progress)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".redis-") as name:
            unpacked, tree = Path(name, "unpacked"), Path(name, "tree")
            debian.unpack(codename, sources, unpacked, Path(name), _PACKAGES)
            tree.mkdir()
            rootfs.select(unpacked, tree, _PROGRAMS)
            rootfs.skeleton(tree)
            for applet in _APPLETS:
                (tree / "usr/bin" / applet).symlink_to("busybox")
            layer = oci.write_layer(oci.entries_of(tree), Path(name, "layer"))
            settings = oci.Config(
                command=["redis-server"], user="65534", environment={"PATH": "/usr/bin"}, working_dir="/data"
            )
            oci.write_archive(path, REDIS, settings, [layer])

    return images.make(images.Recipe(REDIS, made_from, write), progress)


if __name__ == "__main__":
    print(archive(Progress()))
