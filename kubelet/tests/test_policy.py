"""The policy document and its JSON Schema."""

import json
from importlib import resources
from typing import Any

import jsonschema
import pytest
from k3k_kubelet import policy
from k3k_kubelet.policy import BASELINE_CAPABILITIES, SAFE_SYSCTLS, HostPath, Policy, PolicyError, Toleration

SCHEMA = json.loads(resources.files("k3k_kubelet").joinpath("policy.schema.json").read_text())


def document(**pods: Any) -> dict[str, Any]:
    return {"apiVersion": "k3k-pulumi.io/v1", "pods": pods}


def to_host(**kinds: Any) -> dict[str, Any]:
    return {"apiVersion": "k3k-pulumi.io/v1", "sync": {"toHost": kinds}}


def test_the_schema_is_made_from_the_classes() -> None:
    assert policy.schema() == SCHEMA, (
        "run: python -m k3k_kubelet.policy > kubelet/k3k_kubelet/policy.schema.json"
    )


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def properties() -> list[tuple[str, dict[str, Any]]]:
    """Every key of the document that need not be there, with its place."""
    found = [
        (f"{name}.{key}", value)
        for name, part in SCHEMA["$defs"].items()
        for key, value in part["properties"].items()
        if key not in part.get("required", ())
    ]
    assert {"Pods.hostPID", "Services.externalIPs", "FromHost.names"} <= dict(found).keys()
    return [each for each in found if each[0] != "Policy.apiVersion"]


def test_every_key_that_may_be_left_out_has_a_default() -> None:
    assert [place for place, value in properties() if "default" not in value] == []


def test_every_key_is_described() -> None:
    like_kubernetes = (
        "Toleration.",
        "Affinity.",
        "NodeAffinity.",
        "NodeSelector.",
        "NodeSelectorTerm.",
        "NodeSelectorRequirement.",
        "PreferredSchedulingTerm.",
    )
    keys = [each for each in properties() if not each[0].startswith(like_kubernetes)]
    assert [place for place, value in keys if not value.get("description")] == []


ON = {"enabled": True, "selector": {"matchLabels": {}}}
OFF = {**ON, "enabled": False}
NOTHING = {
    "nodeSelector": {},
    "tolerations": [],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []},
            "preferredDuringSchedulingIgnoredDuringExecution": [],
        }
    },
    "priorityClass": None,
    "runtimeClass": None,
    "hostUsers": None,
    "securityContext": {
        "runAsNonRoot": None,
        "runAsUser": None,
        "runAsGroup": None,
        "readOnlyRootFilesystem": None,
        "allowPrivilegeEscalation": None,
        "capabilities": {"drop": []},
    },
}


def test_the_defaults_are_baseline() -> None:
    assert policy.load('{"apiVersion":"k3k-pulumi.io/v1"}') == Policy()
    assert json.loads(policy.msgspec.json.encode(Policy())) == {
        "apiVersion": "k3k-pulumi.io/v1",
        "pods": {
            "hostNetwork": False,
            "hostPID": False,
            "hostIPC": False,
            "hostPorts": False,
            "hostProbes": False,
            "hostPaths": [],
            "privileged": False,
            "volumeTypes": [
                "configMap",
                "downwardAPI",
                "emptyDir",
                "ephemeral",
                "image",
                "persistentVolumeClaim",
                "projected",
                "secret",
            ],
            "capabilities": list(BASELINE_CAPABILITIES),
            "procMounts": ["Default"],
            "seccompProfiles": ["RuntimeDefault"],
            "defaultSeccompProfile": "RuntimeDefault",
            "appArmorProfiles": ["RuntimeDefault"],
            "seLinuxOptions": False,
            "sysctls": list(SAFE_SYSCTLS),
            "priorityClasses": [],
            "runtimeClasses": [],
            "resourceClaims": [],
            "resourceClaimTemplates": [],
            "allowedTolerations": [],
            "labels": [],
            "annotations": [],
            "serviceAccounts": [],
            "alwaysPullImages": False,
            "imageRegistries": None,
            "defaults": NOTHING,
            "required": NOTHING,
        },
        "sync": {
            "toHost": {
                "services": {
                    **ON,
                    "types": ["ClusterIP", "NodePort", "LoadBalancer"],
                    "externalIPs": [],
                    "loadBalancerClasses": [],
                    "annotations": [],
                    "labels": [],
                    "sourceRanges": ["0.0.0.0/0", "::/0"],
                },
                "endpointSlices": ON,
                "persistentVolumeClaims": {
                    **ON,
                    "storageClasses": ["*"],
                    "dataSources": [],
                    "volumeAttributesClasses": [],
                },
                "ingresses": {
                    **OFF,
                    "classes": ["*"],
                    "hosts": [],
                    "annotations": [],
                    "controllerNamespaces": [],
                },
                "httpRoutes": {**OFF, "gateways": [], "hosts": [], "controllerNamespaces": []},
                "podDisruptionBudgets": ON,
                "networkPolicies": ON,
            },
            "fromHost": {
                "storageClasses": {**OFF, "names": []},
                "ingressClasses": {**OFF, "names": []},
                "priorityClasses": {**OFF, "names": []},
            },
        },
    }


