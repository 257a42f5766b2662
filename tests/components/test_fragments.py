"""Fragments of Kubernetes types: every form that users have them in, at every place that takes one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pulumi
import pytest
from pulumi import _types
from pulumi_kubernetes import core

from k3k_pulumi import SharedModeNamespace, VirtualCluster, VirtualClusterPolicy
from k3k_pulumi.errors import InputError
from k3k_pulumi.inputs import plain
from k3k_pulumi.model import SharedModeNamespaceSpec, VirtualClusterPolicySpec, VirtualClusterSpec, fragments
from k3k_pulumi.model.fragments import ListOf, MapOf, camel_case
from k3k_pulumi.model.pod_security import SECURITY_CONTEXT
from tests.components import typed_arguments
from tests.components.fragments import CASES
from tests.components.host import SECRET, Deployment, run

k8s = core.v1
ALL = [(name, place) for name, case in CASES.items() for place in case.places]
FORMS = ("snake", "typed", "mixed")


def args_of(path: str, value: Any) -> dict[str, Any]:
    """Arguments with the value at a path."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


def parse(place: str, value: Any) -> Any:
    """The specification of the component that a place belongs to."""
    component, _, path = place.partition(":")
    if component == "c":
        args = {"namespace": "team", "distribution": "kubernetes", **args_of(path, value)}
        return VirtualClusterSpec.parse("c", plain(args))
    return VirtualClusterPolicySpec.parse("p", plain({"namespaces": ["team"], **args_of(path, value)}))


def found(spec: Any, place: str) -> Any:
    """What the specification has at a place."""
    for key in place.partition(":")[2].split("."):
        spec = spec[key] if isinstance(spec, Mapping) else getattr(spec, key)
    return spec


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "place"), ALL)
def test_every_form_gives_the_same_model(name: str, place: str, form: str) -> None:
    case = CASES[name]
    assert parse(place, getattr(case, form)) == parse(place, case.camel)
    taken = found(parse(place, getattr(case, form)), place)
    assert taken == case.camel
    # No float where a whole number is meant.
    assert json.dumps(taken, sort_keys=True) == json.dumps(case.camel, sort_keys=True)


@pytest.mark.parametrize(("name", "place"), ALL)
def test_an_unknown_key_in_depth_is_refused_with_its_path_and_what_was_meant(name: str, place: str) -> None:
    value, told = CASES[name].unknown
    path, _, advice = told.partition(": ")
    with pytest.raises(InputError) as caught:
        parse(place, value)
    assert caught.value.problems == (f"{place.partition(':')[2]}{path}: unknown key; {advice}",)


def _with_an_output(value: Any, index: int) -> tuple[Any, int]:
    """The value with an Output in place of its scalar of that number, and the number of scalars in it."""
    if isinstance(value, Mapping | list):
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        made, count = {}, 0
        for key, item in pairs:
            made[key], more = _with_an_output(item, index - count)
            count += more
        return (made if isinstance(value, Mapping) else list(made.values())), count
    return (pulumi.Output.from_input(value) if index == 0 else value), 1


def refused(place: str, made: Callable[[], Any]) -> str:
    """What is said of the value, which is made in a program because Outputs live there."""
    problems: list[str] = []

    def program() -> dict[str, Any]:
        with pytest.raises(InputError) as caught:
            parse(place, made())
        problems.extend(caught.value.problems)
        return {}

    run(program, preview=True)
    (problem,) = problems
    return problem


@pytest.mark.parametrize(("name", "place"), ALL)
def test_an_output_in_a_fragment_is_refused_with_its_path(name: str, place: str) -> None:
    camel = CASES[name].camel
    for index in range(_with_an_output(camel, -1)[1]):
        problem = refused(place, lambda index=index: _with_an_output(camel, index)[0])
        assert problem.startswith(place.partition(":")[2])
        assert "an Output (a value known only during the deployment) must be" in problem


