"""The components as programs in other languages see them: the schema that the component provider serves."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from k3k_pulumi import plugin
from k3k_pulumi.plugin import Provider
from tests.run import ROOT

GOLDEN = ROOT / "provider/schema.json"
REWRITE = "python -m k3k_pulumi.plugin > provider/schema.json"


@pytest.fixture(scope="module")
def text() -> str:
    return str(Provider().schema)


@pytest.fixture(scope="module")
def schema(text: str) -> Any:
    return json.loads(text)


def inputs(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and definition of each argument, those of groups too."""
    groups = {name: each["inputProperties"] for name, each in schema["resources"].items()}
    groups |= {name: each["properties"] for name, each in schema["types"].items()}
    for group, fields in groups.items():
        for name, field in fields.items():
            yield f"{group}.{name}", field


def test_the_schema_is_the_golden_one(text: str) -> None:
    assert json.loads(text) == json.loads(GOLDEN.read_text()), f"if that is wanted: {REWRITE}"
    assert f"{text}\n" == GOLDEN.read_text(), f"if that is wanted: {REWRITE}"


def test_three_components_are_served_under_the_tokens_that_they_register_themselves_with(schema: Any) -> None:
    kinds = ["SharedModeNamespace", "VirtualCluster", "VirtualClusterPolicy"]
    assert sorted(schema["resources"]) == [f"k3k-pulumi:index:{kind}" for kind in kinds]
    for component in plugin._COMPONENTS:
        source = ast.parse((ROOT / component.__module__.replace(".", "/")).with_suffix(".py").read_text())
        (token,) = (
            ast.literal_eval(each.value)
            for each in source.body
            if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "TYPE"
        )
        assert token == f"{plugin.NAME}:index:{component.__name__}"


def test_every_argument_and_output_has_a_description_of_one_line(schema: Any) -> None:
    described = dict(inputs(schema))
    described |= {
        f"{kind}.{name}": each
        for kind, resource in schema["resources"].items()
        for name, each in resource["properties"].items()
    }
    assert len(described) > 120
    for name, field in described.items():
        description = field.get("description", "")
        assert description.endswith((".", "`.")), f"{name}: {description!r}"
        assert "\n" not in description, name


def test_an_argument_takes_outputs_exactly_where_its_description_says_so(schema: Any) -> None:
    taken = set()
    for name, field in inputs(schema):
        takes = not field.get("plain") or not field.get("items", {"plain": True}).get("plain")
        says = any(f"Take{words}" in field["description"] for words in ("s an Output", "s Outputs"))
        assert takes == says, name
        if takes:
            taken.add(name.removeprefix("k3k-pulumi:index:"))
    assert taken >= {"VirtualCluster.namespace", "VirtualCluster.policy", "VirtualClusterPolicy.namespaces"}


def test_no_number_and_no_group_of_arguments_takes_an_output(schema: Any) -> None:
    # The SDK of the component provider cannot carry these over.
    for name, field in inputs(schema):
        if field.get("type") in ("integer", "number") or "#/types/" in field.get("$ref", ""):
            assert field["plain"], name


def test_what_cannot_be_left_out_is_required(schema: Any) -> None:
    required = {name.rpartition(":")[2]: each["requiredInputs"] for name, each in schema["resources"].items()}
    assert required == {
        "VirtualCluster": ["namespace"],
        "VirtualClusterPolicy": ["namespaces"],
        "SharedModeNamespace": [],
    }


def test_a_shared_mode_namespace_has_the_rules_of_a_policy(schema: Any) -> None:
    resources = schema["resources"]
    rules = resources["k3k-pulumi:index:VirtualClusterPolicy"]["inputProperties"].keys() - {"namespaces"}
    shared = resources["k3k-pulumi:index:SharedModeNamespace"]["inputProperties"]
    assert shared.keys() == rules | {"namespace", "tenants"}


def test_the_plugin_installs_the_library_beside_it_in_an_environment_of_its_own() -> None:
    folder = ROOT / "provider"
    options = yaml.safe_load((folder / "PulumiPlugin.yaml").read_text())["runtime"]["options"]
    assert options == {"toolchain": "pip", "virtualenv": "venv"}
    lines = (folder / "requirements.txt").read_text().splitlines()
    (requirement,) = [line for line in lines if not line.startswith("#")]
    assert (folder / requirement / "pyproject.toml").resolve() == ROOT / "pyproject.toml"
