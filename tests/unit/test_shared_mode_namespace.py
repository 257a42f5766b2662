"""Arguments of a SharedModeNamespace: a policy's rules, and its own."""

from __future__ import annotations

from typing import Any

import pytest

from k3k_pulumi.errors import InputError
from k3k_pulumi.model import SharedModeNamespaceSpec


@pytest.mark.parametrize(
    ("args", "problems"),
    [
        ({"namespace": "Team"}, ["namespace: 'Team' must be"]),
        ({"namespace": 3}, ["namespace: 3 must be a string"]),
        ({"namespaces": ["team"]}, ["namespaces: unknown argument; did you mean 'namespace'?"]),
        ({"egress": "some"}, ["egress: 'some' must be"]),
        ({"egres": "all"}, ["egres: unknown argument; did you mean 'egress'?"]),
        ({"tenants": "ann"}, ["tenants: 'ann' must be a list"]),
        ({"tenants": [{"kind": "User"}]}, ["tenants[0].name: missing"]),
        ({"tenants": [{"kind": "Users", "name": "a"}]}, ["tenants[0].kind: 'Users' must be User, Group or"]),
        ({"tenants": [{"kind": "User", "name": ""}]}, ["tenants[0].name: "]),
        (
            {"tenants": [{"kind": "ServiceAccount", "name": "ci"}]},
            ["tenants[0].kind: 'ServiceAccount' needs a namespace"],
        ),
        (
            {"tenants": [{"kind": "User", "name": "ann", "namespace": "a"}]},
            ["tenants[0].kind: 'User' has no namespace: leave 'a' out"],
        ),
        (
            {"egress": "some", "tenants": [{"kind": "User", "name": "ann", "of": "a"}]},
            ["tenants[0].of: unknown argument", "egress: 'some' must be"],
        ),
    ],
)
def test_what_is_refused(args: dict[str, Any], problems: list[str]) -> None:
    with pytest.raises(InputError, match=r"^SharedModeNamespace 'team': ") as caught:
        SharedModeNamespaceSpec.parse("team", args)
    assert len(caught.value.problems) == len(problems)
    for found, wanted in zip(caught.value.problems, problems, strict=True):
        assert found.startswith(wanted)


def test_none_counts_as_absent() -> None:
    spec = SharedModeNamespaceSpec.parse("team", {"namespace": None, "tenants": None, "egress": None})
    assert (spec.namespace, spec.tenants, spec.policy.name) == ("team", (), "team")
    assert spec.policy.namespaces == ("team",)
