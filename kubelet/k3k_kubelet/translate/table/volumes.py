"""The field table: volumes, environment and other references to objects."""

from k3k_kubelet.translate.rules import images, references, security, volumes
from k3k_kubelet.translate.rules.environment import field_path
from k3k_kubelet.translate.schema import (
    BOOLEAN,
    INTEGER,
    QUANTITY,
    STRING,
    Field,
    ListOf,
    Struct,
    by_policy,
    copied,
    dropped,
    refused,
    translated,
)

_CONFIG_MAP = translated(STRING, "name of the ConfigMap's copy on the host", references.config_map)
_SECRET = translated(STRING, "name of the Secret's copy on the host", references.secret)

OBJECT_FIELD = Struct(
    "ObjectFieldSelector",
    {
        "apiVersion": copied(STRING),
        "fieldPath": translated(STRING, "a field of the host pod that has the virtual value", field_path),
    },
)
RESOURCE_FIELD = Struct(
    "ResourceFieldSelector",
    {"containerName": copied(STRING), "divisor": copied(QUANTITY), "resource": copied(STRING)},
)
_FILES = ListOf(
    Struct(
        "KeyToPath",
        {"key": copied(STRING), "mode": copied(INTEGER), "path": copied(STRING), "user": copied(INTEGER)},
    )
)
_DOWNWARD_FILES = ListOf(
    Struct(
        "DownwardAPIVolumeFile",
        {
            "fieldRef": translated(OBJECT_FIELD, "see there"),
            "mode": copied(INTEGER),
            "path": copied(STRING),
            "resourceFieldRef": copied(RESOURCE_FIELD),
            "user": copied(INTEGER),
        },
    )
)
_MODES = {"defaultMode": copied(INTEGER), "defaultUser": copied(INTEGER)}

CONFIG_MAP_VOLUME = Struct(
    "ConfigMapVolumeSource",
    {**_MODES, "items": copied(_FILES), "name": _CONFIG_MAP, "optional": copied(BOOLEAN)},
)
SECRET_VOLUME = Struct(
    "SecretVolumeSource",
    {**_MODES, "items": copied(_FILES), "optional": copied(BOOLEAN), "secretName": _SECRET},
)
DOWNWARD_VOLUME = Struct("DownwardAPIVolumeSource", {**_MODES, "items": copied(_DOWNWARD_FILES)})
PROJECTION = Struct(
    "VolumeProjection",
    {
        "clusterTrustBundle": refused("ClusterTrustBundles of the host are not the tenant's"),
        "configMap": translated(
            Struct(
                "ConfigMapProjection",
                {"items": copied(_FILES), "name": _CONFIG_MAP, "optional": copied(BOOLEAN)},
            ),
            "see there",
        ),
        "downwardAPI": translated(
            Struct("DownwardAPIProjection", {"items": copied(_DOWNWARD_FILES)}), "see there"
        ),
        "podCertificate": refused("the host's signers certify host pods, not the tenant's"),
        "secret": translated(
            Struct(
                "SecretProjection",
                {"items": copied(_FILES), "name": _SECRET, "optional": copied(BOOLEAN)},
            ),
            "see there",
        ),
        "serviceAccountToken": translated(
            Struct(
                "ServiceAccountTokenProjection",
                {
                    "audience": copied(STRING),
                    "expirationSeconds": copied(INTEGER),
                    "path": copied(STRING),
                    "user": copied(INTEGER),
                },
            ),
            "a key of the pod's token Secret, which the virtual kubelet fills and renews",
        ),
    },
    volumes.projection,
)
PROJECTED_VOLUME = Struct(
    "ProjectedVolumeSource", {**_MODES, "sources": translated(ListOf(PROJECTION), "see there")}
)
EMPTY_DIR = Struct(
    "EmptyDirVolumeSource",
    {"medium": copied(STRING), "mode": copied(INTEGER), "sizeLimit": copied(QUANTITY)},
)
CLAIM_VOLUME = Struct(
    "PersistentVolumeClaimVolumeSource",
    {
        "claimName": translated(STRING, "name of the claim's copy on the host", references.claim),
        "readOnly": copied(BOOLEAN),
    },
)
CLAIM_TEMPLATE = Struct(
    "EphemeralVolumeSource",
    {
        "volumeClaimTemplate": dropped(
            "the virtual cluster makes the claim, the pod's copy refers to it", usual=None
        )
    },
)
IMAGE_VOLUME = Struct(
    "ImageVolumeSource",
    {
        "pullPolicy": by_policy(STRING, "Always if pods.alwaysPullImages"),
        "reference": by_policy(STRING, "if it is of pods.imageRegistries", images.image),
    },
    images.volume,
)
HOST_PATH = Struct("HostPathVolumeSource", {"path": copied(STRING), "type": copied(STRING)})


