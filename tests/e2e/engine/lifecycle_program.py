"""The program of test_lifecycle.py: a policy, two clusters, and what two tenants have in them.

What a step changes stands in `given.json` beside it.
"""

import json
from pathlib import Path

import pulumi
from pulumi_kubernetes.apps.v1 import Deployment
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace

import k3k_pulumi
from k3k_pulumi import VirtualCluster, VirtualClusterPolicy

given = json.loads(Path(__file__).with_name("given.json").read_text())
prefix = given["prefix"]
teams = [Namespace(f"team-{each}", metadata={"name": f"{prefix}-team-{each}"}) for each in ("a", "b")]
policy = VirtualClusterPolicy(
    f"{prefix}-rules", {"namespaces": [each.metadata["name"] for each in teams], **given["policy"]}
)
for index, (key, cluster) in enumerate(given["clusters"].items()):
    made = VirtualCluster(
        cluster["name"],
        {
            "namespace": policy.namespaces[index],
            "create_namespace": False,
            "policy": policy.constraints,
            **cluster["args"],
        },
        pulumi.ResourceOptions(aliases=[pulumi.Alias(name=each) for each in cluster.get("aliases", ())]),
    )
    inside = pulumi.ResourceOptions(parent=made.inside)
    web = Namespace(f"{key}-web", metadata={"name": "web"}, opts=inside)
    metadata = {"name": "web", "namespace": web.metadata["name"]}
    ConfigMap(f"{key}-web", metadata=metadata, data=given["settings"], opts=inside)
    labels = {"app": "web"}
    container = {
        "name": "web",
        "image": "docker.io/library/busybox:1.36",
        "command": ["sh", "-c", "trap exit TERM; sleep infinity & wait"],
    }
    Deployment(
        f"{key}-web",
        metadata={**metadata, "annotations": given["annotations"]},
        spec={
            "selector": {"match_labels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
        opts=inside,
    )
    pulumi.export(key, made.kubeconfig)
pulumi.export("library", k3k_pulumi.__file__)
