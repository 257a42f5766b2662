"""Errors of the pure part of the library."""

from __future__ import annotations

from collections.abc import Sequence


class InputError(ValueError):
    """Arguments that cannot become a cluster. Raised before anything is created.

    Attributes:
        problems: One line for each problem: the field's path, what was found, what is allowed, what to do.
    """

    def __init__(self, subject: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            text = f"{subject}: {self.problems[0]}"
        else:
            lines = "".join(f"\n  - {problem}" for problem in self.problems)
            text = f"{subject}: {len(self.problems)} problems in the arguments:{lines}"
        super().__init__(text)
