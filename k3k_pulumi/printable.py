"""Text that others may have written (a tenant's API server, a container's log), made fit to be printed.

What Pulumi prints goes to terminals, and to pipelines that read commands in it: escape sequences, forged
lines, `##vso[...]` of Azure Pipelines, `##teamcity[...]`.
"""

from __future__ import annotations

import re
import unicodedata

_ODD = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of Unicode's of control characters, invisible ones and line separators."""


def printable(text: str, limit: int = 200) -> str:
    """The text as one line without a character that does anything, and without a pipeline's commands.

    Args:
        text: Anything.
        limit: Characters; what is longer is cut, which `...` tells.
    """
    cut = text[: limit + 1]
    line = re.sub("#(?=#)", "# ", " ".join(cut.split()))
    if len(cut) > limit:
        line = f"{line[:limit]}..."
    return "".join(_escaped(each) if unicodedata.category(each) in _ODD else each for each in line)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode()
