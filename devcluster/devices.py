"""The image of a device plugin, for tests alone: not every `up` builds it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from devcluster import golang, oci
from devcluster.images import Recipe, make
from devcluster.progress import Progress

IMAGE = "localhost/k3k-pulumi/device-plugin:v1beta1"
"""devcluster/tools/device-plugin; the version is the kubelet's API's."""
_PROGRAM = "device-plugin"


def image(progress: Progress) -> Path:
    """Archive of the image. It runs as root, who alone may write where kubelets look for plugins."""
    built = golang.build(golang.DEVICE_PLUGIN, progress)

    def write(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".layers-") as folder:
            layer = oci.write_layer([oci.Entry(_PROGRAM, built / _PROGRAM)], Path(folder, "0"))
            oci.write_archive(path, IMAGE, oci.Config(entrypoint=[f"/{_PROGRAM}"]), [layer])

    return make(Recipe(IMAGE, built.name, write), progress)