def _kind(name: str, shape: Struct) -> Field:
    return by_policy(shape, "if pods.volumeTypes has the kind", security.volume_type(name))


_NETWORK = refused(
    "such volumes are mounted by the node, with the node's network and rights", "use a PersistentVolumeClaim"
)


VOLUME = Struct(
    "Volume",
    {
        "name": copied(STRING),
        "configMap": _kind("configMap", CONFIG_MAP_VOLUME),
        "downwardAPI": _kind("downwardAPI", DOWNWARD_VOLUME),
        "emptyDir": _kind("emptyDir", EMPTY_DIR),
        "ephemeral": _kind("ephemeral", CLAIM_TEMPLATE),
        "hostPath": by_policy(HOST_PATH, "if pods.hostPaths covers the path", security.host_path),
        "image": _kind("image", IMAGE_VOLUME),
        "persistentVolumeClaim": _kind("persistentVolumeClaim", CLAIM_VOLUME),
        "projected": _kind("projected", PROJECTED_VOLUME),
        "secret": _kind("secret", SECRET_VOLUME),
        **dict.fromkeys(
            (
                "awsElasticBlockStore",
                "azureDisk",
                "azureFile",
                "cephfs",
                "cinder",
                "csi",
                "fc",
                "flexVolume",
                "flocker",
                "gcePersistentDisk",
                "gitRepo",
                "glusterfs",
                "iscsi",
                "nfs",
                "photonPersistentDisk",
                "portworxVolume",
                "quobyte",
                "rbd",
                "scaleIO",
                "storageos",
                "vsphereVolume",
            ),
            _NETWORK,
        ),
    },
    volumes.volume,
)

ENV_FROM = Struct(
    "EnvFromSource",
    {
        "configMapRef": translated(
            Struct("ConfigMapEnvSource", {"name": _CONFIG_MAP, "optional": copied(BOOLEAN)}),
            "see there",
        ),
        "prefix": copied(STRING),
        "secretRef": translated(
            Struct("SecretEnvSource", {"name": _SECRET, "optional": copied(BOOLEAN)}),
            "see there",
        ),
    },
)
ENV = Struct(
    "EnvVar",
    {
        "name": copied(STRING),
        "value": copied(STRING),
        "valueFrom": translated(
            Struct(
                "EnvVarSource",
                {
                    "configMapKeyRef": translated(
                        Struct(
                            "ConfigMapKeySelector",
                            {"key": copied(STRING), "name": _CONFIG_MAP, "optional": copied(BOOLEAN)},
                        ),
                        "see there",
                    ),
                    "fieldRef": translated(OBJECT_FIELD, "see there"),
                    "fileKeyRef": copied(
                        Struct(
                            "FileKeySelector",
                            {
                                "key": copied(STRING),
                                "optional": copied(BOOLEAN),
                                "path": copied(STRING),
                                "volumeName": copied(STRING),
                            },
                        ),
                        "a file of one of the pod's own emptyDir volumes",
                    ),
                    "resourceFieldRef": copied(RESOURCE_FIELD),
                    "secretKeyRef": translated(
                        Struct(
                            "SecretKeySelector",
                            {"key": copied(STRING), "name": _SECRET, "optional": copied(BOOLEAN)},
                        ),
                        "see there",
                    ),
                },
            ),
            "see there",
        ),
    },
)
IMAGE_PULL_SECRET = Struct(
    "LocalObjectReference",
    {"name": translated(STRING, "see there")},
    references.image_pull_secret,
)