FULL = document(
    hostNetwork=True,
    hostPID=True,
    hostPaths=[{"path": "/var/log"}, {"path": "/data", "readOnly": False}, {"path": "/"}],
    volumeTypes=["emptyDir", "persistentVolumeClaim", "ephemeral", "image"],
    capabilities=[],
    seccompProfiles=["RuntimeDefault", "Unconfined", "Localhost/a/b.json", "Localhost/*"],
    defaultSeccompProfile="",
    imageRegistries=["registry.example.com/team/", "localhost", "[2001:db8::1]:5000/a/b__c", "docker.io/"],
    defaults={"hostUsers": False, "priorityClass": "low", "runtimeClass": "gvisor"},
    required={
        "nodeSelector": {"example.com/pool": "a", "b": ""},
        "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}],
                            "matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n.x"]}],
                        },
                        {"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["8"]}]},
                    ]
                },
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 5, "preference": {"matchExpressions": [{"key": "ssd", "operator": "Exists"}]}}
                ],
            }
        },
        "securityContext": {"runAsUser": 0, "runAsNonRoot": False, "capabilities": {"drop": ["ALL"]}},
    },
    allowedTolerations=[{"operator": "Exists"}, {"key": "a", "value": "b"}],
    labels=["app", "example.com/"],
    annotations=["example.com/x"],
    serviceAccounts=[{"namespace": "team", "name": "app", "hostServiceAccount": "s3-reader"}],
)


def test_a_document_is_read() -> None:
    found = policy.load(json.dumps(FULL)).pods
    assert found.host_network is found.host_pid is True
    assert found.host_paths == (
        HostPath(path="/var/log"),
        HostPath(path="/data", read_only=False),
        HostPath(path="/"),
    )
    assert found.allowed_tolerations == (Toleration(operator="Exists"), Toleration(key="a", value="b"))
    jsonschema.validate(FULL, SCHEMA)


def test_settings_for_the_host_are_those_of_the_document() -> None:
    found = policy.load(json.dumps(FULL)).pods
    assert found.required.manifest() == FULL["pods"]["required"]
    assert found.defaults.manifest() == FULL["pods"]["defaults"]
    assert Policy().pods.required.manifest() == {}


