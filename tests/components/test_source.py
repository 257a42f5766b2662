"""Where in the user's program a cluster's objects come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from k3k_pulumi import SharedModeNamespace, VirtualCluster, VirtualClusterPolicy
from tests.components.host import run


def test_the_engine_is_told_the_users_line_and_not_the_librarys(preview: bool) -> None:
    """Who asks the engine where an object is from gets to the line where its component is made."""

    def program() -> dict[str, Any]:
        VirtualCluster("c", {"namespace": "team", "distribution": "kubernetes"})
        VirtualClusterPolicy("p", {"namespaces": ["found"]})
        SharedModeNamespace("s", {})
        return {}

    done = run(program, preview=preview, namespaces={"found": {"name": "found"}})
    objects = done.all("kubernetes:")
    assert objects
    here = Path(__file__).as_uri()
    first = program.__code__.co_firstlineno
    lines = {"c": first + 1, "p": first + 2, "s": first + 3}
    for each in objects:
        place = each.request.sourcePosition
        assert place.uri == here, each.name
        assert place.line == lines[each.name[0]], each.name
