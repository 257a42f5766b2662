"""What stands in arguments for a value that Pulumi knows only later."""

from __future__ import annotations


class Later:
    """Stands for a value that is known only during the deployment, and is checked then."""

    def __repr__(self) -> str:
        return "LATER"


LATER = Later()
