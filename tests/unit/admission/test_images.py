"""The registries of a policy as regular expressions, against the model's own reading of references."""

from __future__ import annotations

import json
import re
from itertools import product

import pytest

from k3k_pulumi.manifests.policy.whitelist.images import from_registries
from k3k_pulumi.model.images import is_from

DIGEST = f"@sha256:{'a' * 64}"
HOSTS = ("", "docker.io/", "index.docker.io/", "registry.example.com/", "registry.example.com:5000/")
PATHS = (
    "nginx",
    "library/nginx",
    "library/nginx-x",
    "library",
    "team/app",
    "team/app/web",
    "team2/app",
    "te/am",
)
IMAGES = [
    f"{host}{path}{tag}" for host, path, tag in product(HOSTS, PATHS, ("", ":1.27", f":1{DIGEST}", DIGEST))
]
IMAGES += ["localhost/team/app", "localhost:5000/team/app", "nginx.v1", "team.x/app", "library.x/nginx"]
IMAGES += ["docker.io/../registry.example.com/team/app", "registry.example.com/team/../other", ""]
IMAGES += ["docker.io//library/nginx", "/library/nginx", "registry.example.com/", "Team/app"]
IMAGES += ["sha256:latest", "sha256:abcdef12", "docker.io/sha256:abcdef12", "team/sha256:abcdef12"]
REGISTRIES = [
    ["docker.io"],
    ["index.docker.io/library/"],
    ["docker.io/library/nginx"],
    ["docker.io/team"],
    ["docker.io/team/app/"],
    ["docker.io/team.x"],
    ["registry.example.com"],
    ["registry.example.com/team/", "docker.io/library/nginx"],
    ["registry.example.com:5000/team/app"],
    ["localhost"],
    ["localhost:5000/team"],
    [],
]
_PARTS = re.compile(r'i\.matches\(("(?:[^"\\]|\\.)*")\)')


def holds(expression: str, image: str) -> bool:
    """What CEL makes of an expression of `from_registries`: its regular expressions are Python's as well."""
    python = _PARTS.sub(lambda found: f"bool(re.search({json.loads(found[1])!r}, i))", expression)
    python = python.replace("i.startsWith(", "i.startswith(").replace("||", "or").replace("&&", "and")
    python = python.replace("!", " not ").replace("false", "False")
    return bool(eval(python, {"re": re, "i": image, "bool": bool}))


@pytest.mark.parametrize("registries", REGISTRIES, ids=lambda each: ",".join(each) or "none")
def test_an_image_is_from_a_registry_as_the_model_has_it(registries: list[str]) -> None:
    expression = from_registries("i", registries)
    wrong = [each for each in IMAGES if holds(expression, each) != is_from(each, registries)]
    assert wrong == []


@pytest.mark.parametrize("image", ["a" * 64, f"sha256:{'a' * 64}", "sha256:abcdef12", "sha384:A", "sha512:0"])
def test_the_id_of_an_image_on_the_node_is_from_nowhere(image: str) -> None:
    assert not holds(from_registries("i", ["docker.io", "docker.io/library"]), image)