@pytest.mark.parametrize(("name", "place"), ALL)
def test_a_whole_fragment_that_is_an_output_is_refused(name: str, place: str) -> None:
    problem = refused(place, lambda: pulumi.Output.from_input(CASES[name].camel))
    path = place.partition(":")[2]
    assert problem.startswith(f"{path}: an Output (a value known only during the deployment) must be a ")


@pytest.mark.parametrize(
    ("place", "value", "path"),
    [
        ("c:tolerations", [{"toleration_seconds": 1, "tolerationSeconds": 1}], "[0].tolerationSeconds"),
        ("c:security_context", {"runAsUser": 1, "run_as_user": 1}, ".run_as_user"),
        ("p:limits", [{"type": "Pod", "defaultRequest": {}, "default_request": {}}], "[0].default_request"),
        ("c:pods", {"hostPID": True, "host_pid": True}, ".host_pid"),
    ],
)
def test_a_key_given_twice_is_refused(place: str, value: Any, path: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(place, value)
    line = f"{place.partition(':')[2]}{path}: given twice, in snake_case and in camelCase: leave one out"
    assert caught.value.problems == (line,)


@pytest.mark.parametrize("none_first", [True, False])
def test_a_key_that_is_none_in_one_of_its_forms_is_not_given_twice(none_first: bool) -> None:
    pairs: list[tuple[str, Any]] = [("run_as_user", None), ("runAsUser", 1000)]
    given = dict(pairs if none_first else reversed(pairs))
    assert parse("c:security_context", given).security_context == {"runAsUser": 1000}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("c:node_selector", {"my_key": "a_b", "other-key": "x"}),
        ("c:labels", {"my_label": "a_b"}),
        ("c:annotations", {"my_note": "a_b"}),
        ("c:expose.annotations", {"my_note": "a_b"}),
        ("c:node_capacity.extended_resources", {"example.com/my_gpu": 2}),
        ("c:dns.stub_zones", {"corp.example": ("10.0.0.53",)}),
        ("c:pods.required.nodeSelector", {"my_key": "a_b"}),
        ("p:control_plane_required.node_selector", {"my_key": "a_b"}),
        ("p:labels", {"my_label": "a_b"}),
        ("p:annotations", {"my_note": "a_b"}),
    ],
)
def test_keys_of_the_users_own_are_never_rewritten(place: str, value: dict[str, Any]) -> None:
    taken = found(parse(place, value), place)
    assert list(taken) == list(value)


@pytest.mark.parametrize(
    "place",
    ["c:node_selector", "c:labels", "c:expose.annotations", "p:labels", "c:pods.required.nodeSelector"],
)
def test_an_output_in_a_map_of_the_users_own_is_refused_with_its_path(place: str) -> None:
    problem = refused(place, lambda: {"my_key": pulumi.Output.from_input("v")})
    path = place.partition(":")[2]
    assert problem.startswith(f"{path}.my_key: an Output (a value known only during the deployment) must be ")


def test_an_enum_is_its_value() -> None:
    expose = {"type": k8s.ServiceSpecType.LOAD_BALANCER, "source_cidrs": ["192.0.2.0/24"]}
    taken = found(parse("c:expose", expose), "c:expose.type")
    assert type(taken) is str
    assert taken == "LoadBalancer"


def _tables(schema: Any, args: Any) -> list[tuple[Mapping[str, Any], Any]]:
    """Each table of keys below a schema, with the class of Args objects that is taken there."""
    if isinstance(schema, ListOf):
        return _tables(schema.item, args)
    if isinstance(schema, MapOf):
        return _tables(schema.value, args)
    if not isinstance(schema, Mapping):
        return []
    inner = _types.input_type_types(args)
    names = _types.input_type_py_to_pulumi_names(args)
    found = [(schema, args)]
    for name, pulumi_name in names.items():
        classes = _classes(inner[pulumi_name if pulumi_name in inner else name])
        if pulumi_name in schema and classes:
            found += _tables(schema[pulumi_name], classes[0])
    return found


