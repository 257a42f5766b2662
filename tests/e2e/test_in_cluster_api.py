"""Pods reach their own cluster's API with their own tokens, the way every client library does it."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.support.clusters import both
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import KUBELET, container, pod
from tests.e2e.support.polling import eventually

# What client-go's InClusterConfig does: address from the environment, CA and token from the mounted files.
CLIENT = """
import json, os, ssl, sys, urllib.error, urllib.request
mounted = "/var/run/secrets/kubernetes.io/serviceaccount/"
token, namespace = (open(mounted + name).read() for name in ("token", "namespace"))
trust = ssl.create_default_context(cafile=mounted + "ca.crt")
server = "https://%s:%s" % (os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"])
answers = {"namespace": namespace}
for path in sys.argv[1:]:
    path = path.replace("NAMESPACE", namespace)
    request = urllib.request.Request(server + path, headers={"Authorization": "Bearer " + token})
    for last in (False, False, True):  # a connection may take long on a busy machine
        try:
            with urllib.request.urlopen(request, context=trust, timeout=20) as answer:
                answers[path] = sorted(item["metadata"]["name"] for item in json.load(answer)["items"])
        except urllib.error.HTTPError as error:
            if error.code in (429, 500, 503, 504) and not last:
                continue
            answers[path] = error.code
        except OSError:
            if not last:
                continue
            raise
        break
print(json.dumps(answers))
"""
PODS = "/api/v1/namespaces/NAMESPACE/pods"
SECRETS = "/api/v1/namespaces/NAMESPACE/secrets"


def rights(account: str) -> list[dict[str, Any]]:
    """A service account, and a role that lets it list pods."""
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}},
        {
            "apiVersion": f"{group}/v1",
            "kind": "Role",
            "metadata": {"name": account},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": account},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account}],
        },
    ]


@both
def test_pod_lists_pods_of_its_namespace(inside: Kubectl) -> None:
    inside.apply(*rights("lister"))
    account = f"--as=system:serviceaccount:{inside.namespace}:lister"
    eventually(lambda: inside("auth", "can-i", "list", "pods", account))  # RBAC is read a moment later
    inside.apply(
        pod("bystander"),
        pod(
            "client",
            container(("python3", "-c", CLIENT, PODS, SECRETS), image=KUBELET),
            restartPolicy="Never",
            serviceAccountName="lister",
            automountServiceAccountToken=True,
        ),
    )
    inside("wait", "pod/client", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=300s")
    answers = json.loads(inside("logs", "client"))
    assert answers.pop("namespace") == inside.namespace
    assert answers == {
        PODS.replace("NAMESPACE", inside.namespace): ["bystander", "client"],
        SECRETS.replace("NAMESPACE", inside.namespace): 403,
    }
