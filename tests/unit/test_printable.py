"""What others write is one harmless line where it is printed."""

from __future__ import annotations

import pytest

from k3k_pulumi.printable import printable


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("503 not yet", "503 not yet"),
        ("naïve ☃ 名前", "naïve ☃ 名前"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("one\r\n  error: forged\ttab", "one error: forged tab"),
        ("##vso[task.setvariable variable=a]b", "# #vso[task.setvariable variable=a]b"),
        ("####[x]", "# # # #[x]"),
        ("right\u202eleft\u200b\ufeff", r"right\u202eleft\u200b\ufeff"),
        ("a\u2028b\x85c", "a b c"),
        ("\x00\x07\x9b", r"\x00\x07\x9b"),
        ("half \udc80", r"half \udc80"),
        ("x" * 201, "x" * 200 + "..."),
    ],
)
def test_a_line_does_nothing(text: str, line: str) -> None:
    assert printable(text) == line
    assert "##" not in printable(text)
    assert printable(text).isprintable()


def test_the_limit_is_the_callers() -> None:
    assert printable("abcdef", 3) == "abc..."