def test_tolerations_for_the_host() -> None:
    found = policy.load(json.dumps(FULL)).pods
    assert [each.manifest() for each in (*found.required.tolerations, *found.allowed_tolerations)] == [
        {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
        {"operator": "Exists"},
        {"key": "a", "operator": "Equal", "value": "b"},
    ]


BAD: list[tuple[Any, str]] = [
    ({}, '$: "apiVersion" is missing'),
    ({"apiVersion": "v1"}, "$.apiVersion: Invalid enum value 'v1'"),
    ({**document(), "node": {}}, "$: Object contains unknown field `node`"),
    ({**document(), "sync": {"services": {}}}, "$.sync: Object contains unknown field `services`"),
    (to_host(pods={}), "$.sync.toHost: Object contains unknown field `pods`"),
    (to_host(services={"enabled": "no"}), "$.sync.toHost.services.enabled: Expected `bool`, got `str`"),
    (to_host(services={"types": ["ExternalName"]}), "$.sync.toHost.services.types[0]: Invalid enum value"),
    (to_host(services={"externalIPs": ["*"]}), "$.sync.toHost.services.externalIPs[0]: Expected `str`"),
    (
        to_host(services={"annotations": ["k3k-pulumi.io/name"]}),
        "$.sync.toHost.services.annotations[0]: Expected `str` matching regex",
    ),
    (
        to_host(services={"selector": {"matchExpressions": []}}),
        "$.sync.toHost.services.selector: Object contains unknown field `matchExpressions`",
    ),
    *(
        (to_host(ingresses={"hosts": [host]}), "$.sync.toHost.ingresses.hosts[0]: Expected `str` matching")
        for host in ("", "*.", "a.*.example.com", "*example.com", "Example.com", "example.com/", "a..b", ".a")
    ),
    (
        to_host(httpRoutes={"gateways": [{"namespace": "a", "name": "b", "hostName": "c"}]}),
        "$.sync.toHost.httpRoutes.gateways[0]: Object missing required field `hostNamespace`",
    ),
    (
        to_host(persistentVolumeClaims={"dataSources": [{"kind": "VolumeSnapshot"}]}),
        "$.sync.toHost.persistentVolumeClaims.dataSources[0]: Object missing required field `name`",
    ),
    (document(hostNetwrk=True), "$.pods: Object contains unknown field `hostNetwrk`"),
    (document(host_network=True), "$.pods: Object contains unknown field `host_network`"),
    (document(hostPid=True), "$.pods: Object contains unknown field `hostPid`"),
    (document(hostNetwork="true"), "$.pods.hostNetwork: Expected `bool`, got `str`"),
    (document(hostNetwork=1), "$.pods.hostNetwork: Expected `bool`, got `int`"),
    (document(hostNetwork=None), "$.pods.hostNetwork: Expected `bool`, got `null`"),
    (document(capabilities="ALL"), "$.pods.capabilities: Expected `array`, got `str`"),
    (document(volumeTypes=["hostPath"]), "$.pods.volumeTypes[0]: Invalid enum value 'hostPath'"),
    (document(volumeTypes=["csi"]), "$.pods.volumeTypes[0]: Invalid enum value 'csi'"),
    (document(hostPaths=["/var"]), "$.pods.hostPaths[0]: Expected `object`, got `str`"),
    (document(hostPaths=[{}]), "$.pods.hostPaths[0]: Object missing required field `path`"),
    *(
        (document(hostPaths=[{"path": path}]), "$.pods.hostPaths[0].path: Expected `str` matching regex")
        for path in ("var", "", "/var/../etc", "/..", "/a//b", "/a/.", "/a/")
    ),
    (
        document(hostPaths=[{"path": "/a", "readonly": False}]),
        "$.pods.hostPaths[0]: Object contains unknown field",
    ),
    (document(seccompProfiles=["Localhost"]), "$.pods.seccompProfiles[0]: Expected `str` matching regex"),
    (document(appArmorProfiles=["runtime/default"]), "$.pods.appArmorProfiles[0]: Expected `str` matching"),
    (document(procMounts=["Other"]), "$.pods.procMounts[0]: Invalid enum value 'Other'"),
    (document(hostUsers=False), "$.pods: Object contains unknown field `hostUsers`"),
    (document(tolerations=[]), "$.pods: Object contains unknown field `tolerations`"),
    *(
        (document(imageRegistries=[entry]), "$.pods.imageRegistries[0]: Expected `str` matching regex")
        for entry in (
            "",
            "nginx",
            "team/",
            "*.example.com",
            "example.com/*",
            "example.com//a",
            "a.b/C",
            "a.b/x:1",
        )
    ),
    (document(imageRegistries="docker.io"), "$.pods.imageRegistries: Expected `array | null`, got `str`"),
    *(
        (
            document(**{part: {"nodeSelector": {"a b": "c"}}}),
            f"key in $.pods.{part}.nodeSelector: Expected `str` matching regex",
        )
        for part in ("defaults", "required")
    ),
    (
        document(required={"nodeSelector": {"a": "x" * 64}}),
        "$.pods.required.nodeSelector[...]: Expected `str` of length <= 63",
    ),
    (
        document(required={"securityContext": {"privileged": False}}),
        "$.pods.required.securityContext: Object contains unknown field `privileged`",
    ),
    (
        document(required={"securityContext": {"runAsUser": -1}}),
        "$.pods.required.securityContext.runAsUser: Expected `int` >= 0",
    ),
    (
        document(required={"securityContext": {"capabilities": {"drop": ["CAP_CHOWN"]}}}),
        "$.pods.required.securityContext.capabilities.drop[0]: Expected `str` matching regex",
    ),
    (
        document(defaults={"affinity": {"podAffinity": {}}}),
        "$.pods.defaults.affinity: Object contains unknown field `podAffinity`",
    ),
    (document(labels=["k3k-pulumi.io/cluster"]), "$.pods.labels[0]: Expected `str` matching regex"),
    (document(labels=["k3k-pulumi.io/"]), "$.pods.labels[0]: Expected `str` matching regex"),
    (document(annotations=["labels.k3k-pulumi.io/"]), "$.pods.annotations[0]: Expected `str` matching regex"),
    (document(annotations=["*"]), "$.pods.annotations[0]: Expected `str` matching regex"),
    (document(annotations=[""]), "$.pods.annotations[0]: Expected `str` matching regex"),
    (
        document(serviceAccounts=[{"namespace": "a", "name": "b"}]),
        "$.pods.serviceAccounts[0]: Object missing required field `hostServiceAccount`",
    ),
    (
        document(serviceAccounts=[{"namespace": "*", "name": "b", "hostServiceAccount": "c"}]),
        "$.pods.serviceAccounts[0].namespace: Expected `str` matching regex",
    ),
]


def test_an_account_is_mapped_once() -> None:
    entry = {"namespace": "team", "name": "app", "hostServiceAccount": "a"}
    with pytest.raises(PolicyError, match="serviceAccounts` has team/app twice"):
        policy.load(json.dumps(document(serviceAccounts=[entry, {**entry, "hostServiceAccount": "b"}])))


def test_ranges_are_ranges_and_gateways_are_mapped_once() -> None:
    with pytest.raises(PolicyError, match=r"services: `externalIPs` has '10\.0\.0\.1/8', which is no range"):
        policy.load(json.dumps(to_host(services={"externalIPs": ["192.0.2.0/24", "10.0.0.1/8"]})))
    entry = {"namespace": "a", "name": "b", "hostNamespace": "c", "hostName": "d"}
    with pytest.raises(PolicyError, match="httpRoutes: `gateways` has a/b twice"):
        policy.load(json.dumps(to_host(httpRoutes={"gateways": [entry, {**entry, "hostName": "e"}]})))


@pytest.mark.parametrize(
    ("labels", "chosen"),
    [
        (None, False),
        ({"a": "1"}, False),
        ({"a": "1", "b": "2", "c": "3"}, True),
        ({"a": "1", "b": ""}, False),
    ],
)
def test_a_selector_chooses_by_all_its_labels(labels: dict[str, str] | None, chosen: bool) -> None:
    assert policy.Selector(match_labels={"a": "1", "b": "2"}).matches(labels) is chosen
    assert policy.Selector().matches(labels)


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_a_bad_document_is_refused_with_its_place_by_reader_and_schema(bad: Any, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy.load(json.dumps(bad))
    assert str(caught.value).startswith(f"policy.json: {message}")
    assert list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(bad))


@pytest.mark.parametrize(
    ("toleration", "message"),
    [
        ({}, "`key` is missing: without one the operator must be Exists"),
        (
            {"key": "a", "operator": "Exists", "value": "b"},
            "`value` must be left out with the operator Exists",
        ),
        ({"key": "a", "tolerationSeconds": 5}, "`tolerationSeconds` needs the effect NoExecute"),
    ],
)
def test_a_toleration_that_kubernetes_would_refuse_is_refused_at_once(
    toleration: dict[str, Any], message: str
) -> None:
    with pytest.raises(PolicyError) as caught:
        policy.load(json.dumps(document(required={"tolerations": [toleration]})))
    assert str(caught.value) == f"policy.json: $.pods.required.tolerations[0]: {message}"


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ({}, "a term without `matchExpressions` and `matchFields` matches no node"),
        (
            {"matchExpressions": [{"key": "a", "operator": "In"}]},
            "`values` is missing: the operator In needs some",
        ),
        (
            {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
            "`values` must be left out with the operator Exists",
        ),
        (
            {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["b"]}]},
            "`values` must be one whole number with the operator Gt",
        ),
        (
            {"matchFields": [{"key": "a", "operator": "In", "values": ["b"]}]},
            "`matchFields` can only say metadata.name, with In or NotIn and one name of a node",
        ),
    ],
)
def test_an_affinity_that_kubernetes_would_refuse_is_refused_at_once(
    term: dict[str, Any], message: str
) -> None:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    with pytest.raises(PolicyError) as caught:
        policy.load(json.dumps(document(defaults={"affinity": {"nodeAffinity": required}})))
    assert str(caught.value).startswith("policy.json: $.pods.defaults.affinity.nodeAffinity.required")
    assert str(caught.value).endswith(f": {message}")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '"x"', b"\xff\xfe", '{"apiVersion":"k3k-pulumi.io/v1"} x']
)
def test_what_is_no_json_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(PolicyError, match=r"^policy\.json: "):
        policy.load(text)
