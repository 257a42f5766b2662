"""Who of a cluster's kubelets acts, and since when."""

from __future__ import annotations

import datetime

from tests.e2e.support.clusters import View

TAKEOVER_SECONDS = 30.0
"""From the death of the one that acts to the next one's Lease: 13 at the most, and a busy machine's share,
which stops each of them and the API server for seconds at times. A node is given up after 40."""


def leader(view: View) -> str:
    """Name of the kubelet's pod that acts; `""` for none."""
    lease = view.control_plane.get("lease", f"{view.name}-kubelet")
    return str(lease["spec"].get("holderIdentity") or "")


def leads_since(view: View) -> float:
    """When it took the Lease, in seconds since the epoch by its own clock."""
    lease = view.control_plane.get("lease", f"{view.name}-kubelet")
    return datetime.datetime.fromisoformat(lease["spec"]["acquireTime"]).timestamp()
