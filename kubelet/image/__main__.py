"""`python -m kubelet.image`: writes the image archive; prints its path alone on standard output."""

from __future__ import annotations

import argparse
import sys

from kubelet.image import build
from kubelet.image.steps import BuildError, cache

parser = argparse.ArgumentParser(prog="python -m kubelet.image", description=__doc__)
parser.add_argument("--refresh", action="store_true", help="look for newer Debian packages first")
options = parser.parse_args()
try:
    image = build.build(cache(), refresh=options.refresh)
except BuildError as error:
    sys.exit(f"image: {error}")
print(
    f"image: {image.reference} {image.digest}, "
    f"{image.compressed / 1e6:.1f} MB compressed, {image.unpacked / 1e6:.1f} MB unpacked",
    file=sys.stderr,
)
print(image.archive)
