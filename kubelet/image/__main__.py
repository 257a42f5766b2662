"""`python -m kubelet.image`: writes the image archive; prints its path alone on standard output."""

from __future__ import annotations

import argparse
import sys

from devcluster.config import cache
from devcluster.errors import DevclusterError
from kubelet.image import build

parser = argparse.ArgumentParser(prog="python -m kubelet.image", description=__doc__)
parser.add_argument("--refresh", action="store_true", help="look for newer Debian packages first")
options = parser.parse_args()
try:
    image = build.build(cache(), refresh=options.refresh)
except DevclusterError as error:
    sys.exit(f"image: {error}")
print(f"  {image.reference} {image.digest}", file=sys.stderr)
print(image.archive)
