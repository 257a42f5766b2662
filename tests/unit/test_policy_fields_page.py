"""The page with the field tables has every field and key there is."""

import re
from pathlib import Path

import pytest

from k3k_pulumi.model import VirtualClusterPolicySpec
from k3k_pulumi.model.limits import LIMITED
from tests.unit.test_narrowing_table import RULES

PAGE = (Path(__file__).parents[2] / "docs/policy-fields.md").read_text()
FIELDS, KEYS = PAGE.split("## Keys of `pods` and `sync`")


def named(rows: str, column: int) -> set[str]:
    """What stands in code in a column of a table."""
    cells = [line.split("|")[column] for line in rows.splitlines() if line.startswith("|")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_field_of_a_policy_has_a_row() -> None:
    assert named(FIELDS, 1) == set(VirtualClusterPolicySpec.model_fields) - {"name"}


@pytest.mark.parametrize("field", LIMITED)
def test_every_field_of_a_cluster_that_a_policy_limits_has_a_row(field: str) -> None:
    assert field in named(FIELDS, 2)


@pytest.mark.parametrize("path", RULES)
def test_every_key_of_the_document_has_a_row(path: str) -> None:
    _, group, *below = path.split(".")
    key = group if group in ("defaults", "required") or not below else below[-1]
    assert key in named(KEYS, 1)
