"""Values of the policy as the pages show them."""

import json
from typing import Any


def default(value: Any) -> str:
    """A key's default."""
    if isinstance(value, list):
        return ", ".join(f"`{each}`" for each in value) or "none"
    if isinstance(value, dict):
        return "all" if value == {"matchLabels": {}} else "none"
    if value is None:
        return "any"
    return f"`{json.dumps(value)}`"
