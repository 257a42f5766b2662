// A policy, a virtual cluster under it and a ConfigMap inside that: docs/other-languages.md.
import * as k3k from "@k3k-pulumi/k3k-pulumi";
import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

const config = new pulumi.Config();
const team = new kubernetes.core.v1.Namespace("team", { metadata: { name: config.require("namespace") } });
const rules = new k3k.VirtualClusterPolicy("rules", {
    namespaces: [team.metadata.name],
    quotas: { pods: { hard: { pods: 20 } } },
    egress: "none",
});
const cluster = new k3k.VirtualCluster("cluster", {
    namespace: team.metadata.name,
    createNamespace: false,
    policy: rules.constraints,
    distribution: "kubernetes",
    expose: { sourceCidrs: config.requireObject<string[]>("sourceCidrs") },
    persistence: { size: "2Gi" },
    tolerations: [{ key: "team", operator: "Exists", effect: "NoExecute", tolerationSeconds: 60 }],
});

const inside = new kubernetes.Provider(
    "inside",
    {
        kubeconfig: cluster.kubeconfig,
        clusterIdentifier: "team-a/cluster", // so that a new address or certificate replaces nothing inside
        skipUpdateUnreachable: true,
    },
    { parent: cluster },
);
new kubernetes.core.v1.ConfigMap(
    "welcome",
    { metadata: { name: "welcome", namespace: "default" }, data: { from: cluster.namespace } },
    { provider: inside, deletedWith: cluster },
);

export const endpoint = cluster.endpoint;
export const kubeconfig = cluster.kubeconfig;
