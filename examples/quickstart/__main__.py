"""A virtual cluster in two namespaces of a host cluster, and a Deployment inside it.

What can be set is in Pulumi.yaml, as `pulumi config set namespace team-b`.
"""

import pulumi
from pulumi_kubernetes.apps.v1 import Deployment

from k3k_pulumi import VirtualCluster, VirtualClusterArgs

config = pulumi.Config()
node_address = config.get("nodeAddress")
cluster = VirtualCluster(
    config.require("name"),
    VirtualClusterArgs(
        namespace=config.require("namespace"),
        distribution=config.require("distribution"),
        version=config.get("version"),
        expose={
            "type": "NodePort" if node_address else "ClusterIP",
            "host": node_address or None,
            "source_cidrs": config.require_object("sourceCidrs"),
        },
    ),
)

labels = {"app": "hello"}
Deployment(
    "hello",
    metadata={"name": "hello", "namespace": "default"},
    spec={
        "replicas": 2,
        "selector": {"match_labels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "containers": [
                    {
                        "name": "hello",
                        "image": "docker.io/library/busybox:1.36",
                        # The shell ends when it is told to; httpd as the first process would not.
                        "command": ["sh", "-c", "httpd -p 8080; trap exit TERM; sleep infinity & wait"],
                    }
                ]
            },
        },
    },
    # Inside the virtual cluster: without it the Deployment would be one of the host's.
    opts=pulumi.ResourceOptions(parent=cluster.inside),
)

pulumi.export("kubeconfig", cluster.kubeconfig)
pulumi.export("endpoint", cluster.endpoint)
pulumi.export("namespace", cluster.namespace)
