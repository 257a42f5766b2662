"""The field table against the fields that Kubernetes has, by the OpenAPI types of its Python client."""

import re
from collections.abc import Iterator

import pytest
from k3k_kubelet.translate import schema
from k3k_kubelet.translate.table import EPHEMERAL_CONTAINER, POD_SPEC
from k3k_kubelet.translate.table.claims import CLAIM_SPEC
from kubernetes import client

ROOTS = {
    "V1PodSpec": POD_SPEC,
    "V1EphemeralContainer": EPHEMERAL_CONTAINER,
    "V1PersistentVolumeClaimSpec": CLAIM_SPEC,
}
SCALARS = {
    "str": {"a string", "a quantity"},
    "int": {"an integer"},
    "bool": {"a boolean"},
    "object": {"an integer or a string"},
}
MEMBERS = re.compile(r"^(?:List\[(?P<item>\w+)\]|Dict\[str, (?P<value>\w+)\])$")


def differences(kind: str, shape: schema.Shape, path: str) -> Iterator[str]:
    """Where a shape of the table is not what Kubernetes has."""
    members = MEMBERS.match(kind)
    if members and members["item"]:
        if not isinstance(shape, schema.ListOf):
            yield f"{path}: {kind} in Kubernetes, no list in the table"
        else:
            yield from differences(members["item"], shape.item, f"{path}[]")
    elif members:
        if not isinstance(shape, schema.MapOf) or shape.item.name not in SCALARS[members["value"]]:
            yield f"{path}: {kind} in Kubernetes, no such map in the table"
    elif kind in SCALARS:
        if not isinstance(shape, schema.Leaf) or shape.name not in SCALARS[kind]:
            yield f"{path}: {kind} in Kubernetes, {shape} in the table"
    elif not isinstance(shape, schema.Struct):
        yield f"{path}: {kind} in Kubernetes, no struct in the table"
    else:
        yield from struct_differences(kind, shape, path)


def struct_differences(kind: str, struct: schema.Struct, path: str) -> Iterator[str]:
    if kind.removeprefix("Core") != f"V1{struct.name}":
        yield f"{path}: {kind} in Kubernetes, {struct.name} in the table"
    model = getattr(client, kind)
    fields = {model.attribute_map[name]: type_ for name, type_ in model.openapi_types.items()}
    yield from (f"{path}.{name}: not in the table" for name in fields if name not in struct.fields)
    yield from (f"{path}.{name}: not in Kubernetes" for name in struct.fields if name not in fields)
    for name, field in struct.fields.items():
        if name in fields and field.shape is not None:
            yield from differences(fields[name], field.shape, f"{path}.{name}")


@pytest.mark.parametrize("kind", ROOTS)
def test_the_table_has_every_field_of_kubernetes_with_its_type(kind: str) -> None:
    assert list(differences(kind, ROOTS[kind], kind)) == []


def all_rows() -> list[tuple[str, str, schema.Field]]:
    return [row for root in ROOTS.values() for row in schema.rows(root)]


def test_every_row_has_one_of_the_five_rules_and_says_why() -> None:
    rules = {"copied", "translated", "policy", "dropped", "refused"}
    assert [path for path, _, field in all_rows() if field.rule not in rules or not field.why] == []


def test_only_refused_and_dropped_rows_are_not_looked_into() -> None:
    closed = {"refused", "dropped"}
    assert [path for path, _, field in all_rows() if (field.shape is None) != (field.rule in closed)] == []


def test_a_row_that_depends_on_the_policy_names_the_key_of_the_policy() -> None:
    named = re.compile(r"\b(pods|sync)\.|^see ")
    silent = [path for path, _, field in all_rows() if field.rule == "policy" and not named.search(field.why)]
    assert silent == ["os.name"]