def _classes(annotation: Any) -> list[Any]:
    """The classes of Args objects in an annotation."""
    if isinstance(annotation, type) and _types.is_input_type(annotation):
        return [annotation]
    return [each for inner in getattr(annotation, "__args__", ()) for each in _classes(inner)]


@pytest.mark.parametrize(
    ("schema", "args"),
    [
        (fragments.AFFINITY, k8s.AffinityArgs),
        (fragments.TOLERATIONS, k8s.TolerationArgs),
        (fragments.RESOURCES, k8s.ResourceRequirementsArgs),
        (fragments.QUOTA, k8s.ResourceQuotaSpecArgs),
        (fragments.LIMITS, k8s.LimitRangeItemArgs),
        (SECURITY_CONTEXT, k8s.PodSecurityContextArgs),
    ],
)
def test_every_key_of_a_fragment_has_its_name_in_python(schema: Any, args: Any) -> None:
    """Pulumi's own names of the attributes lead to the keys, whatever is written in capitals there."""
    tables = _tables(schema, args)
    if schema is fragments.AFFINITY:
        assert len(tables) > 10
    for table, each in tables:
        names = _types.input_type_py_to_pulumi_names(each)
        assert set(table) <= set(names.values())
        for name, key in names.items():
            if key in table:
                assert camel_case(name, table) == key


def _cluster(form: str) -> None:
    values = {
        place.partition(":")[2]: getattr(case, form)
        for case in CASES.values()
        for place in case.places
        if place.startswith("c:") and "." not in place
    }
    resources = {"server": getattr(CASES["resources"], form)}
    args: Any = {"namespace": "team", "distribution": "kubernetes", "resources": resources, **values}
    VirtualCluster("c", args)


def _policy(form: str) -> None:
    args: Any = {
        "namespaces": ["team"],
        "quotas": getattr(CASES["quotas"], form),
        "limits": getattr(CASES["limits"], form),
        "control_plane_required": {"tolerations": getattr(CASES["tolerations"], form)},
    }
    VirtualClusterPolicy("p", args)


def _namespace(form: str) -> None:
    args: Any = {"quotas": getattr(CASES["quotas"], form), "limits": getattr(CASES["limits"], form)}
    SharedModeNamespace("s", args)


@pytest.mark.parametrize("component", [_cluster, _policy, _namespace])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_registers_the_same_objects(
    preview: bool, component: Callable[[str], None], form: str
) -> None:
    assert _registered(component, form, preview) == _registered(component, "camel", preview)


def _registered(component: Callable[[str], None], form: str, preview: bool) -> dict[tuple[str, str], Any]:
    def program() -> dict[str, Any]:
        component(form)
        return {}

    done: Deployment = run(program, preview=preview, namespaces={"team": {"name": "team"}})
    objects = [each for each in done.all("kubernetes:") if SECRET not in str(each.inputs)]
    assert objects
    return {(each.type, each.name): each.inputs for each in objects}


def test_type_checkers_take_what_is_taken() -> None:
    """mypy reads the module (`make lint`); here is seen that it says what holds."""
    cluster, policy, namespace = map(
        plain, (typed_arguments.CLUSTER, typed_arguments.POLICY, typed_arguments.NAMESPACE)
    )
    assert VirtualClusterSpec.parse("c", cluster).tolerations == [{"key": "a", "operator": "Exists"}] * 3
    assert VirtualClusterPolicySpec.parse("p", policy).limits[0]["type"] == "Pod"
    assert SharedModeNamespaceSpec.parse("s", namespace).policy.quotas == {"pods": {"hard": {"pods": "9"}}}
    for wrong in typed_arguments.WRONG:
        with pytest.raises(InputError):
            VirtualClusterSpec.parse("c", plain(wrong))


def test_a_shared_mode_namespace_takes_what_a_policy_does() -> None:
    for form in FORMS:
        args = {"quotas": getattr(CASES["quotas"], form), "limits": getattr(CASES["limits"], form)}
        spec = SharedModeNamespaceSpec.parse("s", plain(args))
        assert spec.policy.quotas == CASES["quotas"].camel
        assert spec.policy.limits == CASES["limits"].camel
