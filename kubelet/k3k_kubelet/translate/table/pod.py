"""The field table: a pod's spec, the root of all."""

from k3k_kubelet.translate.rules import pod, scheduling, security, settings
from k3k_kubelet.translate.schema import (
    BOOLEAN,
    INTEGER,
    STRING,
    STRING_MAP,
    STRINGS,
    ListOf,
    Struct,
    by_policy,
    copied,
    dropped,
    refused,
    translated,
)
from k3k_kubelet.translate.table.containers import CONTAINER, EPHEMERAL_CONTAINER, RESOURCES
from k3k_kubelet.translate.table.scheduling import AFFINITY, TOLERATION, TOPOLOGY_SPREAD
from k3k_kubelet.translate.table.security import POD_SECURITY
from k3k_kubelet.translate.table.volumes import IMAGE_PULL_SECRET, VOLUME

_NAME = Struct("PodReadinessGate", {"conditionType": copied(STRING)})
_DNS = Struct(
    "PodDNSConfig",
    {
        "nameservers": copied(STRINGS),
        "options": copied(
            ListOf(Struct("PodDNSConfigOption", {"name": copied(STRING), "value": copied(STRING)}))
        ),
        "searches": copied(STRINGS),
    },
)
_RESOURCE_CLAIM = Struct(
    "PodResourceClaim",
    {
        "name": copied(STRING),
        "resourceClaimName": by_policy(
            STRING, "if pods.resourceClaims has it", security.one_of("resourceClaims", "resource_claims")
        ),
        "resourceClaimTemplateName": by_policy(
            STRING,
            "if pods.resourceClaimTemplates has it",
            security.one_of("resourceClaimTemplates", "resource_claim_templates"),
        ),
    },
)
_HOST_ALIAS = Struct("HostAlias", {"hostnames": copied(STRINGS), "ip": copied(STRING)})

POD_SPEC = Struct(
    "PodSpec",
    {
        "activeDeadlineSeconds": copied(INTEGER),
        "affinity": by_policy(
            AFFINITY,
            "terms about pods are limited to this cluster's; with the nodeAffinity of "
            "pods.required.affinity, of pods.defaults.affinity where none",
        ),
        "automountServiceAccountToken": translated(
            BOOLEAN,
            "false: the virtual API server has already put the tenant's token into the spec",
            pod.never,
        ),
        "containers": translated(ListOf(CONTAINER), "see there"),
        "dnsConfig": translated(_DNS, "over the cluster's, where dnsPolicy asks the cluster's DNS"),
        "dnsPolicy": translated(
            STRING, "None in place of ClusterFirst, with the cluster's own DNS in dnsConfig", pod.omit
        ),
        "enableServiceLinks": translated(
            BOOLEAN, "false: the virtual Services' variables come as the first source of envFrom", pod.never
        ),
        "ephemeralContainers": translated(
            ListOf(EPHEMERAL_CONTAINER), "added through the host's subresource once the pod is there"
        ),
        "evictionResponders": dropped("who may delay an eviction on the host is not the tenant's to say"),
        "hostAliases": copied(ListOf(_HOST_ALIAS)),
        "hostIPC": by_policy(BOOLEAN, "if pods.hostIPC", security.flag("hostIPC", "host_ipc")),
        "hostNetwork": by_policy(
            BOOLEAN, "if pods.hostNetwork", security.flag("hostNetwork", "host_network")
        ),
        "hostPID": by_policy(BOOLEAN, "if pods.hostPID", security.flag("hostPID", "host_pid")),
        "hostUsers": by_policy(
            BOOLEAN,
            "if pods.required.hostUsers allows it; pods.defaults.hostUsers where none",
            settings.host_users,
        ),
        "hostname": translated(STRING, "the virtual pod's name where none is set, cut as Kubernetes does"),
        "hostnameOverride": copied(STRING),
        "imagePullSecrets": translated(ListOf(IMAGE_PULL_SECRET), "the Secrets' copies on the host"),
        "initContainers": translated(ListOf(CONTAINER), "see there"),
        "nodeName": translated(
            STRING,
            "a required node affinity, so that the host's scheduler and taints stay in force",
            pod.omit,
        ),
        "nodeSelector": by_policy(
            STRING_MAP,
            "with pods.required.nodeSelector, pods.defaults.nodeSelector where none; nodes have their host "
            "labels",
        ),
        "os": copied(
            Struct(
                "PodOS",
                {"name": by_policy(STRING, "linux alone: the nodes are Linux", security.operating_system)},
            ),
        ),
        "overhead": dropped("the host computes it from its own RuntimeClass"),
        "preemptionPolicy": dropped("the host's PriorityClass decides, see priorityClassName", usual=None),
        "priority": dropped(
            "the host computes it from its own PriorityClass, see priorityClassName", usual=None
        ),
        "priorityClassName": by_policy(
            STRING,
            "if pods.priorityClasses has it, else left out; pods.defaults.priorityClass where none, "
            "pods.required.priorityClass in any case",
            settings.priority_class,
        ),
        "readinessGates": copied(ListOf(_NAME), "their conditions are written to the host's pod"),
        "resourceClaims": copied(ListOf(_RESOURCE_CLAIM), "the host's own: those inside are not copied"),
        "resources": copied(RESOURCES),
        "restartPolicy": copied(STRING),
        "runtimeClassName": by_policy(
            STRING,
            "if pods.runtimeClasses has it; pods.defaults.runtimeClass where none, "
            "pods.required.runtimeClass in any case",
            settings.runtime_class,
        ),
        "schedulerName": dropped(
            "the host's scheduler places all pods; with another name a pod waits until it is bound inside",
            usual=("default-scheduler",),
        ),
        "schedulingGates": refused(
            "the pod has no copy on the host before its gates are all removed",
            "remove them",
            waits=True,
        ),
        "schedulingGroup": refused("PodGroups are not known to the host"),
        "securityContext": copied(POD_SECURITY),
        "serviceAccount": dropped(
            "the old name of serviceAccountName, which always says the same", usual=None
        ),
        "serviceAccountName": by_policy(
            STRING,
            "a host account without rights, or the one that pods.serviceAccounts maps it to; "
            "the account inside is in the pod's tokens",
            pod.omit,
        ),
        "setHostnameAsFQDN": copied(BOOLEAN),
        "shareProcessNamespace": copied(BOOLEAN),
        "subdomain": copied(STRING),
        "terminationGracePeriodSeconds": copied(INTEGER),
        "tolerations": by_policy(
            ListOf(TOLERATION),
            "those in pods.allowedTolerations, with pods.required.tolerations, pods.defaults.tolerations "
            "where none; others are left out",
            scheduling.tolerations,
        ),
        "topologySpreadConstraints": translated(ListOf(TOPOLOGY_SPREAD), "limited to this cluster's pods"),
        "volumes": translated(ListOf(VOLUME), "see there"),
    },
    pod.finish,
)
