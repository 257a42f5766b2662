import difflib

import pytest

from tests.unit.golden_cases import CASES, rendered
from tests.unit.support import GOLDEN


@pytest.mark.parametrize("case", CASES)
def test_manifests_are_those_of_the_golden_file(case: str) -> None:
    expected = (GOLDEN / f"{case}.yaml").read_text()
    lines = difflib.unified_diff(
        expected.splitlines(), rendered(case).splitlines(), "golden", "now", lineterm=""
    )
    assert not (diff := "\n".join(lines)), f"{diff}\n\nIf that is wanted: python -m tests.unit.golden_cases"


def test_every_golden_file_has_a_case() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(CASES)
