"""The field table: one row for every field of a pod's spec, at every depth.

It says what the host's copy gets of the field and why. A field without a row is refused. The docs list the
rows, and a test compares them with the fields that Kubernetes has.
"""

from k3k_kubelet.translate.table.containers import EPHEMERAL_CONTAINER
from k3k_kubelet.translate.table.pod import POD_SPEC

__all__ = ["EPHEMERAL_CONTAINER", "POD_SPEC"]
