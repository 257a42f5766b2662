"""The field table: PersistentVolumeClaims."""

from collections.abc import Mapping

from k3k_kubelet.translate.rules import claims
from k3k_kubelet.translate.schema import (
    QUANTITIES,
    STRING,
    STRINGS,
    Struct,
    by_policy,
    copied,
    refused,
    translated,
)
from k3k_kubelet.translate.table.status import StatusField

_POLICY = "sync.toHost.persistentVolumeClaims"
_SOURCE = (
    "another claim of the namespace becomes that one's copy; other objects of the host if "
    f"{_POLICY}.dataSources has them"
)
_STORAGE = translated(QUANTITIES, "`storage` alone: claims ask for nothing else", claims.storage)

DATA_SOURCE = Struct(
    "TypedLocalObjectReference",
    {"apiGroup": copied(STRING), "kind": copied(STRING), "name": translated(STRING, "see there")},
    claims.data_source,
)
DATA_SOURCE_REF = Struct(
    "TypedObjectReference",
    {
        **DATA_SOURCE.fields,
        "namespace": refused("namespaces of the host are not those inside", "name one of this namespace"),
    },
    claims.data_source,
)
CLAIM_SPEC = Struct(
    "PersistentVolumeClaimSpec",
    {
        "accessModes": copied(STRINGS),
        "dataSource": by_policy(DATA_SOURCE, _SOURCE),
        "dataSourceRef": by_policy(DATA_SOURCE_REF, _SOURCE),
        "resources": translated(
            Struct("VolumeResourceRequirements", {"limits": _STORAGE, "requests": _STORAGE}), "see there"
        ),
        "selector": refused(
            "it picks among volumes that are there, and those of the host are not the tenant's",
            "leave it out: the class makes a volume",
        ),
        "storageClassName": by_policy(
            STRING,
            f"if {_POLICY}.storageClasses has it; if unset the first of these, for `*` the host's default",
        ),
        "volumeAttributesClassName": by_policy(
            STRING, f"if {_POLICY}.volumeAttributesClasses has it", claims.attributes_class
        ),
        "volumeMode": copied(STRING),
        "volumeName": translated(
            STRING, "never given to the host, which binds a volume of its own", claims.own_volume
        ),
    },
    claims.storage_class,
)

CLAIM_STATUS: Mapping[str, StatusField] = {
    "accessModes": StatusField("inside", "those of the volume, set by the virtual cluster's own controller"),
    "allocatedResourceStatuses": StatusField("host", "how far a resize is"),
    "allocatedResources": StatusField("host", "how far a resize is"),
    "capacity": StatusField("host", "of the host's volume"),
    "conditions": StatusField("translated", "those of resizing and modifying; others stay as they are"),
    "currentVolumeAttributesClassName": StatusField("host"),
    "healthStatus": StatusField("inside", "it may name what is the host's"),
    "modifyVolumeStatus": StatusField("host"),
    "phase": StatusField(
        "inside", "follows from the volume inside, which is there as long as the host's claim is bound"
    ),
}
CLAIM_CONDITIONS = frozenset(
    {
        "ControllerResizeError",
        "FileSystemResizePending",
        "ModifyVolumeError",
        "ModifyingVolume",
        "NodeResizeError",
        "Resizing",
    }
)
"""Condition types of claims that Kubernetes has; the host's controllers and kubelets decide them."""
