"""The page "What is copied between a cluster and its host": the part `sync` of the policy, for people.

The text around the tables stands in `sync.md` beside this file; a line `{{name}}` there is replaced.
"""

from pathlib import Path
from typing import Any

from k3k_kubelet import policy

from kubelet.docs.values import default

_TEXT = Path(__file__).parent / "sync.md"


def render() -> str:
    """The whole page."""
    text = _TEXT.read_text()
    for direction in ("toHost", "fromHost"):
        text = text.replace(f"{{{{{direction}}}}}", "\n".join(_table(direction)))
    return text


def _table(direction: str) -> list[str]:
    lines = ["| key | default | what it does |", "|---|---|---|"]
    for kind, struct in keys(direction).items():
        lines += [
            f"| `sync.{direction}.{kind}.{key}` | {default(value['default'])} | {value['description']} |"
            for key, value in struct.items()
        ]
    return lines


def keys(direction: str) -> dict[str, dict[str, Any]]:
    """The keys of each kind of a direction, as the policy's schema has them."""
    defs = policy.schema()["$defs"]
    kinds = defs[{"toHost": "SyncToHost", "fromHost": "SyncFromHost"}[direction]]["properties"]
    return {kind: defs[_struct(value)]["properties"] for kind, value in kinds.items()}


def _struct(value: dict[str, Any]) -> str:
    """The class of a key, by the schema's reference to it."""
    reference = value.get("$ref") or value["anyOf"][0]["$ref"]
    return str(reference).rpartition("/")[2]
