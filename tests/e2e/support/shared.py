"""Virtual clusters that all processes of a run share."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from k3k_pulumi import direct
from k3k_pulumi.direct.cluster import write_private
from tests.e2e.support.admission import await_admission
from tests.e2e.support.clusters import MADE_WITHIN, Access, variant
from tests.e2e.support.kubectl import Kubectl
from tests.run import locked


def shared_cluster(folder: Path, distribution: str, host: Path) -> Access:
    """The run's virtual cluster of that distribution; whoever comes first makes it, a failure is everybody's.

    Args:
        folder: the run's.
        distribution: k3s or kubernetes, the cluster's name as well.
        host: kubeconfig of the host cluster.
    """
    with locked(folder, f"cluster-{distribution}"):
        file = folder / f"cluster-{distribution}.json"
        if not file.exists():
            known = {"name": distribution, "namespace": f"t-{secrets.token_hex(4)}", "host": str(host)}
            file.write_text(json.dumps(known))
            file.write_text(json.dumps(known | _made(distribution, known["namespace"], host, folder)))
        known = json.loads(file.read_text())
    if "endpoint" not in known:
        raise RuntimeError(f"the shared virtual cluster {distribution} was not made: {known.get('error')}")
    return Access(
        known["name"],
        known["namespace"],
        known["control_plane_namespace"],
        known["endpoint"],
        Path(known["kubeconfig"]),
    )


def _made(distribution: str, namespace: str, host: Path, folder: Path) -> dict[str, str]:
    """What is known of the cluster that was made, or the error."""
    try:
        args = variant(distribution)
        made = direct.apply(distribution, namespace=namespace, kubeconfig=host, timeout=MADE_WITHIN, **args)
        kubeconfig = folder / f"{distribution}.kubeconfig"
        write_private(kubeconfig, made.kubeconfig)
        await_admission(Kubectl(kubeconfig))
    except Exception as error:  # whatever it is, the other workers are to know it
        return {"error": str(error)}
    return {
        "control_plane_namespace": made.control_plane_namespace,
        "endpoint": made.endpoint,
        "kubeconfig": str(kubeconfig),
    }


def remove_shared_clusters(folder: Path) -> None:
    """Removes what `shared_cluster` made, also half-made ones."""
    for file in folder.glob("cluster-*.json"):
        known = json.loads(file.read_text())
        direct.delete(known["name"], known["namespace"], kubeconfig=known["host"], grace_period=1)
